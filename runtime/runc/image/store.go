// Package image keeps OCI images unpacked, a directory a layer, ready to be the
// lower layers of an overlay mount.
//
// Images come from registries (Store.Pull) and from trees of files: OCI layouts,
// docker and OCI archives, and directories with rootfs/ and metadata.json
// (Store.Load). A layer is unpacked once, whichever images have it. Every byte is
// checked against the digest that names it before an image that has it is given
// out; what failed half way leaves nothing behind. The package knows nothing of
// containers and mounts nothing.
package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/renameio/v2"
)

// Options are settings of a Store.
type Options struct {
	// UserXattr marks opaque directories as an overlay mounted with userxattr, by
	// somebody who is not root, reads them.
	UserXattr bool
	// StallTimeout is how long a registry may send nothing before the pull is
	// tried again and then fails; 0 is a minute.
	StallTimeout time.Duration
	// Parallel is how many layers are fetched at once; 0 is 4.
	Parallel int
}

// Store is a directory of unpacked layers and of the images made of them. It may
// be used from many goroutines, but by one process at a time.
type Store struct {
	dir     string
	options Options

	mu     sync.Mutex
	leases map[string]int           // by image record, of images given out
	busy   map[string]chan struct{} // layers that are being unpacked: closed when done
}

// Config is the part of an image's configuration that a container takes over.
type Config struct {
	Env        []string `json:"env,omitempty"`
	User       string   `json:"user,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"`
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
}

// Image is an image whose layers are unpacked. They stay until Release is called.
type Image struct {
	// Digest names the image: its manifest's, or that of what it was loaded from.
	Digest string
	Config Config
	// Layers are directories, the uppermost first, as overlayfs wants them.
	Layers []string

	release func()
}

// Release tells that the image's layers are no longer used. Calling it again does nothing.
func (i *Image) Release() { i.release() }

// record is what the store remembers of an image, in images/<name>.json.
type record struct {
	Digest string   `json:"digest"`
	Config Config   `json:"config"`
	Layers []string `json:"layers"` // names below layers/, the lowest first
}

// Open opens the store in dir, which it makes when it is not there, and removes
// what an earlier process left half done.
func Open(dir string, options Options) (*Store, error) {
	if options.StallTimeout == 0 {
		options.StallTimeout = time.Minute
	}
	if options.Parallel == 0 {
		options.Parallel = 4
	}
	s := &Store{dir: dir, options: options, leases: make(map[string]int), busy: make(map[string]chan struct{})}
	for _, name := range []string{"images", "layers", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	for _, entry := range left {
		if err := os.RemoveAll(filepath.Join(dir, "tmp", entry.Name())); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	return s, nil
}

// Image gives an image that is in the store already, by the digest that an
// earlier Image had. It is how a container that outlived its server takes its
// layers again. One that is not there is fs.ErrNotExist.
func (s *Store) Image(digest string) (*Image, error) {
	return s.take(recordName(digest))
}

// recordName is the name of the record of the image that a digest and what else
// chose it (a platform) name.
func recordName(digest string, choice ...string) string {
	return strings.ReplaceAll(strings.Join(append([]string{digest}, choice...), "-"), ":", "-")
}

func (s *Store) recordPath(name string) string {
	return filepath.Join(s.dir, "images", name+".json")
}

// take reads a record and leases its image.
func (s *Store) take(name string) (*Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := os.ReadFile(s.recordPath(name))
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read image record %s: %w", name, err)
	}
	image := &Image{Digest: r.Digest, Config: r.Config}
	for i := len(r.Layers) - 1; i >= 0; i-- {
		dir := filepath.Join(s.dir, "layers", r.Layers[i], layerFiles)
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
		image.Layers = append(image.Layers, dir)
	}
	// The time of the last use is what Collect goes by.
	now := time.Now()
	if err := os.Chtimes(s.recordPath(name), now, now); err != nil {
		return nil, err
	}
	s.leases[name]++
	image.release = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.leases[name]--; s.leases[name] == 0 {
			delete(s.leases, name)
		}
	})
	return image, nil
}

// keep writes records of an image under each of the names and leases it by the first.
func (s *Store) keep(r record, names ...string) (*Image, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := renameio.WriteFile(s.recordPath(name), text, 0o600); err != nil {
			return nil, fmt.Errorf("keep image %s: %w", r.Digest, err)
		}
	}
	return s.take(names[0])
}

// Collect removes images that nobody has used for that long, and the layers that
// no image has any more. What is leased or being unpacked stays.
func (s *Store) Collect(ctx context.Context, unused time.Duration) error {
	trash, err := s.temporary("unneeded")
	if err != nil {
		return fmt.Errorf("collect images: %w", err)
	}
	err = s.discard(unused, trash)
	if err = errors.Join(err, os.RemoveAll(trash)); err != nil {
		return fmt.Errorf("collect images: %w", err)
	}
	return ctx.Err()
}

// discard removes the records of unused images and moves the layers that no record
// has to trash, so that a layer is there whole or not at all.
func (s *Store) discard(unused time.Duration, trash string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	needed, err := s.discardRecords(unused)
	if err != nil {
		return err
	}
	// A pull makes its layers first and its record last: while one is under way
	// no layer is certain to be unneeded.
	if len(s.busy) > 0 {
		return nil
	}
	layers, err := os.ReadDir(filepath.Join(s.dir, "layers"))
	if err != nil {
		return err
	}
	for _, entry := range layers {
		if needed[entry.Name()] {
			continue
		}
		if err := os.Rename(filepath.Join(s.dir, "layers", entry.Name()), filepath.Join(trash, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// discardRecords removes the records of unused images and gives the layers of the others.
func (s *Store) discardRecords(unused time.Duration) (needed map[string]bool, err error) {
	records, err := os.ReadDir(filepath.Join(s.dir, "images"))
	if err != nil {
		return nil, err
	}
	needed = make(map[string]bool)
	for _, entry := range records {
		name := strings.TrimSuffix(entry.Name(), ".json")
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(s.recordPath(name))
		if err != nil {
			return nil, err
		}
		var r record
		damaged := json.Unmarshal(text, &r) != nil
		if s.leases[name] == 0 && (damaged || time.Since(info.ModTime()) >= unused) {
			if err := os.Remove(s.recordPath(name)); err != nil {
				return nil, err
			}
			continue
		}
		for _, layer := range r.Layers {
			needed[layer] = true
		}
	}
	return needed, nil
}

// temporary makes a directory below the store that Open would remove.
func (s *Store) temporary(purpose string) (string, error) {
	return os.MkdirTemp(filepath.Join(s.dir, "tmp"), purpose+"-")
}

// lock waits until no one else makes what key names, and gives what ends the making.
func (s *Store) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		s.mu.Lock()
		other, taken := s.busy[key]
		if !taken {
			done := make(chan struct{})
			s.busy[key] = done
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.busy, key)
				s.mu.Unlock()
				close(done)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func configOf(file *v1.ConfigFile) Config {
	return Config{
		Env:        file.Config.Env,
		User:       file.Config.User,
		WorkingDir: file.Config.WorkingDir,
		Entrypoint: file.Config.Entrypoint,
		Cmd:        file.Config.Cmd,
	}
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
