package ignore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// taken gives the files and empty directories that a scope leaves in, and the
// paths it leaves out with their rules.
func taken(t testing.TB, dir string) (in []string, out map[string]string) {
	t.Helper()
	scope, err := Open(t.Context(), dir)
	must(t, err)
	out = make(map[string]string)
	var walk func(at string, scope Scope)
	walk = func(at string, scope Scope) {
		entries, err := os.ReadDir(filepath.Join(dir, at))
		must(t, err)
		empty := true
		for _, entry := range entries {
			if entry.Name() == ".git" {
				continue
			}
			path := filepath.Join(at, entry.Name())
			rule, err := scope.Ignored(entry.Name(), entry.IsDir())
			must(t, err)
			if rule != nil {
				out[path] = rule.String()
				continue
			}
			empty = false
			if !entry.IsDir() {
				in = append(in, path)
				continue
			}
			inside, err := scope.Enter(t.Context(), entry.Name(), func(name string) ([]byte, error) {
				return os.ReadFile(filepath.Join(dir, path, name))
			})
			must(t, err)
			walk(path, inside)
		}
		if empty && at != "" {
			in = append(in, at+"/")
		}
	}
	walk("", scope)
	slices.Sort(in)
	return in, out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lay writes files below dir; a name that ends in a slash is an empty directory.
func lay(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
}

// git runs git with settings of the test's own.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %q: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// ownGit keeps the machine's and the user's git settings out of a test.
func ownGit(t testing.TB) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	for _, kind := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+kind+"_NAME", "Test")
		t.Setenv("GIT_"+kind+"_EMAIL", "test@example.com")
	}
	lay(t, home, map[string]string{
		".gitconfig":        "[protocol \"file\"]\n\tallow = always\n[init]\n\tdefaultBranch = main\n",
		"config/git/ignore": "*.global\n",
	})
}

func compare(t testing.TB, in []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(in, want) {
		t.Errorf("taken are %q, want %q", in, want)
	}
}

func TestGitRepository(t *testing.T) {
	ownGit(t)
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	lay(t, dir, map[string]string{
		".gitignore":           "*.o\n/build/\n!keep.o\nnode_modules\n",
		".git/info/exclude":    "*.private\n",
		"a.go":                 "",
		"a.o":                  "",
		"keep.o":               "",
		"x.global":             "",
		"x.private":            "",
		"build/out":            "",
		"build/tracked":        "",
		"sub/.gitignore":       "!b.o\nc.go\n",
		"sub/b.o":              "",
		"sub/c.go":             "",
		"sub/build/in":         "",
		"objects/x.o":          "",
		"deep/objects/y.o":     "",
		"empty/":               "",
		"node_modules/m/index": "",
		"gone":                 "",
		"new\nline":            "",
	})
	git(t, dir, "add", "-f", "build/tracked", "gone", "a.go")
	must(t, os.Remove(filepath.Join(dir, "gone")))
	in, out := taken(t, dir)
	compare(t, in, ".gitignore", "a.go", "keep.o", "build/tracked", "sub/.gitignore", "sub/b.o", "sub/build/in",
		"objects/", "deep/objects/", "empty/", "new\nline")
	for path, want := range map[string]string{
		"a.o":              ".gitignore:1: *.o",
		"objects/x.o":      ".gitignore:1: *.o",
		"deep/objects/y.o": ".gitignore:1: *.o",
		"x.private":        ".git/info/exclude:1: *.private",
		"build/out":        ".gitignore:2: /build/",
		"sub/c.go":         "sub/.gitignore:2: c.go",
		"node_modules":     ".gitignore:4: node_modules",
	} {
		if out[path] != want {
			t.Errorf("%q is ignored by %q, want %q", path, out[path], want)
		}
	}
	if !strings.HasSuffix(out["x.global"], "config/git/ignore:1: *.global") {
		t.Errorf("x.global is ignored by %q", out["x.global"])
	}
}

