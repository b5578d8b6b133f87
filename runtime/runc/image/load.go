package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/pkg/archive"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// ErrNoImage tells that a tree of files has no image in it.
var ErrNoImage = errors.New("there is no image in it: an image is an OCI layout (index.json and blobs), " +
	"a docker or OCI archive (one .tar file), or rootfs with metadata.json beside it")

// Load gives the image that lies in dir: an OCI layout, an unpacked docker archive,
// rootfs/ and metadata.json, or a single file that is a docker or OCI archive. An
// image for several platforms gives the one for platform. rootfs/ is used where it
// lies: dir must stay as long as the image is used. Nothing of an image is ErrNoImage.
func (s *Store) Load(ctx context.Context, dir string, platform v1.Platform) (*Image, error) {
	image, err := s.load(ctx, dir, platform)
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	return image, nil
}

func (s *Store) load(ctx context.Context, dir string, platform v1.Platform) (*Image, error) {
	has := func(name string) bool {
		info, err := os.Lstat(filepath.Join(dir, name))
		return err == nil && !isSymlink(info)
	}
	switch {
	case has("index.json") && has("blobs"):
		return s.loadLayout(ctx, dir, platform)
	case has("rootfs"):
		return loadRootfs(dir)
	}
	file, err := onlyFile(dir)
	if err != nil {
		return nil, err
	}
	return s.loadArchive(ctx, file, platform)
}

// onlyFile gives the file in dir that is an archive: image.tar, or the only one.
func onlyFile(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var files []string
	for _, entry := range entries {
		if entry.Type().IsRegular() && filepath.Ext(entry.Name()) == ".tar" {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
		if entry.Name() == "image.tar" && entry.Type().IsRegular() {
			return filepath.Join(dir, entry.Name()), nil
		}
	}
	if len(files) != 1 {
		return "", ErrNoImage
	}
	return files[0], nil
}

// loadArchive tells a docker archive, which has manifest.json, from an OCI one,
// which has oci-layout. One that has both, as docker save writes, is a layout.
func (s *Store) loadArchive(ctx context.Context, file string, platform v1.Platform) (*Image, error) {
	isLayout, err := archiveHas(file, "oci-layout")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(file), err)
	}
	if isLayout {
		dir, err := s.temporary("layout")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		stream, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		if _, err := archive.Apply(ctx, dir, stream, archive.WithFilter(onlyPlain), archive.WithNoSameOwner()); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", filepath.Base(file), err)
		}
		return s.loadLayout(ctx, dir, platform)
	}
	image, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(file), err)
	}
	return s.addLocal(ctx, image, platform)
}

// onlyPlain lets files and directories of an archive pass.
func onlyPlain(header *tar.Header) (bool, error) {
	return header.Typeflag == tar.TypeReg || header.Typeflag == tar.TypeDir, nil
}

func archiveHas(file, name string) (bool, error) {
	stream, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer stream.Close()
	for entries := tar.NewReader(stream); ; {
		header, err := entries.Next()
		switch {
		case err == io.EOF:
			return false, nil
		case err != nil:
			return false, err
		case filepath.Clean(header.Name) == name:
			return true, nil
		}
	}
}

func (s *Store) loadLayout(ctx context.Context, dir string, platform v1.Platform) (*Image, error) {
	if err := onlyFiles(filepath.Join(dir, "blobs")); err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	image, err := fromIndex(index, platform, 0)
	if err != nil {
		return nil, err
	}
	return s.addLocal(ctx, image, platform)
}

// onlyFiles refuses a tree with anything but files and directories in it: a
// symbolic link would make what the layout says is content out of another file.
func onlyFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !entry.Type().IsRegular() {
			err = fmt.Errorf("%s in the OCI layout is neither a file nor a directory", entry.Name())
		}
		return err
	})
}

// fromIndex gives the image for a platform: the only one there is, or the one that
// says it is for it. An index may lie in an index, but not for ever.
func fromIndex(index v1.ImageIndex, platform v1.Platform, depth int) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, entry := range manifest.Manifests {
		if len(manifest.Manifests) > 1 && (entry.Platform == nil || !entry.Platform.Satisfies(platform)) {
			continue
		}
		if !entry.MediaType.IsIndex() {
			return index.Image(entry.Digest)
		}
		if depth == 3 {
			return nil, errors.New("an index in an index in an index is no image")
		}
		inner, err := index.ImageIndex(entry.Digest)
		if err != nil {
			return nil, err
		}
		return fromIndex(inner, platform, depth+1)
	}
	return nil, choosePlatform(manifest, platform)
}

func (s *Store) addLocal(ctx context.Context, image v1.Image, platform v1.Platform) (*Image, error) {
	if err := isPlatform(image, Source{Platform: platform}); err != nil {
		return nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	if there, err := s.take(recordName(digest.String())); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return there, err
	}
	return s.add(ctx, image, nil, recordName(digest.String()))
}

// metadata is metadata.json beside a rootfs, as Concourse's image resources write it.
type metadata struct {
	Env        []string `json:"env"`
	User       string   `json:"user"`
	WorkingDir string   `json:"workdir"`
	Entrypoint []string `json:"entrypoint"`
	Cmd        []string `json:"cmd"`
}

func loadRootfs(dir string) (*Image, error) {
	rootfs := filepath.Join(dir, "rootfs")
	info, err := os.Lstat(rootfs)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("rootfs is no directory")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var config metadata
	text, err := root.ReadFile("metadata.json")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&config); err != nil {
			return nil, fmt.Errorf("metadata.json: %w", err)
		}
	}
	sum := sha256.Sum256([]byte(rootfs))
	return &Image{
		Digest:  "rootfs:" + hex.EncodeToString(sum[:]),
		Config:  Config(config),
		Layers:  []string{rootfs},
		release: func() {},
	}, nil
}

func isSymlink(info fs.FileInfo) bool { return info.Mode()&fs.ModeSymlink != 0 }
