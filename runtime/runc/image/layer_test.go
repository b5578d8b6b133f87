package image

import (
	"archive/tar"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// An image may have a layer twice, as one that is empty.
func TestLayerThatIsThereTwice(t *testing.T) {
	registry := newRegistry(t)
	twice := gzipLayer(t, file{name: "a", text: "twice"}, file{name: ".wh.c"})
	registry.push(t, "app", makeImage(t, here, twice,
		gzipLayer(t, file{name: "a", text: "between"}, file{name: "b", text: "between"}, file{name: "c", text: "between"}), twice))
	image, err := openStore(t).Pull(t.Context(), registry.source("app"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Release()
	merged := mount(t, image)
	wantFile(t, merged, "a", "twice")
	wantFile(t, merged, "b", "between")
	wantNothing(t, merged, "c")
}

func TestLayersAreSharedByImages(t *testing.T) {
	registry := newRegistry(t)
	base := gzipLayer(t, file{name: "base", text: "b"})
	registry.push(t, "one", makeImage(t, here, base, gzipLayer(t, file{name: "one", text: "1"})))
	registry.push(t, "two", makeImage(t, here, base, gzipLayer(t, file{name: "two", text: "2"})))
	store := openStore(t)
	var group sync.WaitGroup
	for _, repository := range []string{"one", "two", "one", "two"} {
		group.Go(func() {
			image, err := store.Pull(context.Background(), registry.source(repository), nil)
			if err != nil {
				t.Error(err)
				return
			}
			image.Release()
		})
	}
	group.Wait()
	entries, err := os.ReadDir(filepath.Join(store.dir, "layers"))
	if err != nil || len(entries) != 3 {
		t.Errorf("%d layers, %v; want 3", len(entries), err)
	}
	digest, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	for _, request := range registry.since() {
		if strings.HasPrefix(request, "GET ") && strings.HasSuffix(request, digest.String()) {
			fetched++
		}
	}
	if fetched != 1 {
		t.Errorf("the layer both images have was fetched %d times", fetched)
	}
}

// A directory that a layer has only because there are files in it keeps the mode
// that the layer below gave it.
func TestImpliedDirectories(t *testing.T) {
	registry := newRegistry(t)
	registry.push(t, "app", makeImage(t, here,
		gzipLayer(t, dir("private", 0o700), dir("private/tmp", 0o1777)),
		gzipLayer(t, file{name: "private/tmp/file", text: "x"}, file{name: "fresh/file", text: "y"})))
	image, err := openStore(t).Pull(t.Context(), registry.source("app"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Release()
	merged := mount(t, image)
	for name, want := range map[string]fs.FileMode{
		"private":     fs.ModeDir | 0o700,
		"private/tmp": fs.ModeDir | fs.ModeSticky | 0o777,
		"fresh":       fs.ModeDir | 0o755,
	} {
		info, err := os.Stat(filepath.Join(merged, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	wantFile(t, merged, "private/tmp/file", "x")
}

func TestLayerThatLeavesItsRoot(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	registry := newRegistry(t)
	registry.push(t, "app", makeImage(t, here, gzipLayer(t,
		file{name: "../../../../../../../../" + outside, text: "x"},
		file{name: "link", kind: tar.TypeSymlink, link: filepath.Dir(outside)},
		file{name: "link/outside", text: "x"})))
	store := openStore(t)
	image, err := store.Pull(t.Context(), registry.source("app"), nil)
	if err == nil {
		image.Release()
	}
	if _, err := os.Lstat(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a layer wrote outside its directory (%v)", err)
	}
}

func TestNoSpaceForLayer(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	registry := newRegistry(t)
	registry.push(t, "app", makeImage(t, here, gzipLayer(t, file{name: "big", text: strings.Repeat("x", 1<<20)})))
	store, err := Open(small, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Pull(t.Context(), registry.source("app"), nil)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("error %v, want one that says that the disk is full", err)
	}
	wantEmpty(t, store)
}