func TestBelowTheTop(t *testing.T) {
	ownGit(t)
	top := t.TempDir()
	git(t, top, "init", "-q")
	lay(t, top, map[string]string{
		".gitignore":    "/sub/x\n*.o\n/out/\n",
		".midgeignore":  "/sub/m\n",
		"sub/x":         "",
		"sub/y":         "",
		"sub/m":         "",
		"sub/z/x":       "",
		"sub/z/a.o":     "",
		"out/a/file":    "",
		"out/a/tracked": "",
	})
	git(t, top, "add", "-f", "out/a/tracked")
	in, out := taken(t, filepath.Join(top, "sub"))
	compare(t, in, "y", "z/x")
	if out["m"] != ".midgeignore:1: /sub/m" || out["x"] != ".gitignore:1: /sub/x" {
		t.Errorf("ignored are %q", out)
	}
	// A directory that is ignored itself has nothing but what is tracked.
	in, out = taken(t, filepath.Join(top, "out", "a"))
	compare(t, in, "tracked")
	if out["file"] != ".gitignore:3: /out/" {
		t.Errorf("ignored are %q", out)
	}
}

func TestNestedRepositories(t *testing.T) {
	ownGit(t)
	origin := t.TempDir()
	git(t, origin, "init", "-q")
	lay(t, origin, map[string]string{".gitignore": "*.tmp\n", "file": ""})
	git(t, origin, "add", ".")
	git(t, origin, "commit", "-qm", "first")

	dir := t.TempDir()
	git(t, dir, "init", "-q")
	git(t, dir, "submodule", "--quiet", "add", origin, "module")
	git(t, dir, "submodule", "--quiet", "add", origin, "absent")
	git(t, dir, "commit", "-qm", "modules")
	git(t, dir, "submodule", "--quiet", "deinit", "-f", "absent")
	git(t, dir, "clone", "-q", origin, "clone")
	lay(t, dir, map[string]string{"module/a.tmp": "", "module/new": "", "clone/b.tmp": "", "clone/new": "", "c.tmp": ""})
	want := []string{".gitmodules", "absent/", "c.tmp", "clone/.gitignore", "clone/file", "clone/new",
		"module/.gitignore", "module/file", "module/new"}
	in, _ := taken(t, dir)
	compare(t, in, want...)

	worktree := filepath.Join(t.TempDir(), "tree")
	git(t, dir, "worktree", "add", "-q", worktree)
	lay(t, worktree, map[string]string{".gitignore": "*.x\n", "a.x": "", "b": ""})
	in, _ = taken(t, worktree)
	compare(t, in, ".gitignore", ".gitmodules", "absent/", "b", "module/")

	in, _ = taken(t, filepath.Join(dir, "module"))
	compare(t, in, ".gitignore", "file", "new")
}

func TestGitEnvironmentOfAHookIsLeftOut(t *testing.T) {
	ownGit(t)
	dir, other := t.TempDir(), t.TempDir()
	git(t, dir, "init", "-q")
	git(t, other, "init", "-q")
	lay(t, dir, map[string]string{".gitignore": "x\n", "x": "", "y": ""})
	t.Setenv("GIT_DIR", filepath.Join(other, ".git"))
	t.Setenv("GIT_WORK_TREE", other)
	t.Setenv("GIT_INDEX_FILE", filepath.Join(other, "index"))
	in, _ := taken(t, dir)
	compare(t, in, ".gitignore", "y")
}

