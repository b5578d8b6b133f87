package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"midge/runtime"
	"midge/runtime/runc/image"
	"midge/trace"
)

// pull fetches an image from its registry, as far as it is not here, and keeps it
// for the container.
func (w *Worker) pull(ctx context.Context, spec runtime.ContainerSpec) (*image.Image, error) {
	registry := spec.Image.Registry
	source, err := image.ParseSource(registry.Type, registry.Source, registry.Version)
	if err != nil {
		return nil, &runtime.SpecError{Message: err.Error()}
	}
	fetched, err := w.images.Pull(ctx, source, reportPull(spec, source.String()))
	if err != nil {
		return nil, fmt.Errorf("fetch image %s: %w", source, err)
	}
	w.hold(spec.Handle, fetched.Release)
	return fetched, nil
}

// reportPull gives what tells a container's owner how far a pull has come: nothing
// of an image that is here, else a line for every layer.
func reportPull(spec runtime.ContainerSpec, name string) func(image.Progress) {
	if spec.Progress == nil {
		return nil
	}
	lines := make(chan int, 1) // layers that were told of, taken out while somebody tells
	lines <- -1
	return func(p image.Progress) {
		told := <-lines
		if p.LayersDone > told {
			told = p.LayersDone
			spec.Progress(fmt.Sprintf("pulling %s: %d of %d layers, %d of %d kB", name, p.LayersDone, p.Layers, p.BytesDone/1000, p.Bytes/1000))
		}
		lines <- told
	}
}

// load takes the image that an artifact has in it.
func (w *Worker) load(ctx context.Context, spec runtime.ContainerSpec, dir string) (_ *image.Image, err error) {
	ctx, span := trace.StartSpan(ctx, "load image", trace.Digest(spec.Image.Artifact.Handle()))
	defer func() { span.End(err) }()
	source, err := w.imageDir(ctx, spec, dir)
	if err != nil {
		return nil, err
	}
	loaded, err := w.images.Load(ctx, source, v1.Platform{OS: "linux", Architecture: goruntime.GOARCH})
	if errors.Is(err, image.ErrNoImage) {
		return nil, &runtime.SpecError{Message: "the artifact that is to be the image is none", Err: err}
	}
	if err != nil {
		return nil, err
	}
	span.Set(trace.ImageDigest(loaded.Digest))
	w.hold(spec.Handle, loaded.Release)
	return loaded, nil
}

// imageDir gives a directory with the artifact that has the image, which is the
// container's own when the artifact does not lie on this machine.
func (w *Worker) imageDir(ctx context.Context, spec runtime.ContainerSpec, dir string) (string, error) {
	if local, ok := spec.Image.Artifact.(runtime.Local); ok {
		path, release, err := local.LocalPath(ctx)
		if err != nil {
			return "", err
		}
		w.hold(spec.Handle, release)
		return path, nil
	}
	path := filepath.Join(dir, "image")
	if err := os.Mkdir(path, 0o755); err != nil {
		return "", err
	}
	return path, copyArtifact(ctx, spec.Image.Artifact, path)
}

// Collect implements runtime.Collector: it removes images that no container has.
func (w *Worker) Collect(ctx context.Context, unused time.Duration) error {
	return w.images.Collect(ctx, unused)
}

// holdImages keeps the images of containers that an earlier worker made.
func (w *Worker) holdImages() error {
	all, err := w.records()
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Image == "" {
			continue
		}
		held, err := w.images.Image(r.Image)
		if err != nil {
			return fmt.Errorf("keep the image of container %s: %w", r.Handle, err)
		}
		w.hold(r.Handle, held.Release)
	}
	return nil
}
