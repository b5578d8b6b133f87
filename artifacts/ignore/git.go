package ignore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// errNoRepository: git sees no repository, whatever lies there under the name .git.
var errNoRepository = errors.New("no git repository")

// gitScope is a directory of a repository, as git sees it.
type gitScope struct {
	repository *gitRepository
	node       *gitNode
	path       string // below the repository's directory, with slashes; "" for that
}

// gitRepository is what git says of a directory and all below it.
type gitRepository struct {
	ctx context.Context // of Open, for what must be asked later
	dir string
	// rule is why the directory itself is ignored, nil if it is not. Then all that is
	// not tracked is ignored by it.
	rule *Rule
	// mu is held while git is asked about one path.
	mu sync.Mutex
}

// gitNode is a name that git knows: a file that it lists, a name that it ignores,
// or a directory with such.
type gitNode struct {
	listed   bool
	rule     *Rule // why it is ignored
	children map[string]*gitNode
}

// openGit asks git about the directory dir of the repository whose top is given.
func openGit(ctx context.Context, top, dir string) (Scope, error) {
	r := &gitRepository{ctx: ctx, dir: dir}
	if dir != top {
		rules, err := r.rules([]string{"."})
		if err != nil {
			return nil, err
		}
		r.rule = rules["."]
	}
	node := new(gitNode)
	var listed, ignored []byte
	var listErr, ignoredErr error
	var wg sync.WaitGroup
	wg.Go(func() { listed, listErr = r.git(nil, "ls-files", "-z", "--cached", "--others", "--exclude-standard") })
	if r.rule == nil {
		wg.Go(func() {
			ignored, ignoredErr = r.git(nil, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
		})
	}
	wg.Wait()
	if err := errors.Join(listErr, ignoredErr); err != nil {
		return nil, err
	}
	for path := range zeroTerminated(listed) {
		node.add(path).listed = true
	}
	if err := r.explain(node, slices.Collect(zeroTerminated(ignored))); err != nil {
		return nil, err
	}
	return &gitScope{repository: r, node: node}, nil
}

// add gives the node of a path, made if need be. A directory may end in a slash.
func (n *gitNode) add(path string) *gitNode {
	path = strings.TrimSuffix(path, "/")
	for name := range strings.SplitSeq(path, "/") {
		child := n.children[name]
		if child == nil {
			if n.children == nil {
				n.children = make(map[string]*gitNode)
			}
			child = new(gitNode)
			n.children[name] = child
		}
		n = child
	}
	return n
}

// explain finds the rules by which paths are ignored. A directory that is not
// ignored itself, but has nothing in it that is not, git names as a whole: then
// what is in it is explained.
func (r *gitRepository) explain(top *gitNode, paths []string) error {
	for len(paths) > 0 {
		rules, err := r.rules(paths)
		if err != nil {
			return err
		}
		var unexplained []string
		for _, path := range paths {
			if rule := rules[strings.TrimSuffix(path, "/")]; rule != nil {
				top.add(path).rule = rule
				continue
			}
			inside, err := r.list(path)
			if err != nil {
				return err
			}
			unexplained = append(unexplained, inside...)
		}
		paths = unexplained
	}
	return nil
}

// list gives what is in a directory, nothing if it is none.
func (r *gitRepository) list(path string) ([]string, error) {
	if !strings.HasSuffix(path, "/") {
		return nil, nil
	}
	entries, err := os.ReadDir(filepath.Join(r.dir, filepath.FromSlash(path)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the ignore rules of %q: %w", path, err)
	}
	var paths []string
	for _, entry := range entries {
		inside := path + entry.Name()
		if entry.IsDir() {
			inside += "/"
		}
		paths = append(paths, inside)
	}
	return paths, nil
}

// rules gives the rules by which git ignores paths; those that it does not are left
// out. The slash at the end of a directory is taken off: to git it is a name inside.
func (r *gitRepository) rules(paths []string) (map[string]*Rule, error) {
	var input []byte
	for _, path := range paths {
		input = append(append(input, strings.TrimSuffix(path, "/")...), 0)
	}
	output, err := r.git(input, "check-ignore", "-v", "-z", "--stdin")
	if err != nil {
		return nil, err
	}
	rules, err := parseRules(output)
	if err != nil {
		return nil, fmt.Errorf("git check-ignore in %q gave %w", r.dir, err)
	}
	return rules, nil
}

// parseRules reads what git check-ignore -v -z prints: source, line, pattern and path
// of each path that a rule is about.
func parseRules(output []byte) (map[string]*Rule, error) {
	fields := slices.Collect(zeroTerminated(output))
	if len(fields)%4 != 0 {
		return nil, errors.New("an answer that is cut")
	}
	rules := make(map[string]*Rule, len(fields)/4)
	for ; len(fields) > 0; fields = fields[4:] {
		source, pattern, path := fields[0], fields[2], fields[3]
		if strings.HasPrefix(pattern, "!") {
			continue
		}
		line, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("the line number %q", fields[1])
		}
		rules[path] = &Rule{Source: source, Line: line, Pattern: pattern}
	}
	return rules, nil
}

// repositoryVariables lead git away from the repository it finds by itself; a git
// hook has them set.
var repositoryVariables = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_LITERAL_PATHSPECS",
	"GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE",
}

