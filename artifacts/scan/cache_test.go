package scan

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"midge/artifacts"
)

// Files that a test writes have just changed, so that nothing about them is
// remembered. ctime cannot be set, but the clock that a run begins at can be read
// later than it is.
func scanLater(t testing.TB, dir string, cache *Cache) *Tree {
	t.Helper()
	cache.clock = func() time.Time { return time.Now().Add(time.Hour) }
	return scanOK(t, dir, Options{Cache: cache})
}

func newCache(t testing.TB) *Cache { return OpenCache(filepath.Join(t.TempDir(), "a", "cache")) }

func TestCacheSparesReading(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"a": "1", "b": "2", "d/c": "3", "empty": ""})
	cache := newCache(t)
	first := scanLater(t, dir, cache)
	if first.Read != 3 || first.ReadBytes != 3 || cache.Err != nil {
		t.Errorf("%d files read, %v", first.Read, cache.Err)
	}
	second := scanLater(t, dir, cache)
	if second.Read != 0 || second.Root != first.Root {
		t.Errorf("%d files read again, the tree is %v and was %v", second.Read, second.Root, first.Root)
	}
	lay(t, dir, map[string]string{"b": "changed", "aa": "new"})
	must(t, os.Remove(filepath.Join(dir, "a")))
	third := scanLater(t, dir, cache)
	if third.Read != 2 {
		t.Errorf("%d files read after two changed", third.Read)
	}
	if fresh := scanOK(t, dir, Options{}); fresh.Root != third.Root {
		t.Error("the tree is another with the cache than without")
	}
}

// TestCacheSeesEveryChange changes a file in ways that leave most of what lstat tells.
func TestCacheSeesEveryChange(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"same size and time": func(path string) error {
			if err := os.WriteFile(path, []byte("2"), 0o644); err != nil {
				return err
			}
			return os.Chtimes(path, when, when)
		},
		"renamed over": func(path string) error {
			if err := os.WriteFile(path+".new", []byte("2"), 0o644); err != nil {
				return err
			}
			if err := os.Chtimes(path+".new", when, when); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lay(t, dir, map[string]string{"a": "1"})
			cache := newCache(t)
			before := scanLater(t, dir, cache)
			must(t, change(filepath.Join(dir, "a")))
			if after := scanLater(t, dir, cache); after.Root == before.Root {
				t.Error("the change is not seen")
			}
		})
	}
}

// TestJustChangedFilesAreReadAgain: a change in the same tick of the clock may
// leave all that lstat tells.
func TestJustChangedFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"a": "1"})
	cache := newCache(t)
	info, err := os.Stat(filepath.Join(dir, "a"))
	must(t, err)
	ctime := changeTime(t, info)
	for _, later := range []time.Duration{-time.Hour, 0, fineTick - 1} {
		cache.clock = func() time.Time { return ctime.Add(later) }
		scanOK(t, dir, Options{Cache: cache})
		if tree := scanLater(t, dir, OpenCache(cache.path)); tree.Read != 1 {
			t.Errorf("a scan that began %v after the change is trusted", later)
		}
		must(t, os.Remove(cache.path))
	}
}

func TestSettled(t *testing.T) {
	const second = int64(time.Second)
	for _, c := range []struct {
		mtime, ctime, started int64
		want                  bool
	}{
		{10*second + 5, 10*second + 5, 11 * second, true},
		{10*second + 5, 10*second + 5, 10*second + 6, false},
		{10*second + 5, 20 * second, 20*second + 1, false},
		{10 * second, 10 * second, 11 * second, false}, // whole seconds: a coarse clock
		{10 * second, 10 * second, 13 * second, true},
		{30*second + 5, 1, 20 * second, false}, // in the future
	} {
		if got := settled(info{mtime: c.mtime, ctime: c.ctime}, c.started); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestDamagedCacheIsThrownAway(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"a": "1", "b/c": "2"})
	cache := newCache(t)
	want := scanLater(t, dir, cache).Root
	content, err := os.ReadFile(cache.path)
	must(t, err)
	for i := range content {
		damaged := slices.Clone(content)
		damaged[i]++
		var run cacheRun
		if run.load(damaged) {
			t.Fatalf("a cache with another byte at %d is trusted", i)
		}
	}
	must(t, os.WriteFile(cache.path, content[:len(content)/2], 0o600))
	tree := scanLater(t, dir, cache)
	if tree.Read != 2 || tree.Root != want {
		t.Errorf("%d files read, the tree is %v", tree.Read, tree.Root)
	}
	if again := scanLater(t, dir, cache); again.Read != 0 {
		t.Error("the cache is not mended")
	}
}

func TestCacheThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"a": "1", "file": ""})
	cache := OpenCache(filepath.Join(dir, "file", "cache"))
	if tree := scanLater(t, dir, cache); tree.Read != 1 || cache.Err == nil {
		t.Errorf("%d files read, %v", tree.Read, cache.Err)
	}
}

func TestCachePath(t *testing.T) {
	a, err := CachePath("/base", "/some/dir")
	must(t, err)
	b, err := CachePath("/base", "/some/dir/../dir")
	must(t, err)
	c, err := CachePath("/base", "/other")
	must(t, err)
	if a != b || a == c || filepath.Dir(a) != "/base/scans" {
		t.Errorf("got %q, %q, %q", a, b, c)
	}
}

// FuzzCache: whatever the file holds, what is found in it belongs to what was asked for.
func FuzzCache(f *testing.F) {
	entries := appendCached(nil, "a", info{size: 1, mtime: 2}, artifacts.Key{Kind: artifacts.KindContent})
	f.Add(entries)
	f.Fuzz(func(t *testing.T, entries []byte) {
		run := cacheRun{directories: map[string][]byte{"": entries}}
		d := run.directory("")
		var key artifacts.Key
		for _, name := range []string{"a", "b", "c"} {
			d.find(name, info{kind: artifacts.TypeFile, size: 1, mtime: 2}, &key)
		}
	})
}
