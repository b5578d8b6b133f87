package runc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"midge/agent/record"
	"midge/runtime"
)

// A cacheStore has a directory a key, and in it a directory a generation of the
// key's content. A generation never changes: containers have it below their caches,
// and a new one, whose files are for the most part links to those of the one before,
// takes its place.
type cacheStore struct {
	dir string

	mu sync.Mutex // held while a key's current generation changes
	// held counts who needs a generation that no record names: those who make it,
	// and containers that are being made over it.
	held map[string]int
}

const cacheFile = "cache.json"

// A cacheRecord is what is remembered of a key.
type cacheRecord struct {
	Key string `json:"key"`
	// Generation is the directory with its content, "" when it was cleared.
	Generation string `json:"generation,omitempty"`
}

func openCacheStore(dir string) (*cacheStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the worker's state directory: %w", err)
	}
	return &cacheStore{dir: dir, held: make(map[string]int)}, nil
}

// handle names a key where a path or a volume's handle is needed.
func cacheHandle(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "cache-" + hex.EncodeToString(sum[:16])
}

func (s *cacheStore) keyDir(key string) string { return filepath.Join(s.dir, cacheHandle(key)) }

// read reads a key's record; one that was never kept has an empty one.
func (s *cacheStore) read(handle string) (cacheRecord, error) {
	r, err := record.Read[cacheRecord](filepath.Join(s.dir, handle, cacheFile))
	if errors.Is(err, fs.ErrNotExist) {
		return cacheRecord{}, nil
	}
	return r, err
}

// current gives the directory with a key's content, "" when it has none. It stays
// until release is called.
func (s *cacheStore) current(key string) (dir string, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.read(cacheHandle(key))
	if err != nil || r.Generation == "" {
		return "", func() {}, err
	}
	dir = filepath.Join(s.keyDir(key), r.Generation)
	return dir, s.hold(dir), nil
}

// newGeneration makes a directory for a key's next content. It stays until release
// is called.
func (s *cacheStore) newGeneration(key string) (dir string, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.keyDir(key), 0o700); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(s.keyDir(key), "generation-"); err != nil {
		return "", nil, err
	}
	return dir, s.hold(dir), nil
}

// hold keeps a generation from being swept. The caller holds mu.
func (s *cacheStore) hold(generation string) (release func()) {
	s.held[generation]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held[generation]--; s.held[generation] == 0 {
			delete(s.held, generation)
		}
	})
}

// list lists the caches that have content.
func (s *cacheStore) list() ([]runtime.VolumeInfo, error) {
	handles, err := names(s.dir)
	if err != nil {
		return nil, err
	}
	var all []runtime.VolumeInfo
	for _, handle := range handles {
		r, err := s.read(handle)
		if err != nil {
			return nil, err
		}
		if r.Generation != "" {
			all = append(all, runtime.VolumeInfo{Handle: handle, Type: "cache", CacheKey: r.Key})
		}
	}
	return all, nil
}

// replace makes a generation a key's content.
func (s *cacheStore) replace(key, generation string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return record.Write(filepath.Join(s.keyDir(key), cacheFile), cacheRecord{Key: key, Generation: generation})
}

// KeepCaches implements runtime.Container.
func (c *container) KeepCaches(ctx context.Context) error {
	r, err := c.worker.readRecord(c.handle)
	if err != nil {
		return err
	}
	for _, v := range r.Volumes {
		if v.Kind != cacheVolume {
			continue
		}
		if err := c.worker.keepCache(ctx, c.handle, v); err != nil {
			return fmt.Errorf("keep cache %q: %w", v.Path, err)
		}
	}
	return nil
}

// keepCache makes what a container has in a cache the content of its key.
func (w *Worker) keepCache(ctx context.Context, handle string, v volume) error {
	dir, done, err := w.view(handle, v).open()
	if err != nil {
		return err
	}
	defer done()
	generation, release, err := w.caches.newGeneration(v.Key)
	if err != nil {
		return err
	}
	defer release()
	kept := treeCopy{from: dir, to: generation, unchanged: v.unchanged}
	if err := kept.run(ctx); err != nil {
		return errors.Join(err, os.RemoveAll(generation))
	}
	if err := w.caches.replace(v.Key, filepath.Base(generation)); err != nil {
		return errors.Join(err, os.RemoveAll(generation))
	}
	return w.sweepCache(v.Key)
}

// unchanged gives the file of the lower directory that the container sees under a
// name, "" when it has written it.
func (v volume) unchanged(name string) string {
	if v.Lower == "" {
		return ""
	}
	if _, err := os.Lstat(filepath.Join(v.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return filepath.Join(v.Lower, name)
}

// sweepCache removes the generations of a key that are neither its content, nor
// below a container's cache, nor held.
func (w *Worker) sweepCache(key string) error {
	w.caches.mu.Lock()
	defer w.caches.mu.Unlock()
	r, err := w.caches.read(cacheHandle(key))
	if err != nil {
		return err
	}
	generations, err := filepath.Glob(filepath.Join(w.caches.keyDir(key), "generation-*"))
	if err != nil {
		return err
	}
	records, err := w.records()
	if err != nil {
		return err
	}
	used := map[string]bool{filepath.Join(w.caches.keyDir(key), r.Generation): true}
	for _, r := range records {
		for _, v := range r.Volumes {
			used[v.Lower] = true
		}
	}
	for _, generation := range generations {
		if !used[generation] && w.caches.held[generation] == 0 {
			if err := os.RemoveAll(generation); err != nil {
				return err
			}
		}
	}
	return nil
}

// ClearCaches implements runtime.Worker.
func (w *Worker) ClearCaches(_ context.Context, prefix string) (int, error) {
	handles, err := names(w.caches.dir)
	if err != nil {
		return 0, err
	}
	cleared := 0
	for _, handle := range handles {
		r, err := w.caches.read(handle)
		if err != nil {
			return cleared, err
		}
		if r.Generation == "" || !strings.HasPrefix(r.Key, prefix) {
			continue
		}
		if err := w.caches.replace(r.Key, ""); err != nil {
			return cleared, err
		}
		cleared++
		if err := w.sweepCache(r.Key); err != nil {
			return cleared, err
		}
	}
	return cleared, nil
}

// lookUp gives the cache of that handle as a volume, nil when there is none.
func (s *cacheStore) lookUp(handle string) (runtime.Volume, error) {
	r, err := s.read(handle)
	if err != nil || r.Generation == "" {
		return nil, err
	}
	return &keptCache{store: s, key: r.Key, dir: filepath.Join(s.keyDir(r.Key), r.Generation)}, nil
}

// A keptCache is a key's content as a volume.
type keptCache struct {
	store *cacheStore
	key   string
	dir   string
}

func (c *keptCache) Handle() string { return cacheHandle(c.key) }

func (c *keptCache) Info(context.Context) (runtime.VolumeInfo, error) {
	return runtime.VolumeInfo{Handle: c.Handle(), Type: "cache"}, nil
}

func (c *keptCache) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	return streamOut(ctx, c.dir, path, func() {})
}

func (c *keptCache) StreamIn(context.Context, string, io.Reader) error {
	return fmt.Errorf("cache %s cannot be written: it is what containers have kept", c.Handle())
}

func (c *keptCache) Destroy(context.Context) error { return c.store.replace(c.key, "") }
