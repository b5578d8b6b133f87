package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"midge/artifacts"
	"midge/artifacts/ignore"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var when = time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)

// lay writes files below dir, with an old time; a name that ends in a slash is an empty directory.
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
		must(t, os.Chtimes(path, when, when))
	}
}

func scanOK(t testing.TB, dir string, options Options) *Tree {
	t.Helper()
	tree, err := Scan(t.Context(), dir, options)
	must(t, err)
	return tree
}

// paths gives what a tree has, a line for each path.
func paths(tree *Tree) []string {
	var lines []string
	for d := range tree.Directories() {
		for _, e := range d.Entries() {
			line := d.d.join(e.Name)
			switch {
			case e.Type == artifacts.TypeDirectory:
				line += "/"
			case e.Type == artifacts.TypeSymlink:
				line += " -> " + e.Target
			case e.Link != "":
				line += " = " + e.Link
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

func TestScan(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("n", 255)
	lay(t, dir, map[string]string{
		"a": "a", "empty": "", "sub/b": "b", "sub/deep/c": "c", "hollow/": "", "new\nline": "", "\xff": "", long: "",
		"Case": "", "case": "", ".git/config": "", "sub/.git": "",
	})
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	must(t, os.Symlink("../..", filepath.Join(dir, "sub/up")))
	must(t, os.Link(filepath.Join(dir, "sub/b"), filepath.Join(dir, "b2")))
	must(t, os.Link(filepath.Join(dir, "sub/b"), filepath.Join(dir, "sub/b3")))
	must(t, os.Chmod(filepath.Join(dir, "a"), os.ModeSetuid|0o711))
	want := []string{"Case", "\xff", "a", "b2", "case", "empty", "hollow/", "loop -> loop", "new\nline", long,
		"sub/", "sub/b = b2", "sub/b3 = b2", "sub/deep/", "sub/deep/c", "sub/up -> ../.."}
	slices.Sort(want)
	tree := scanOK(t, dir, Options{})
	if got := paths(tree); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if tree.Files != 13 || tree.Bytes != 3 {
		t.Errorf("%d files of %d bytes", tree.Files, tree.Bytes)
	}
	top := tree.Top().Entries()
	i := slices.IndexFunc(top, func(e artifacts.Entry) bool { return e.Name == "a" })
	if e := top[i]; e.Mode != 0o4711 || e.ModTime != when.UnixNano() {
		t.Errorf("a is %+v", e)
	}
	if with := scanOK(t, dir, Options{IncludeGit: true}); !slices.Contains(paths(with), ".git/config") {
		t.Error(".git is left out though it is asked for")
	}
}

// TestSameTreeHasTheSameDigest lays a tree in two ways, at two times.
func TestSameTreeHasTheSameDigest(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	lay(t, a, map[string]string{"x": "1", "d/y": "2", "d/z": "2", "e/": ""})
	for _, name := range []string{"e/", "d/z", "d/y", "x"} {
		lay(t, b, map[string]string{name: map[string]string{"x": "1", "d/y": "2", "d/z": "2"}[name]})
	}
	must(t, os.Chtimes(filepath.Join(b, "x"), time.Now(), time.Now()))
	if x, y := scanOK(t, a, Options{}).Root, scanOK(t, b, Options{}).Root; x != y {
		t.Errorf("%v and %v", x, y)
	}
}

func TestLargeFile(t *testing.T) {
	dir := t.TempDir()
	content := make([]byte, 9<<20)
	rand.NewChaCha8([32]byte{1}).Read(content)
	lay(t, dir, map[string]string{"large": string(content)})
	var mu sync.Mutex
	objects := make(map[artifacts.Key][]byte)
	tree := scanOK(t, dir, Options{Object: func(key artifacts.Key, record []byte) error {
		mu.Lock()
		defer mu.Unlock()
		objects[key] = slices.Clone(record)
		return nil
	}})
	key := tree.Top().Entries()[0].Content
	chunks, err := artifacts.DecodeList(objects[key])
	must(t, err)
	var got []byte
	for _, chunk := range chunks {
		got = append(got, objects[artifacts.Key{Kind: artifacts.KindContent, Digest: chunk.Digest}]...)
	}
	if !bytes.Equal(got, content) {
		t.Error("the objects do not make the file")
	}
	if known, ok := tree.Chunks(key.Digest); !ok || !slices.Equal(known, chunks) {
		t.Error("the tree does not know the chunks")
	}
	read, key2, err := ReadChunks(bytes.NewReader(content))
	if err != nil || key2 != key || !slices.Equal(read, chunks) {
		t.Errorf("read alone it is %v, %v", key2, err)
	}
}

func TestWhatCannotBeTaken(t *testing.T) {
	dir := t.TempDir()
	// A socket's path must be short.
	t.Chdir(dir)
	listener, err := net.Listen("unix", "socket")
	must(t, err)
	defer listener.Close()
	var unsupported *UnsupportedError
	if _, err := Scan(t.Context(), dir, Options{}); !errors.As(err, &unsupported) || unsupported.Path != "socket" || unsupported.What != "socket" {
		t.Errorf("got %v", err)
	}
	other := t.TempDir()
	must(t, os.Mkdir(filepath.Join(other, "d"), 0o755))
	must(t, syscall.Mkfifo(filepath.Join(other, "d/pipe"), 0o600))
	if _, err := Scan(t.Context(), other, Options{}); !errors.As(err, &unsupported) || unsupported.Path != "d/pipe" || unsupported.What != "named pipe" {
		t.Errorf("got %v", err)
	}
	// What is ignored may be anything.
	lay(t, other, map[string]string{".midgeignore": "pipe\n"})
	scope, err := ignore.Open(t.Context(), other)
	must(t, err)
	tree := scanOK(t, other, Options{Scope: scope})
	if len(tree.Ignored) != 1 || tree.Ignored[0].Path != "d/pipe" || tree.Ignored[0].Rule.String() != ".midgeignore:1: pipe" {
		t.Errorf("ignored are %+v", tree.Ignored)
	}
	if _, err := Scan(t.Context(), filepath.Join(dir, "nothing"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	lay(t, other, map[string]string{"file": ""})
	if _, err := Scan(t.Context(), filepath.Join(other, "file"), Options{}); err == nil {
		t.Error("a file is scanned as a directory")
	}
}

func TestDeepPath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	const name = "a directory with a name of some length that is one of very many"
	for range 80 {
		must(t, os.Mkdir(name, 0o755))
		must(t, os.Chdir(name))
	}
	must(t, os.WriteFile("bottom", nil, 0o644))
	tree := scanOK(t, dir, Options{})
	if lines := paths(tree); len(lines) != 81 || !slices.ContainsFunc(lines, func(line string) bool { return strings.HasSuffix(line, "/bottom") }) {
		t.Errorf("%d paths", len(lines))
	}
}

func TestFileThatChangesAgainAndAgain(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"sub/log": strings.Repeat("x", 100)})
	path := filepath.Join(dir, "sub/log")
	writes := 0
	write := func(times int) func(artifacts.Key, []byte) error {
		return func(artifacts.Key, []byte) error {
			if writes++; writes > times {
				return nil
			}
			return os.WriteFile(path, bytes.Repeat([]byte("y"), 100+writes), 0o644)
		}
	}
	// Object is called after a file was read and before it is looked at again.
	tree := scanOK(t, dir, Options{Object: write(1)})
	if tree.Bytes != 101 {
		t.Errorf("%d bytes", tree.Bytes)
	}
	writes = 0
	var changed *ChangedError
	if _, err := Scan(t.Context(), dir, Options{Object: write(2)}); !errors.As(err, &changed) || changed.Path != "sub/log" {
		t.Errorf("got %v", err)
	}
	if _, err := Scan(t.Context(), dir, Options{Object: func(artifacts.Key, []byte) error { return os.RemoveAll(path) }}); !errors.As(err, &changed) {
		t.Errorf("a file that vanishes: %v", err)
	}
}

func TestErrorAndCancellationEndTheScan(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		lay(t, dir, map[string]string{fmt.Sprintf("%d/%d", i%20, i): fmt.Sprint(i)})
	}
	broken := errors.New("broken")
	if _, err := Scan(t.Context(), dir, Options{Object: func(artifacts.Key, []byte) error { return broken }}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Scan(ctx, dir, Options{Object: func(artifacts.Key, []byte) error { cancel(); return nil }}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	if len(open) > 50 {
		t.Errorf("%d files are left open", len(open))
	}
}

// BenchmarkScan is of a tree that was scanned before.
func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	for i := range 5000 {
		lay(b, dir, map[string]string{fmt.Sprintf("%d/%d", i%300, i): fmt.Sprint(i)})
	}
	cache := OpenCache(filepath.Join(b.TempDir(), "cache"))
	scanOK(b, dir, Options{Cache: cache})
	// The files are too new to be remembered.
	time.Sleep(2 * fineTick)
	scanOK(b, dir, Options{Cache: cache})
	for b.Loop() {
		if tree := scanOK(b, dir, Options{Cache: cache}); tree.Read != 0 {
			b.Fatalf("%d files are read", tree.Read)
		}
	}
}
