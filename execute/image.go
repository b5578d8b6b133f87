package execute

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"midge/api"
	"midge/runtime/archive/compression"
)

// imageName is what the artifact is called that is the task's image.
const imageName = "image"

// selectImage finds the image that the request gives the task: an artifact, or one of
// a registry, which then is the config's.
func (r Request) selectImage(config *api.TaskConfig) (*source, error) {
	if r.Image == "" {
		return r.earlierImage(), nil
	}
	if r.job != nil && !strings.ContainsAny(r.Image, "./:@") {
		return nil, r.chooseImage(config)
	}
	config.RootfsURI, config.ImageResource = "", nil
	name := freeName(inputNames(*config))
	if strings.HasPrefix(r.Image, "@") {
		from, err := r.source(name, r.Image)
		return &from, err
	}
	kind, err := inspectImage(r.path(r.Image))
	if err != nil && (!errors.Is(err, os.ErrNotExist) || isPath(r.Image)) {
		return nil, fmt.Errorf("the image %s cannot be read: %w", r.Image, err)
	}
	switch {
	case kind != noImage:
		return &source{name: name, path: r.path(r.Image), image: kind, given: r.Image}, nil
	case isPath(r.Image):
		return nil, fmt.Errorf("%s is no image: it should be what docker save writes, an OCI archive, an OCI layout (index.json and blobs), or a directory with rootfs and metadata.json", r.Image)
	}
	config.ImageResource, err = parseReference(r.Image)
	return nil, err
}

// earlierImage gives the artifact that was the image of the build that is repeated.
func (r Request) earlierImage() *source {
	if r.earlier == nil || r.earlier.task.ImageArtifactName == "" {
		return nil
	}
	name := r.earlier.task.ImageArtifactName
	return &source{name: name, artifact: r.earlier.inputs[name]}
}

// freeName is imageName, or like it, and none of those taken.
func freeName(taken []string) string {
	name := imageName
	for slices.Contains(taken, name) {
		name += "2"
	}
	return name
}

// isPath tells a path from the name of an image in a registry by its looks.
func isPath(text string) bool {
	return filepath.IsAbs(text) || strings.HasPrefix(text, ".") || slices.Contains([]string{".tar", ".gz", ".tgz", ".zst"}, filepath.Ext(text))
}

// imageKind is how an image lies on this machine.
type imageKind int

const (
	noImage imageKind = iota
	imageDirectory
	imageArchive
	imageCompressed
)

// inspectImage finds out how an image lies at a path, if one does.
func inspectImage(path string) (imageKind, error) {
	info, err := os.Stat(path)
	if err != nil {
		return noImage, err
	}
	if !info.IsDir() {
		return inspectArchive(path)
	}
	for _, names := range [][]string{{"index.json", "blobs"}, {"rootfs"}} {
		missing := slices.ContainsFunc(names, func(name string) bool {
			_, err := os.Lstat(filepath.Join(path, name))
			return err != nil
		})
		if !missing {
			return imageDirectory, nil
		}
	}
	return noImage, nil
}

// Where a tar archive says that it is one.
const tarMagicOffset = 257

var tarMagic = []byte("ustar")

func inspectArchive(path string) (imageKind, error) {
	file, err := os.Open(path)
	if err != nil {
		return noImage, err
	}
	defer file.Close()
	head, err := bufio.NewReader(file).Peek(tarMagicOffset + len(tarMagic))
	switch {
	case compression.Of(head) != compression.None:
		return imageCompressed, nil
	case err == nil && bytes.HasSuffix(head, tarMagic):
		return imageArchive, nil
	case err == nil || err == io.EOF:
		return noImage, nil
	}
	return noImage, err
}

// archiveDirectory gives a directory with an archive alone in it, uncompressed, to be
// sent as a tree, and what removes it.
func archiveDirectory(path string, kind imageKind) (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("", "midge-image"); err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	if err := placeArchive(path, filepath.Join(dir, "image.tar"), kind); err != nil {
		remove()
		return "", nil, err
	}
	return dir, remove, nil
}

func placeArchive(from, to string, kind imageKind) error {
	if resolved, err := filepath.EvalSymlinks(from); err == nil && kind == imageArchive && os.Link(resolved, to) == nil {
		return nil
	}
	archive, err := os.Open(from)
	if err != nil {
		return err
	}
	defer archive.Close()
	var content io.Reader = archive
	if kind == imageCompressed {
		decompressed, err := decompressor(archive)
		if err != nil {
			return err
		}
		defer decompressed.Close()
		content = decompressed
	}
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, content)
	return errors.Join(err, target.Close())
}

// parseReference reads the name of an image in a registry, as docker pull takes it.
func parseReference(text string) (*api.ImageResource, error) {
	unclear := fmt.Errorf("--image %s is not understood: there is no such file or directory, and the name of an image is like golang, golang:1.26 or registry.example/team/tools@sha256:DIGEST", text)
	rest, digest, hasDigest := strings.Cut(text, "@")
	repository, tag := rest, ""
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		repository, tag = rest[:colon], rest[colon+1:]
		if tag == "" {
			return nil, unclear
		}
	}
	if repository == "" || strings.ContainsAny(text, " \t\n\\") || hasDigest && !strings.Contains(digest, ":") {
		return nil, unclear
	}
	resource := &api.ImageResource{Type: "registry-image", Source: map[string]any{"repository": repository}}
	if tag != "" {
		resource.Source["tag"] = tag
	}
	if hasDigest {
		resource.Version = map[string]string{"digest": digest}
	}
	return resource, nil
}
