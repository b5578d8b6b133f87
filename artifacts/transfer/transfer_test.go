package transfer

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"midge/artifacts"
	"midge/artifacts/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func bytesOf(seed uint64, n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(p)
	return p
}

var when = time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)

// lay writes files below dir; a name that ends in a slash is an empty directory.
// All have an old time, so that they are remembered.
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

// sample is a tree with some of everything.
func sample(t testing.TB) string {
	dir := t.TempDir()
	files := map[string]string{
		"empty": "", "a": "a\n", "b": "a\n", "sub/c": "c", "sub/deep/er/d": "d", "hollow/": "",
		"name\nwith newline": "n", "\xff\xfe": "u",
		"large": string(bytesOf(1, 6<<20)), "sub/incompressible": string(bytesOf(2, 300_000)),
	}
	for i := range 40 {
		files[fmt.Sprintf("many/%d/file", i)] = strings.Repeat(fmt.Sprint(i), 1000)
	}
	lay(t, dir, files)
	must(t, os.Symlink("sub/c", filepath.Join(dir, "link")))
	must(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "z")))
	must(t, os.Chmod(filepath.Join(dir, "sub/c"), 0o755))
	setDirTimes(t, dir)
	return dir
}

func setDirTimes(t testing.TB, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chtimes(path, when, when)
	}))
}

// listing describes all that is below dir, by path.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	lines := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		must(t, err)
		info, err := d.Info()
		must(t, err)
		line := info.Mode().String()
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			must(t, err)
			line += " -> " + target
		case d.Type().IsRegular():
			content, err := os.ReadFile(path)
			must(t, err)
			line += fmt.Sprint(" ", artifacts.Sum(content), " ", info.ModTime().UTC())
		default:
			line += fmt.Sprint(" ", info.ModTime().UTC())
		}
		lines[name] = line
		return nil
	}))
	return lines
}

func compareDirs(t testing.TB, got, want string) {
	t.Helper()
	g, w := listing(t, got), listing(t, want)
	for name, line := range w {
		if g[name] != line {
			t.Errorf("%q is %q, want %q", name, g[name], line)
		}
	}
	for name, line := range g {
		if _, ok := w[name]; !ok {
			t.Errorf("%q is %q, and should not be", name, line)
		}
	}
}

// recorder counts the requests that go through it, and may spoil them.
type recorder struct {
	client interface {
		Do(*http.Request) (*http.Response, error)
	}
	spoil func(n int, request *http.Request) error

	mu       sync.Mutex
	n        int
	paths    []string
	bytes    map[string]int64
	largest  int64
	response func(*http.Response)
}

func record(remote *Remote) *recorder {
	r := &recorder{client: remote.Client, bytes: make(map[string]int64)}
	remote.Client = r
	remote.Wait = func(int) time.Duration { return 0 }
	return r
}

func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	kind := request.URL.Path[strings.Index(request.URL.Path, "/artifacts/")+len("/artifacts/"):]
	kind, _, _ = strings.Cut(kind, "/")
	r.mu.Lock()
	r.n++
	n := r.n
	r.mu.Unlock()
	if r.spoil != nil {
		if err := r.spoil(n, request); err != nil {
			return nil, err
		}
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, kind)
	r.bytes[kind] += request.ContentLength
	r.largest = max(r.largest, request.ContentLength)
	if r.response != nil {
		r.response(response)
	}
	return response, nil
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths, r.bytes, r.largest = nil, make(map[string]int64), 0
}

func sendOK(t *testing.T, remote *Remote, dir string, options SendOptions) Receipt {
	t.Helper()
	receipt, _, err := Send(t.Context(), remote, dir, options)
	must(t, err)
	return receipt
}

// checkStored compares what the store has under a digest with a directory.
func checkStored(t *testing.T, s *store.Store, digest, dir string) {
	t.Helper()
	made, release, err := s.Materialise(t.Context(), digest)
	must(t, err)
	defer release()
	compareDirs(t, made, dir)
}
