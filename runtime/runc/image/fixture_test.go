package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

var here = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}

// file is an entry of a layer: a file with text, or what kind says.
type file struct {
	name, text string
	mode       int64
	kind       byte
	link       string
}

func dir(name string, mode int64) file { return file{name: name, mode: mode, kind: tar.TypeDir} }

func layerTar(t *testing.T, files ...file) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), Typeflag: f.kind, Linkname: f.link}
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Mode == 0 {
			header.Mode = 0o644
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func gzipLayer(t *testing.T, files ...file) v1.Layer {
	t.Helper()
	content := layerTar(t, files...)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func zstdLayer(t *testing.T, files ...file) v1.Layer {
	t.Helper()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	content := encoder.EncodeAll(layerTar(t, files...), nil)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayerZStd))
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func makeImage(t *testing.T, platform v1.Platform, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = platform.OS, platform.Architecture
	config.Config.Env = []string{"COLOR=blue"}
	config.Config.User = "app"
	config.Config.WorkingDir = "/srv"
	config.Config.Entrypoint = []string{"/bin/entry"}
	config.Config.Cmd = []string{"word"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// named gives an image whose layers are said to be those of another.
func named(t *testing.T, image, other v1.Image) v1.Image {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	names, err := other.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.RootFS.DiffIDs = names.RootFS.DiffIDs
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

func openStore(t *testing.T) *Store {
	t.Helper()
	store, err := Open(t.TempDir(), Options{StallTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// mount stacks an image's layers as a container would and gives the merged directory.
func mount(t *testing.T, image *Image) string {
	t.Helper()
	merged := t.TempDir()
	layers := image.Layers
	if len(layers) == 1 {
		layers = append(layers, t.TempDir()) // overlayfs without an upper layer wants two
	}
	if err := unix.Mount("overlay", merged, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(layers, ":")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return merged
}

func wantFile(t *testing.T, dir, name, text string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != text {
		t.Errorf("%s: %q, %v; want %q", name, got, err, text)
	}
}

func wantNothing(t *testing.T, dir, name string) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there (%v)", name, err)
	}
}

// wantEmpty checks that nothing of a failed image is left.
func wantEmpty(t *testing.T, store *Store) {
	t.Helper()
	for _, name := range []string{"images", "layers", "tmp"} {
		entries, err := os.ReadDir(filepath.Join(store.dir, name))
		if err != nil || len(entries) > 0 {
			t.Errorf("%s is not empty: %v, %v", name, entries, err)
		}
	}
}
