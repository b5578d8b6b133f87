//go:build cluster

package kubernetes_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"midge/runtime"
)

// An image that is nowhere is an error at once, with credentials or without, and the
// secret with these does not stay.
func TestImageThatDoesNotExist(t *testing.T) {
	t.Parallel()
	host := newRegistry(t)
	worker := newWorker(t, newOptions(t))
	for _, source := range []map[string]any{
		{"repository": host + "/missing", "tag": "1"},
		{"repository": host + "/missing", "tag": "2", "username": "ann", "password": "secret"},
	} {
		spec := newSpec("missing")
		spec.Image = runtime.ImageSpec{Registry: &runtime.RegistryImage{Type: "registry-image", Source: source}}
		_, err := worker.FindOrCreateContainer(t.Context(), spec)
		if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), host+"/missing") {
			t.Errorf("it gave %v (%T)", err, err)
		}
	}
}

// newRegistry serves a registry without images on this machine.
func newRegistry(t *testing.T) (host string) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// newSlowRegistry serves one that never answers, and gives what is closed when it is asked.
func newSlowRegistry(t *testing.T) (host string, asked <-chan struct{}) {
	t.Helper()
	first := make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(first) })
		<-r.Context().Done()
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://"), first
}

// An image that is for another architecture is an error: when it is pulled, where the
// registry says what it is for, and else when its command is run.
func TestImageOfAnotherArchitecture(t *testing.T) {
	t.Parallel()
	const other = "s390x"
	host := newRegistry(t)
	image, program := foreignImage(t, other)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add:        image,
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: other}},
	})
	if err := remote.WriteIndex(referenceOf(t, host+"/index:1"), index); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(referenceOf(t, host+"/single:1"), image); err != nil {
		t.Fatal(err)
	}
	worker := newWorker(t, newOptions(t))
	spec := newSpec("index")
	spec.Image.Registry = &runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": host + "/index", "tag": "1"}}
	_, err := worker.FindOrCreateContainer(t.Context(), spec)
	if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "no match for platform") {
		t.Errorf("an index gave %v", err)
	}
	spec = newSpec("single")
	spec.Image.Registry = &runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": host + "/single", "tag": "1"}}
	container := newContainer(t, worker, spec)
	_, err = container.Run(t.Context(), runtime.ProcessSpec{ID: "task", Path: program})
	if bad := (*runtime.ExecutableError)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), "a program for EM_S390") {
		t.Errorf("its program gave %v", err)
	}
}

// foreignImage gives an image that is for another architecture, and the path of a program there.
func foreignImage(t *testing.T, architecture string) (image v1.Image, program string) {
	t.Helper()
	content, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	content[18], content[19] = byte(elf.EM_S390), 0 // the machine that an ELF file is for
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	err = archive.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(content))})
	if err == nil {
		_, err = archive.Write(content)
	}
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	layer := static.NewLayer(files.Bytes(), types.OCIUncompressedLayer)
	if image, err = mutate.AppendLayers(empty.Image, layer); err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image, "/program"
}

func referenceOf(t *testing.T, text string) name.Reference {
	t.Helper()
	reference, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return reference
}

func TestImagesOfThisMachine(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	worker := newWorker(t, options)
	for _, image := range []runtime.ImageSpec{{Host: true}, {RootfsURI: "raw:///srv/image"}} {
		spec := newSpec("host")
		spec.Image = image
		_, err := worker.FindOrCreateContainer(t.Context(), spec)
		if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "image_resource") {
			t.Errorf("%+v gave %v", image, err)
		}
	}
	options.DefaultImage = "busybox:test"
	spec := newSpec("default")
	spec.Image = runtime.ImageSpec{Host: true}
	container := newContainer(t, newWorker(t, options), spec)
	if got := output(t, begin(t, container, "task", "echo text")); got != "text\n" {
		t.Errorf("the output is %q", got)
	}
}
