package pod

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"midge/artifacts/transfer"
)

// newPod gives a directory as a pod has it, with a volume.
func newPod(t *testing.T) (dir, volume string) {
	t.Helper()
	dir = t.TempDir()
	if err := Install(dir, 1); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, VolumeDir(0))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// isIn requires what a file has; "" is that it is not there.
func isIn(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if want == "" && errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil || string(got) != want {
		t.Errorf("%s has %q, %v, want %q", path, got, err, want)
	}
}

func TestTaskCaches(t *testing.T) {
	shared := t.TempDir()
	exchangeCache := func(dir, name string, keep bool) {
		t.Helper()
		order := Order{Cache: shared, Caches: []TaskCache{{Name: name, Keep: keep}}}
		if _, err := exchangeIn(t, dir, order); err != nil {
			t.Fatal(err)
		}
	}
	first, volume := newPod(t)
	exchangeCache(first, "a", false) // nothing yet
	write(t, filepath.Join(volume, "file"), "one")
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(filepath.Join(volume, "file"), old, old); err != nil {
		t.Fatal(err)
	}
	exchangeCache(first, "a", true)
	second, volume := newPod(t)
	exchangeCache(second, "a", false)
	isIn(t, filepath.Join(volume, "file"), "one")
	if info, err := os.Stat(filepath.Join(volume, "file")); err != nil || !info.ModTime().Equal(old) || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	other, volume := newPod(t)
	exchangeCache(other, "b", false)
	isIn(t, filepath.Join(volume, "file"), "")

	// What is damaged, wherever, is as good as nothing, and nothing of it stays.
	path := filepath.Join(shared, cachesDir, "a")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{{}, whole[:len(whole)-5], []byte("no archive at all")} {
		write(t, path, string(damaged))
		dir, volume := newPod(t)
		exchangeCache(dir, "a", false)
		isIn(t, filepath.Join(volume, "file"), "")
		isIn(t, path, "")
	}
}

// Whoever takes a cache while others keep theirs gets what one of them has kept, whole.
func TestTaskCachesAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), cachesDir, "a")
	var all sync.WaitGroup
	for writer := range 4 {
		_, volume := newPod(t)
		for i := range 20 {
			write(t, filepath.Join(volume, fmt.Sprint(i)), fmt.Sprint(writer))
		}
		all.Go(func() {
			for range 10 {
				if err := keep(t.Context(), volume, path); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 10 {
				into := t.TempDir()
				if err := bring(t.Context(), path, into); err != nil {
					t.Error(err)
				}
				first, err := os.ReadFile(filepath.Join(into, "0"))
				if errors.Is(err, os.ErrNotExist) {
					continue // nobody has kept anything yet
				}
				for i := range 20 {
					isIn(t, filepath.Join(into, fmt.Sprint(i)), string(first))
				}
			}
		})
	}
	all.Wait()
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), newArchive+"*")); err != nil || len(left) > 0 {
		t.Errorf("what was being written is left: %q, %v", left, err)
	}
}

func TestTaskCachesThatNobodyUses(t *testing.T) {
	shared := t.TempDir()
	dir, _ := newPod(t)
	for _, name := range []string{"used", "unused"} {
		if _, err := exchangeIn(t, dir, Order{Cache: shared, Caches: []TaskCache{{Name: name, Keep: true}}}); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-2 * CacheUnused)
		if err := os.Chtimes(filepath.Join(shared, cachesDir, name), old, old); err != nil {
			t.Fatal(err)
		}
		if name == "unused" {
			continue
		}
		if _, err := exchangeIn(t, dir, Order{Cache: shared, Caches: []TaskCache{{Name: name}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := exchangeIn(t, dir, Order{Cache: shared, Caches: []TaskCache{{Name: "used"}}}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(shared, cachesDir))
	if err != nil || len(entries) != 1 || entries[0].Name() != "used" {
		t.Errorf("there are %v, %v", entries, err)
	}
}

// A volume that is kept while its context ends leaves what was there before.
func TestTaskCacheThatIsNotKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), cachesDir, "a")
	_, volume := newPod(t)
	write(t, filepath.Join(volume, "file"), "one")
	if err := keep(t.Context(), volume, path); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(volume, "file"), "two")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := keep(ended, volume, path); !errors.Is(err, context.Canceled) {
		t.Errorf("it gave %v", err)
	}
	into := t.TempDir()
	if err := bring(t.Context(), path, into); err != nil {
		t.Fatal(err)
	}
	isIn(t, filepath.Join(into, "file"), "one")
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
}

// A volume that was offered is fetched, over connections that are cut as well, and what
// was not is not.
func TestOffer(t *testing.T) {
	client, dir, cut := newServer(t)
	write(t, filepath.Join(dir, VolumeDir(0), "file"), "text")
	digest, err := client.Offer(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	cut()
	fetch := func(digest, what string) (string, error) {
		server := httptest.NewServer(client.Offered(digest))
		defer server.Close()
		to := t.TempDir()
		remote := &transfer.Remote{Client: http.DefaultClient, URL: server.URL, Attempts: 1}
		_, err := transfer.Fetch(t.Context(), remote, what, to, transfer.FetchOptions{})
		return filepath.Join(to, "file"), err
	}
	file, err := fetch(digest, digest)
	if err != nil {
		t.Fatal(err)
	}
	isIn(t, file, "text")
	write(t, filepath.Join(dir, VolumeDir(0), "file"), "other")
	another, err := client.Offer(t.Context(), 0)
	if err != nil || another == digest {
		t.Fatalf("another tree is offered as %s, %v", another, err)
	}
	if _, err := fetch(digest, another); err == nil {
		t.Error("a tree was fetched from another")
	}
	if _, err := fetch("missing", digest); err == nil {
		t.Error("a tree was fetched that was not offered")
	}
	if _, err := client.Offer(t.Context(), 7); err == nil {
		t.Error("a volume was offered that is not there")
	}
}