func TestWithoutRepository(t *testing.T) {
	ownGit(t)
	dir := t.TempDir()
	lay(t, dir, map[string]string{
		".gitignore":       "*.o\n!keep.o\n/top\n",
		".midgeignore":     "secret*\n",
		"a.o":              "",
		"keep.o":           "",
		"x.global":         "",
		"top":              "",
		"sub/top":          "",
		"sub/secret.txt":   "",
		"sub/.midgeignore": "!secret.txt\n",
		"sub/.gitignore":   "!a.o",
		"sub/a.o":          "",
		"secrets/a":        "",
		"empty/":           "",
	})
	in, out := taken(t, dir)
	compare(t, in, ".gitignore", ".midgeignore", "keep.o", "x.global", "sub/.gitignore", "sub/.midgeignore",
		"sub/a.o", "sub/secret.txt", "sub/top", "empty/")
	if out["secrets"] != ".midgeignore:1: secret*" || out["a.o"] != ".gitignore:1: *.o" {
		t.Errorf("ignored are %q", out)
	}
}

func TestMidgeignoreLeavesOutTrackedFiles(t *testing.T) {
	ownGit(t)
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	lay(t, dir, map[string]string{".midgeignore": "large/\n", "large/file": "", "small": ""})
	git(t, dir, "add", ".")
	in, _ := taken(t, dir)
	compare(t, in, ".midgeignore", "small")
}

func TestRulesThatCannotBeEvaluated(t *testing.T) {
	ownGit(t)
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	lay(t, dir, map[string]string{"file": ""})
	must(t, os.WriteFile(filepath.Join(dir, ".git/config"), []byte("[broken"), 0o644))
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "--include-ignored") {
		t.Errorf("a broken repository: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "install git") {
		t.Errorf("without git: %v", err)
	}
	plain := t.TempDir()
	must(t, os.Symlink("loop", filepath.Join(plain, ".midgeignore")))
	must(t, os.Symlink(".midgeignore", filepath.Join(plain, "loop")))
	if _, err := Open(t.Context(), plain); err == nil {
		t.Error("an ignore file that cannot be read is passed over")
	}
}

func TestFileThatAppearsAfterGitWasAsked(t *testing.T) {
	ownGit(t)
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	lay(t, dir, map[string]string{".gitignore": "*.o\n"})
	scope, err := Open(t.Context(), dir)
	must(t, err)
	lay(t, dir, map[string]string{"late.o": "", "late": ""})
	rule, err := scope.Ignored("late.o", false)
	must(t, err)
	if rule == nil || rule.Pattern != "*.o" {
		t.Errorf("late.o is ignored by %v", rule)
	}
	if rule, err = scope.Ignored("late", false); rule != nil || err != nil {
		t.Errorf("late is ignored by %v, %v", rule, err)
	}
}

func TestCancelled(t *testing.T) {
	ownGit(t)
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// ask gives what the patterns of an ignore file at the top make of paths.
func ask(t testing.TB, patterns string, paths []string) []bool {
	t.Helper()
	read := func(name string) ([]byte, error) { return nil, fs.ErrNotExist }
	top, err := newFiles(gitignore).load("", func(string) ([]byte, error) { return []byte(patterns), nil })
	must(t, err)
	ignored := make([]bool, len(paths))
	for i, path := range paths {
		var scope Scope = top
		names := strings.Split(strings.TrimSuffix(path, "/"), "/")
		for j, name := range names {
			isDir := j < len(names)-1 || strings.HasSuffix(path, "/")
			rule, err := scope.Ignored(name, isDir)
			must(t, err)
			if rule != nil {
				ignored[i] = true
				break
			}
			scope, err = scope.Enter(t.Context(), name, read)
			must(t, err)
		}
	}
	return ignored
}

// askGit gives git's answer to the same. Paths that end in a slash are made as directories.
func askGit(t testing.TB, dir, patterns string, paths []string) []bool {
	t.Helper()
	lay(t, dir, map[string]string{".gitignore": patterns})
	var input []byte
	cmd := exec.Command("git", "check-ignore", "--no-index", "-v", "-z", "-n", "--stdin")
	cmd.Dir = dir
	for _, path := range paths {
		input = append(append(input, strings.TrimSuffix(path, "/")...), 0)
	}
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatal(err)
	}
	fields := slices.Collect(zeroTerminated(out))
	if len(fields) != 4*len(paths) {
		t.Fatalf("git answers %q", fields)
	}
	ignored := make([]bool, len(paths))
	for i := range paths {
		pattern := fields[4*i+2]
		ignored[i] = pattern != "" && !strings.HasPrefix(pattern, "!")
	}
	return ignored
}

