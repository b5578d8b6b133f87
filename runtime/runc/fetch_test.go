package runc_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"midge/runtime"
	"midge/runtime/runc"
)

// layerOf gives a layer of files, by name; a name that ends in a slash is a directory.
func layerOf(t testing.TB, files map[string]string) v1.Layer {
	t.Helper()
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for name, content := range files {
		header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}
		if strings.HasSuffix(name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stream.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// busyboxImage is an image of three layers, the last of which removes a file.
func busyboxImage(t testing.TB) v1.Image {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image,
		layerOf(t, map[string]string{"bin/": "", "bin/sh": string(busybox), "etc/": "", "etc/passwd": "builder:x:1001:1002::/home:/bin/sh\n"}),
		layerOf(t, map[string]string{"dir/": "", "dir/removed": "", "dir/kept": "kept"}),
		layerOf(t, map[string]string{"dir/.wh.removed": ""}))
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: "linux", Architecture: goruntime.GOARCH,
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(t, image)},
		Config: v1.Config{
			Env: []string{"PATH=/bin", "FROM=image"}, User: "builder",
			Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"echo $FROM $USER; cat /dir/*; echo x > out/x"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func diffIDs(t testing.TB, image v1.Image) []v1.Hash {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.RootFS.DiffIDs
}

func TestImageOfRegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	repository := strings.TrimPrefix(server.URL, "http://") + "/busybox"
	reference, err := name.ParseReference(repository)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, busyboxImage(t)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "state")
	w := newWorker(t, func(o *runc.Options) { o.StateDir = dir })
	spec := runtime.ContainerSpec{
		Handle: "first", Dir: "/work",
		Env:     []string{"FROM=task"},
		Image:   runtime.ImageSpec{Registry: &runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": repository}}},
		Outputs: []runtime.Output{{Path: "out"}},
	}
	var lines []string
	spec.Progress = func(line string) { lines = append(lines, line) }
	c := newContainer(t, w, spec)
	if len(lines) == 0 || !strings.Contains(lines[len(lines)-1], "3 of 3 layers") {
		t.Errorf("the progress is %q", lines)
	}
	p, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "task"})
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, p, runtime.Stdout); got != "task builder\nkept" {
		t.Errorf("the image's command wrote %q, %q", got, output(t, p, runtime.Stderr))
	}
	p, err = c.Run(t.Context(), runtime.ProcessSpec{ID: "arguments", Args: []string{"echo arguments"}, User: "root"})
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, p, runtime.Stdout); got != "arguments\n" {
		t.Errorf("the image's entrypoint wrote %q", got)
	}

	// A server that comes back keeps the layers that its containers lie on.
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w.Close()
	w = newWorker(t, func(o *runc.Options) { o.StateDir = dir })
	again, err := w.LookupContainer(t.Context(), "first")
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, run(t, again, "again", "cat /dir/kept"), runtime.Stdout); got != "kept" {
		t.Errorf("the revived container has %q", got)
	}

	spec.Handle, spec.Progress = "missing", nil
	spec.Image.Registry.Source = map[string]any{"repository": repository + "-missing"}
	if _, err := w.FindOrCreateContainer(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "no such image") {
		t.Errorf("an image that does not exist gave error %v", err)
	}
	spec.Image.Registry.Source = map[string]any{"repo": repository}
	specError := (*runtime.SpecError)(nil)
	if _, err := w.FindOrCreateContainer(t.Context(), spec); !errors.As(err, &specError) {
		t.Errorf("an image_resource with an unknown field gave error %v, want a SpecError", err)
	}
	if all, err := w.Containers(t.Context()); err != nil || !slices.Equal(all, []string{"first"}) {
		t.Errorf("the containers are %v (%v)", all, err)
	}
}

func TestImageOfArtifact(t *testing.T) {
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(busyboxImage(t)); err != nil {
		t.Fatal(err)
	}
	w := newWorker(t)
	volume, err := w.CreateVolume(t.Context(), "image")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, volume) })
	if err := volume.StreamIn(t.Context(), ".", tarOf(t, dir)); err != nil {
		t.Fatal(err)
	}
	for handle, artifact := range map[string]runtime.Artifact{"local": volume, "streamed": onlyArtifact{volume}} {
		c := newContainer(t, w, runtime.ContainerSpec{Handle: handle, Image: runtime.ImageSpec{Artifact: artifact}, Outputs: []runtime.Output{{Path: "out"}}})
		p, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "task"})
		if err != nil {
			t.Fatal(err)
		}
		if got := output(t, p, runtime.Stdout); got != "image builder\nkept" {
			t.Errorf("%s: the image's command wrote %q", handle, got)
		}
	}
	none, err := w.CreateVolume(t.Context(), "none")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, none) })
	_, err = w.FindOrCreateContainer(t.Context(), runtime.ContainerSpec{Handle: "none", Dir: "/work", Image: runtime.ImageSpec{Artifact: none}})
	if specError := (*runtime.SpecError)(nil); !errors.As(err, &specError) {
		t.Errorf("an artifact without an image gave error %v, want a SpecError", err)
	}
}

// onlyArtifact hides that an artifact lies on this machine.
type onlyArtifact struct{ runtime.Artifact }

func tarOf(t testing.TB, dir string) io.Reader {
	t.Helper()
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &stream
}
