package store

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"midge/runtime"
)

const mainTeam = "main"

func open(t testing.TB, options Options) *Store {
	t.Helper()
	s, err := Open(t.TempDir(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// localDir is an artifact that is a directory of this machine.
type localDir string

func (d localDir) Handle() string { return string(d) }

func (d localDir) StreamOut(context.Context, string) (io.ReadCloser, error) {
	return nil, errors.New("a local artifact is read where it lies")
}

func (d localDir) LocalPath(context.Context) (string, func(), error) {
	return string(d), func() {}, nil
}

func bytesOf(seed uint64, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)}).Read(p)
	return p
}

var when = time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)

// makeTree fills a directory with one of everything a tree can hold.
func makeTree(t testing.TB, dir string) {
	t.Helper()
	files := map[string][]byte{
		"empty":                  nil,
		"small":                  []byte("small\n"),
		"dir/inner/deep":         bytesOf(1, 3000),
		"dir/other":              bytesOf(2, 70_000),
		"large":                  bytesOf(3, 5<<20),
		"name with\nnewline":     []byte("x"),
		"\xff\xfe not UTF-8":     []byte("y"),
		strings.Repeat("n", 255): []byte("z"),
		"Case":                   []byte("upper"),
		"case":                   []byte("lower"),
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, content, 0o644))
	}
	must(t, os.Mkdir(filepath.Join(dir, "empty dir"), 0o750))
	must(t, os.Chmod(filepath.Join(dir, "small"), os.ModeSetuid|0o755))
	must(t, os.Symlink("dir/inner", filepath.Join(dir, "link")))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	must(t, os.Symlink("/nowhere", filepath.Join(dir, "dangling")))
	must(t, os.Link(filepath.Join(dir, "dir/other"), filepath.Join(dir, "hard")))
	must(t, os.Link(filepath.Join(dir, "dir/other"), filepath.Join(dir, "dir/hard")))
	setTimes(t, dir)
}

func setTimes(t testing.TB, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() == fs.ModeSymlink {
			return err
		}
		return os.Chtimes(path, when, when)
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listing describes all that is in a directory, a line for each name.
func listing(t testing.TB, dir string) []string {
	t.Helper()
	var lines []string
	first := make(map[uint64]string)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		must(t, err)
		info, err := d.Info()
		must(t, err)
		line := fmt.Sprintf("%q %v", name, info.Mode())
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			must(t, err)
			line += " -> " + target
		case d.Type().IsRegular():
			content, err := os.ReadFile(path)
			must(t, err)
			line += fmt.Sprintf(" %d %x %v", len(content), content[:min(8, len(content))], info.ModTime().UTC())
			inode := info.Sys().(*syscall.Stat_t).Ino
			if other, ok := first[inode]; ok {
				line += " = " + other
			} else {
				first[inode] = name
			}
		default:
			line += fmt.Sprint(" ", info.ModTime().UTC())
		}
		lines = append(lines, line)
		return nil
	}))
	return lines
}

func compare(t testing.TB, got, want []string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("lacks %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("has   %s", line)
		}
	}
}

// tarOf reads an artifact's tar stream.
func tarOf(t testing.TB, a runtime.Artifact, path string) []byte {
	t.Helper()
	r, err := a.StreamOut(t.Context(), path)
	must(t, err)
	content, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	return content
}

func tarNames(t testing.TB, content []byte) []string {
	t.Helper()
	var names []string
	r := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		must(t, err)
		names = append(names, header.Name)
	}
}

func TestIngestLocalAndBack(t *testing.T) {
	s := open(t, Options{})
	source := t.TempDir()
	makeTree(t, source)
	digest, files, size, err := s.Ingest(t.Context(), mainTeam, localDir(source))
	must(t, err)
	if want := int64(15); files != want {
		t.Errorf("%d files, want %d", files, want)
	}
	if want := int64(6 + 3000 + 70_000 + 5<<20 + 1 + 1 + 1 + 5 + 5); size != want {
		t.Errorf("%d bytes, want %d", size, want)
	}
	dir, release, err := s.Materialise(t.Context(), digest)
	must(t, err)
	defer release()
	compare(t, listing(t, dir), listing(t, source))

	// The tar stream of the tree, read again, is the same tree.
	a, err := s.Open(t.Context(), mainTeam, digest)
	must(t, err)
	again, files2, size2, err := s.IngestTar(t.Context(), "other", bytes.NewReader(tarOf(t, a, ".")))
	must(t, err)
	if again != digest || files2 != files || size2 != size {
		t.Errorf("its tar stream is %s (%d files, %d bytes), not %s (%d, %d)", again, files2, size2, digest, files, size)
	}
}

