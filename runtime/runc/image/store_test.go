package image

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCollect(t *testing.T) {
	registry := newRegistry(t)
	base := gzipLayer(t, file{name: "base", text: "b"})
	registry.push(t, "kept", makeImage(t, here, base))
	registry.push(t, "unused", makeImage(t, here, base, gzipLayer(t, file{name: "top", text: "t"})))
	store := openStore(t)
	kept, err := store.Pull(t.Context(), registry.source("kept"), nil)
	if err != nil {
		t.Fatal(err)
	}
	unused, err := store.Pull(t.Context(), registry.source("unused"), nil)
	if err != nil {
		t.Fatal(err)
	}
	unused.Release()
	unused.Release() // again does nothing

	if err := store.Collect(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	again, err := store.Image(unused.Digest)
	if err != nil {
		t.Fatalf("an image used lately was collected: %v", err)
	}
	again.Release()

	if err := store.Collect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Image(unused.Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unused image is still there (%v)", err)
	}
	wantFile(t, mount(t, kept), "base", "b")
	layers, err := os.ReadDir(filepath.Join(store.dir, "layers"))
	if err != nil || len(layers) != 1 {
		t.Errorf("%d layers, %v; want 1", len(layers), err)
	}
	kept.Release()
	if err := store.Collect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, store)
}
