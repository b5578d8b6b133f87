package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"midge/artifacts"
)

func inodes(t testing.TB, dir string) map[string]uint64 {
	t.Helper()
	found := make(map[string]uint64)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		must(t, err)
		name, err := filepath.Rel(dir, path)
		must(t, err)
		found[name] = info.Sys().(*syscall.Stat_t).Ino
		return nil
	}))
	return found
}

func TestOneDirectoryForAll(t *testing.T) {
	s := open(t, Options{})
	source := t.TempDir()
	makeTree(t, source)
	digest := ingest(t, s, mainTeam, source)
	var mu sync.Mutex
	dirs := make(map[string]int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, release, err := s.Materialise(t.Context(), digest)
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			mu.Lock()
			defer mu.Unlock()
			dirs[dir]++
		})
	}
	wg.Wait()
	if len(dirs) != 1 {
		t.Errorf("directories %v", dirs)
	}
}

// TestSimilarTreesShareFiles changes one file of a tree: the others are linked
// into the new directory, and no two names there are one file that are two.
func TestSimilarTreesShareFiles(t *testing.T) {
	s := open(t, Options{})
	source := t.TempDir()
	makeTree(t, source)
	first, release, err := s.Materialise(t.Context(), ingest(t, s, mainTeam, source))
	must(t, err)
	defer release()

	must(t, os.WriteFile(filepath.Join(source, "dir/inner/deep"), []byte("changed"), 0o644))
	must(t, os.Chmod(filepath.Join(source, "Case"), 0o600))
	must(t, os.Chtimes(filepath.Join(source, "case"), when.Add(time.Second), when.Add(time.Second)))
	// What were names of one file are files of their own now, with the same content.
	content, err := os.ReadFile(filepath.Join(source, "hard"))
	must(t, err)
	must(t, os.Remove(filepath.Join(source, "hard")))
	must(t, os.WriteFile(filepath.Join(source, "hard"), content, 0o644))
	must(t, os.Chtimes(filepath.Join(source, "hard"), when, when))

	second, release2, err := s.Materialise(t.Context(), ingest(t, s, mainTeam, source))
	must(t, err)
	defer release2()
	compare(t, listing(t, second), listing(t, source))
	before, after := inodes(t, first), inodes(t, second)
	for _, name := range []string{"large", "small", "empty", "dir/hard"} {
		if before[name] != after[name] {
			t.Errorf("%q is not shared", name)
		}
	}
	for _, name := range []string{"dir/inner/deep", "Case", "case", "hard"} {
		if name != "hard" && before[name] == after[name] {
			t.Errorf("%q is shared though it differs", name)
		}
	}
	if after["hard"] == after["dir/hard"] {
		t.Error("two files are one")
	}
	verify(t, s, nil)
}

func TestLeastUsedDirectoriesGo(t *testing.T) {
	used := make(map[string]bool)
	s := open(t, Options{
		MaxDirectories: 40_000, // each tree has 16 kB
		InUse: func(context.Context) ([]string, error) {
			var digests []string
			for digest := range used {
				digests = append(digests, digest)
			}
			return digests, nil
		},
	})
	var digests, dirs []string
	for i := range 5 {
		digests = append(digests, ingest(t, s, mainTeam, smallTree(t, 1000+i*512)))
	}
	used[digests[0]] = true
	held := func() {}
	for i, digest := range digests {
		dir, release, err := s.Materialise(t.Context(), digest)
		must(t, err)
		dirs = append(dirs, dir)
		if i == 1 {
			held = release
			continue
		}
		release()
		s.background.Wait()
	}
	var left []bool
	for _, dir := range dirs {
		_, err := os.Stat(dir)
		left = append(left, err == nil)
	}
	if !left[0] || !left[1] || left[2] || left[3] {
		t.Errorf("left are %v", left)
	}
	held()
	entries, err := os.ReadDir(filepath.Join(s.dir, temporaryDir))
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("half removed are %v", entries)
	}
}

func TestWhoGoesAwayDoesNotSpoilADirectory(t *testing.T) {
	s := open(t, Options{})
	source := t.TempDir()
	makeTree(t, source)
	digest := ingest(t, s, mainTeam, source)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Materialise(ctx, digest); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	dir, release, err := s.Materialise(t.Context(), digest)
	must(t, err)
	defer release()
	compare(t, listing(t, dir), listing(t, source))
}

func TestDirectoryThatWasWrittenToIsFound(t *testing.T) {
	s := open(t, Options{})
	dir, release, err := s.Materialise(t.Context(), ingest(t, s, mainTeam, smallTree(t, 3)))
	must(t, err)
	defer release()
	must(t, os.WriteFile(filepath.Join(dir, "0/file"), []byte("other"), 0o644))
	v, err := s.Verify(t.Context(), nil)
	must(t, err)
	if len(v.Problems) != 1 {
		t.Errorf("problems %q", v.Problems)
	}
}

// TestDamagedPackIsFound damages each pack in its middle and at its end.
func TestDamagedPackIsFound(t *testing.T) {
	for _, at := range []float64{0.3, 0.99} {
		s := open(t, Options{})
		digest := ingest(t, s, mainTeam, smallTree(t, 3))
		for _, p := range s.packs {
			content, err := os.ReadFile(p.path)
			must(t, err)
			content[int(float64(len(content))*at)] ^= 1
			must(t, os.WriteFile(p.path, content, 0o600))
		}
		again := reopen(t, s)
		v, err := again.Verify(t.Context(), func(context.Context) ([]string, error) { return []string{digest}, nil })
		must(t, err)
		if len(v.Problems) == 0 {
			t.Errorf("a pack that is damaged at %v is not found", at)
		}
	}
}

// A tree of a few objects can have more directories than a disk has room for.
func TestMaterialiseOfTooManyNames(t *testing.T) {
	s := open(t, Options{})
	s.maxNames = 1000
	objects := []pair{tree()}
	for range 40 {
		d := artifacts.Entry{Name: "a", Type: artifacts.TypeDirectory, Content: objects[len(objects)-1].key}
		e := d
		e.Name = "b"
		objects = append(objects, tree(d, e))
	}
	root := objects[len(objects)-1].key.Digest
	must(t, s.Receive(t.Context(), mainTeam, root, bytes.NewReader(packOf(objects...))))
	whole, _, err := s.Missing(t.Context(), mainTeam, root)
	if err != nil || whole == nil {
		t.Fatalf("%v, %v", whole, err)
	}
	if _, _, err := s.Materialise(t.Context(), root.String()); err == nil || !strings.Contains(err.Error(), "more than 1000 names") {
		t.Errorf("got %v", err)
	}
	for _, pattern := range []string{treesDir + "/*", temporaryDir + "/*"} {
		left, err := filepath.Glob(filepath.Join(s.dir, pattern))
		left = slices.DeleteFunc(left, func(path string) bool { return filepath.Base(path) == "boot" })
		if err != nil || len(left) > 0 {
			t.Errorf("there is %v, %v", left, err)
		}
	}
}