var paths = []string{
	"a", "b", "c/", "a.o", "c/a", "c/b/", "c/b/a", "c/b/a.o", "d/", "d/c/", "d/c/a", "d/c/b/", "d/c/b/a", "ab", "a b", "a\\b",
	"!a", "#a", "[a]", "-", "]", "*", "c/**", "d/a", "d/ab", "d/abc/", "d/abc/a", "abc/", "abc/d/", "abc/d/a",
}

func TestPatternsAreGits(t *testing.T) {
	ownGit(t)
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	for _, path := range paths {
		lay(t, dir, map[string]string{path: ""})
	}
	for _, patterns := range []string{
		"", "a", "/a", "a/", "c/", "c/b", "/c/b/", "*", "*.o", "*\n!*/\n!*.o", "**/a", "c/**", "**/b/a", "d/**/a", "**", "/**",
		"a**", "d/a**", "d/**a", "?", "[ab]", "[!a]", "[^a]", "[a-c]", "[c-a]", "[]]", "[]-a]", "[a-]", "[", "[a", "a[", "\\a",
		"a\\", "a\\\\b", "\\!a", "!a", "\\#a", "#a", "a b", "a\\ b", "a ", "a\\ ", "  ", "a\r\nb\r\n", "\xef\xbb\xbfa", "[[:alpha:]]",
		"[[:nothing:]]", "[[:alpha:]", "[[:alpha:]-z]", "[\\]]", "[\\a-c]", "[[a]", "\\[a\\]", "/", "//", "c//a", "c/*/a", "d/*/*", "*/a", "d/c/",
		"a\n!a\n", "c\n!c/a", "c/*\n!c/b", "**/", "/**/a", "a/**/b", "***", "c/***", "d/**/**/a", "!", "*b*", "*a*b*c*", "[a-z]*", "\\*", "c/\\*\\*",
	} {
		got, want := ask(t, patterns, paths), askGit(t, dir, patterns, paths)
		for i, path := range paths {
			if got[i] != want[i] {
				t.Errorf("%q ignores %q: %v, but git: %v", patterns, path, got[i], want[i])
			}
		}
	}
}

// TestRandomPatternsAreGits compares many patterns with git that nobody would write.
func TestRandomPatternsAreGits(t *testing.T) {
	ownGit(t)
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	for _, path := range paths {
		lay(t, dir, map[string]string{path: ""})
	}
	r := rand.New(rand.NewPCG(1, 2))
	const alphabet = "aabc//**?.o[]!-^\\ d\n#"
	for range 150 {
		pattern := make([]byte, 1+r.IntN(14))
		for i := range pattern {
			pattern[i] = alphabet[r.IntN(len(alphabet))]
		}
		got, want := ask(t, string(pattern), paths), askGit(t, dir, string(pattern), paths)
		for i, path := range paths {
			if got[i] != want[i] {
				t.Errorf("%q ignores %q: %v, but git: %v", pattern, path, got[i], want[i])
			}
		}
	}
}

func FuzzPatterns(f *testing.F) {
	for _, seed := range []string{"*.o\n!a/**/b/\n", "[[:alpha:]-", "a\\ \\", "**/**/***a[!]]"} {
		f.Add([]byte(seed), "a/b")
	}
	f.Fuzz(func(t *testing.T, content []byte, path string) {
		names := strings.Split(path, "/")
		for _, p := range parseFile("x", content) {
			p.matches(names, true)
			p.matches(names, false)
		}
	})
}
