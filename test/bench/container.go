package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"midge/runtime"
	"midge/runtime/runc"
	"midge/runtime/runc/image"
	"midge/runtime/runc/network"
)

// imageLayers is how many layers the image has that is pulled and run, of
// layerFiles files of layerFileBytes bytes each.
const (
	imageLayers    = 10
	layerFiles     = 200
	layerFileBytes = 16 << 10
)

// benchContainer measures a container of its own worker, with all that a server
// gives it: a user namespace, the bridge network, an overlay of ten layers.
func benchContainer(ctx context.Context, b *bench) error {
	repository, layers, stop, err := serveImage(b)
	if err != nil {
		return err
	}
	defer stop()
	if err := benchPull(ctx, b, repository, layers); err != nil {
		return err
	}
	return benchTrue(ctx, b, repository)
}

func benchPull(ctx context.Context, b *bench, repository string, layers []string) error {
	source, err := image.ParseSource("registry-image", map[string]any{"repository": repository}, nil)
	if err != nil {
		return err
	}
	round := 0
	ours, theirs, err := interleave(7,
		func() (time.Duration, error) {
			round++
			dir := filepath.Join(b.dir, fmt.Sprintf("pulled-%d", round))
			defer os.RemoveAll(dir)
			start := time.Now()
			store, err := image.Open(dir, image.Options{})
			if err != nil {
				return 0, err
			}
			pulled, err := store.Pull(ctx, source, nil)
			if err != nil {
				return 0, err
			}
			took := time.Since(start)
			pulled.Release()
			return took, nil
		},
		func() (time.Duration, error) {
			dir := filepath.Join(b.dir, "unpacked")
			defer os.RemoveAll(dir)
			var total time.Duration
			for i, layer := range layers {
				into := filepath.Join(dir, fmt.Sprint(i))
				if err := os.MkdirAll(into, 0o755); err != nil {
					return 0, err
				}
				took, err := timed(exec.CommandContext(ctx, "tar", "-xzf", layer, "-C", into))
				if err != nil {
					return 0, err
				}
				total += took
			}
			return total, nil
		})
	if err != nil {
		return err
	}
	b.compare(fmt.Sprintf("pull of an image of %d layers, %d MB", imageLayers, imageLayers*layerFiles*layerFileBytes/1_000_000), ours, "`tar x` of the layers", theirs, "<= 1.5 x")
	return nil
}

func benchTrue(ctx context.Context, b *bench, repository string) error {
	worker, err := runc.New(ctx, runc.Options{
		Name:     "bench",
		StateDir: filepath.Join(b.dir, "worker"),
		Agent:    filepath.Join(b.binaries, "midge-agent"),
		Network:  runc.NetworkBridge,
		Bridge:   network.Defaults,
	})
	if err != nil {
		return err
	}
	defer worker.Close()
	bundle, err := b.makeBundle()
	if err != nil {
		return err
	}
	round := 0
	ours, theirs, err := interleave(25,
		func() (time.Duration, error) {
			round++
			return runTrue(ctx, worker, repository, fmt.Sprintf("bench-%d", round))
		},
		func() (time.Duration, error) { return timed(runcRun(ctx, bundle, "bench-container")) })
	if err != nil {
		return err
	}
	b.compare(fmt.Sprintf("a container of %d layers from its creation to the exit of `true`, p50", imageLayers), ours, "`runc run` of `true`", theirs, "<= 2 x")
	return nil
}

// runTrue says how long a container takes from its creation to the exit of true, and destroys it.
func runTrue(ctx context.Context, worker runtime.Worker, repository, handle string) (took time.Duration, err error) {
	start := time.Now()
	container, err := worker.FindOrCreateContainer(ctx, runtime.ContainerSpec{
		Handle:  handle,
		Dir:     "/work",
		Image:   runtime.ImageSpec{Registry: &runtime.RegistryImage{Type: "registry-image", Source: map[string]any{"repository": repository}}},
		Outputs: []runtime.Output{{Path: "out"}},
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, container.Destroy(ctx)) }()
	process, err := container.Run(ctx, runtime.ProcessSpec{ID: runtime.TaskProcessID, Path: "true"})
	if err != nil {
		return 0, err
	}
	status, err := process.Wait(ctx)
	if err == nil && status.Code != 0 {
		err = fmt.Errorf("true exits with %d", status.Code)
	}
	return time.Since(start), err
}

// serveImage serves an image from a registry of this process, and gives its
// repository, and each of its layers as a file.
func serveImage(b *bench) (repository string, layers []string, stop func(), err error) {
	built, layers, err := makeImage(b)
	if err != nil {
		return "", nil, nil, fmt.Errorf("make an image: %w", err)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	repository = strings.TrimPrefix(server.URL, "http://") + "/bench"
	reference, err := name.ParseReference(repository)
	if err == nil {
		err = remote.Write(reference, built)
	}
	if err != nil {
		server.Close()
		return "", nil, nil, fmt.Errorf("push an image: %w", err)
	}
	return repository, layers, server.Close, nil
}

func makeImage(b *bench) (v1.Image, []string, error) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, nil, err
	}
	random := rand.New(rand.NewPCG(1, 2))
	built := empty.Image
	var files []string
	for i := range imageLayers {
		var stream bytes.Buffer
		w := tar.NewWriter(&stream)
		if i == 0 {
			err = errors.Join(
				w.WriteHeader(&tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755}),
				writeTar(w, "bin/true", busybox))
		}
		err = errors.Join(err, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("layer%d/", i), Typeflag: tar.TypeDir, Mode: 0o755}))
		for j := range layerFiles {
			// Text compresses to about a third, and so does this.
			content := make([]byte, layerFileBytes)
			for k := range content {
				content[k] = "0123456789abcdef"[random.IntN(8)]
			}
			err = errors.Join(err, writeTar(w, fmt.Sprintf("layer%d/file%d", i, j), content))
		}
		if err := errors.Join(err, w.Close()); err != nil {
			return nil, nil, err
		}
		file := filepath.Join(b.dir, fmt.Sprintf("layer%d.tar.gz", i))
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(stream.Bytes())), nil
		})
		if err != nil {
			return nil, nil, err
		}
		if built, err = mutate.AppendLayers(built, layer); err != nil {
			return nil, nil, err
		}
		if err := saveLayer(layer, file); err != nil {
			return nil, nil, err
		}
		files = append(files, file)
	}
	config, err := built.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config.Env = "linux", goruntime.GOARCH, []string{"PATH=/bin"}
	built, err = mutate.ConfigFile(built, config)
	return built, files, err
}

func writeTar(w *tar.Writer, path string, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: path, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// saveLayer writes a layer as it is pulled.
func saveLayer(layer v1.Layer, path string) error {
	compressed, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer compressed.Close()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, compressed)
	return errors.Join(err, file.Close())
}