func TestStoreOutlivesItsProcess(t *testing.T) {
	path := t.TempDir()
	s, err := Open(path, Options{})
	must(t, err)
	source := t.TempDir()
	makeTree(t, source)
	digest, _, _, err := s.Ingest(t.Context(), mainTeam, localDir(source))
	must(t, err)
	_, release, err := s.Materialise(t.Context(), digest)
	must(t, err)
	release()
	if _, err := Open(path, Options{}); err == nil {
		t.Error("a second process may open the store")
	}
	must(t, s.Close())
	s, err = Open(path, Options{})
	must(t, err)
	defer s.Close()
	if _, err := s.Open(t.Context(), mainTeam, digest); err != nil {
		t.Error(err)
	}
	dir, release, err := s.Materialise(t.Context(), digest)
	must(t, err)
	defer release()
	compare(t, listing(t, dir), listing(t, source))
}

func TestTeamsSeeWhatTheySent(t *testing.T) {
	s := open(t, Options{})
	source := t.TempDir()
	makeTree(t, source)
	digest, _, _, err := s.Ingest(t.Context(), mainTeam, localDir(source))
	must(t, err)
	var notFound *runtime.NotFoundError
	if _, err := s.Open(t.Context(), "other", digest); !errors.As(err, &notFound) {
		t.Errorf("another team: %v, want that it is not found", err)
	}
	packs := len(s.packs)
	_, _, _, err = s.Ingest(t.Context(), "other", localDir(source))
	must(t, err)
	if _, err := s.Open(t.Context(), "other", digest); err != nil {
		t.Error(err)
	}
	if len(s.packs) != packs {
		t.Error("the same tree is stored twice")
	}
}

func TestStreamOutPaths(t *testing.T) {
	s := open(t, Options{})
	source := t.TempDir()
	makeTree(t, source)
	must(t, os.Symlink("../..", filepath.Join(source, "dir/out")))
	must(t, os.Symlink("inner/deep", filepath.Join(source, "dir/to deep")))
	digest, _, _, err := s.Ingest(t.Context(), mainTeam, localDir(source))
	must(t, err)
	a, err := s.Open(t.Context(), mainTeam, digest)
	must(t, err)
	for path, want := range map[string][]string{
		"dir":              {"hard", "inner/", "inner/deep", "other", "out", "to deep"},
		"./dir/":           {"hard", "inner/", "inner/deep", "other", "out", "to deep"},
		"small":            {"small"},
		"hard":             {"hard"},
		"link/deep":        {"deep"},
		"link/":            {"deep"},
		"link":             {"link"},
		"dir/../dir/inner": {"deep"},
	} {
		if got := tarNames(t, tarOf(t, a, path)); !slices.Equal(got, want) {
			t.Errorf("%q holds %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"nothing", "small/x", "..", "dir/../../x", "/small", "loop/x", "dangling/x", "dir/out/x"} {
		_, err := a.StreamOut(t.Context(), path)
		var notFound *runtime.NotFoundError
		if !errors.As(err, &notFound) || notFound.Kind != "path" {
			t.Errorf("%q: %v, want that it is not found", path, err)
		}
	}
}

func TestStreamOutThatIsClosedEarly(t *testing.T) {
	s := open(t, Options{})
	source := t.TempDir()
	makeTree(t, source)
	digest, _, _, err := s.Ingest(t.Context(), mainTeam, localDir(source))
	must(t, err)
	a, err := s.Open(t.Context(), mainTeam, digest)
	must(t, err)
	r, err := a.StreamOut(t.Context(), ".")
	must(t, err)
	_, err = io.CopyN(io.Discard, r, 1000)
	must(t, err)
	must(t, r.Close())
}