// git runs git in the directory and gives what it prints. Status 1 is an answer: nothing matched.
func (r *gitRepository) git(input []byte, args ...string) ([]byte, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("%q is in a git repository, but there is no git to ask which files it ignores: "+
			"install git, or send everything with --include-ignored: %w", r.dir, err)
	}
	cmd := exec.CommandContext(r.ctx, path, args...)
	cmd.Dir = r.dir
	cmd.Env = append(withoutVariables(os.Environ(), repositoryVariables), "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0")
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && stderr.Len() == 0 {
		return stdout.Bytes(), nil
	}
	if err != nil {
		if r.ctx.Err() != nil {
			return nil, context.Cause(r.ctx)
		}
		message := strings.TrimSpace(stderr.String())
		if strings.Contains(message, "not a git repository (or any") {
			return nil, errNoRepository
		}
		return nil, fmt.Errorf("git cannot say which files of %q it ignores: %s (git %s: %w); "+
			"mend that, or send everything with --include-ignored", r.dir, message, args[0], err)
	}
	return stdout.Bytes(), nil
}

func withoutVariables(environment, names []string) []string {
	kept := make([]string, 0, len(environment)+2)
	for _, variable := range environment {
		if name, _, _ := strings.Cut(variable, "="); !slices.Contains(names, name) {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (s *gitScope) join(name string) string {
	if s.path == "" {
		return name
	}
	return s.path + "/" + name
}

func (s *gitScope) Ignored(name string, isDir bool) (*Rule, error) {
	node := s.node.children[name]
	switch {
	case node != nil && (node.listed || node.children != nil):
		return nil, nil
	case node != nil:
		return node.rule, nil
	case s.repository.rule != nil && name != ".git":
		return s.repository.rule, nil
	case isDir || name == ".git":
		// Nothing in it is listed, and it is not ignored: it is empty to git.
		return nil, nil
	}
	// The file is newer than git's answer.
	s.repository.mu.Lock()
	defer s.repository.mu.Unlock()
	path := s.join(name)
	rules, err := s.repository.rules([]string{path})
	if err != nil {
		return nil, err
	}
	return rules[path], nil
}

func (s *gitScope) Enter(ctx context.Context, name string, read ReadFile) (Scope, error) {
	node := s.node.children[name]
	if node == nil {
		node = new(gitNode)
	}
	inside := &gitScope{repository: s.repository, node: node, path: s.join(name)}
	if !node.listed || node.children != nil {
		return inside, nil
	}
	// What git lists as one name but is a directory is a repository of its own.
	dir := filepath.Join(s.repository.dir, filepath.FromSlash(inside.path))
	scope, err := openNested(ctx, dir)
	if errors.Is(err, errNoRepository) {
		return newFiles(gitignore).load("", read)
	}
	return scope, err
}

// openNested asks git about a repository in another. A submodule that was not
// checked out is no repository.
func openNested(ctx context.Context, dir string) (Scope, error) {
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errNoRepository
		}
		return nil, fmt.Errorf("look for a git repository in %q: %w", dir, err)
	}
	return openGit(ctx, dir, dir)
}

// zeroTerminated gives the strings in b that end in a zero byte.
func zeroTerminated(b []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(b) > 0 {
			s, rest, _ := bytes.Cut(b, []byte{0})
			if !yield(string(s)) {
				return
			}
			b = rest
		}
	}
}
