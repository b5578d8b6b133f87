package runtimetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"midge/runtime"
	"midge/runtime/runtimetest/machine"
)

// image is the root of a container, its own copy, and what processes take from it.
type image struct {
	root            *machine.Tree
	env             []string
	user            string
	entrypoint, cmd []string
}

// command gives what a process runs: what its spec says, or what the image does.
func (i image) command(spec runtime.ProcessSpec) (name string, args []string) {
	if spec.Path != "" {
		return spec.Path, spec.Args
	}
	args = spec.Args
	if len(args) == 0 {
		args = i.cmd
	}
	whole := slices.Concat(i.entrypoint, args)
	if len(whole) == 0 {
		return "", nil
	}
	return whole[0], whole[1:]
}

func (w *Worker) findImage(ctx context.Context, spec runtime.ImageSpec, progress func(string)) (image, error) {
	switch {
	case spec.Registry != nil:
		return w.registryImage(ctx, spec.Registry, progress)
	case spec.RootfsURI != "":
		return w.rootfsImage(ctx, spec.RootfsURI)
	case spec.Artifact != nil:
		return w.artifactImage(ctx, spec.Artifact)
	case spec.Host:
		return image{root: w.image.Copy()}, nil
	}
	return image{}, &runtime.SpecError{Message: "no image is given"}
}

func (w *Worker) registryImage(ctx context.Context, wanted *runtime.RegistryImage, progress func(string)) (image, error) {
	repository, _ := wanted.Source["repository"].(string)
	if repository == "" {
		return image{}, &runtime.SpecError{Message: "the image_resource has no source.repository"}
	}
	if progress != nil {
		progress("fetching image " + repository)
	}
	if w.config.Images == nil {
		return image{root: w.image.Copy()}, nil
	}
	found, ok := w.config.Images[repository]
	if !ok {
		return image{}, &runtime.SpecError{Message: fmt.Sprintf("the registry has no image %q", repository)}
	}
	root, err := w.root(ctx, found.Root)
	return image{root, found.Env, found.User, found.Entrypoint, found.Cmd}, err
}

func (w *Worker) rootfsImage(ctx context.Context, uri string) (image, error) {
	dir, ok := strings.CutPrefix(uri, "raw://")
	if !ok || !strings.HasPrefix(dir, "/") {
		return image{}, &runtime.SpecError{Message: fmt.Sprintf("rootfs_uri %q is not of the form raw:///dir", uri)}
	}
	found, ok := w.config.Rootfs[dir]
	if !ok && w.config.Rootfs != nil {
		return image{}, &runtime.SpecError{Message: fmt.Sprintf("rootfs_uri %q is not below a directory that the worker allows", uri)}
	}
	root, err := w.root(ctx, found)
	return image{root: root}, err
}

func (w *Worker) root(ctx context.Context, artifact runtime.Artifact) (*machine.Tree, error) {
	if artifact == nil {
		return w.image.Copy(), nil
	}
	return w.copyArtifact(ctx, artifact)
}

// artifactImage takes a tree with rootfs/ and metadata.json.
func (w *Worker) artifactImage(ctx context.Context, artifact runtime.Artifact) (image, error) {
	tree, err := w.copyArtifact(ctx, artifact)
	if err != nil {
		return image{}, fmt.Errorf("read the image %q: %w", artifact.Handle(), err)
	}
	root, err := tree.CopyOf("rootfs")
	if err != nil {
		return image{}, &runtime.SpecError{Message: "the image has no rootfs directory"}
	}
	var metadata struct {
		Env        []string `json:"env"`
		User       string   `json:"user"`
		Entrypoint []string `json:"entrypoint"`
		Cmd        []string `json:"cmd"`
	}
	file, err := tree.Open("metadata.json")
	if err != nil {
		return image{}, &runtime.SpecError{Message: "the image has no metadata.json"}
	}
	defer file.Close()
	contents, err := io.ReadAll(file)
	if err == nil {
		err = json.Unmarshal(contents, &metadata)
	}
	if err != nil {
		return image{}, &runtime.SpecError{Message: "the image's metadata.json cannot be read", Err: err}
	}
	return image{root, metadata.Env, metadata.User, metadata.Entrypoint, metadata.Cmd}, nil
}
