package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"midge/runtime"
	"midge/runtime/archive"
)

// cacheName names a cache's key where that needs a path or a volume's handle.
func cacheName(key string) string { return "cache-" + digest(key) }

// bringCache sends what a key's content is into a volume.
func (c *container) bringCache(ctx context.Context, number int, key string) error {
	cached := &storedVolume{store: c.worker.caches, info: runtime.VolumeInfo{Handle: cacheName(key), Type: "cache"}}
	err := c.streamArtifact(ctx, number, cached)
	if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) && missing.Kind == "volume" {
		return nil // nothing was ever kept
	}
	return err
}

// KeepCaches implements runtime.Container.
func (c *container) KeepCaches(ctx context.Context) error {
	for number, v := range c.volumes {
		if v.Kind != cacheVolume {
			continue
		}
		if err := c.keepCache(ctx, number, v.Key); err != nil {
			return fmt.Errorf("keep cache %q: %w", v.Path, err)
		}
	}
	return nil
}

// keepCache makes what is in a volume the content of a key.
func (c *container) keepCache(ctx context.Context, number int, key string) error {
	stream, err := c.client.StreamOut(ctx, number, ".")
	if err != nil {
		return c.explain(err)
	}
	defer stream.Close()
	caches := c.worker.caches
	dir, err := caches.make(key)
	if err != nil {
		return err
	}
	err = archive.Extract(ctx, stream, filepath.Join(dir, dataDir), archive.Options{})
	if err == nil {
		err = caches.replace(cacheName(key), dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

// listCaches lists the caches that have content.
func (w *Worker) listCaches() ([]runtime.VolumeInfo, error) {
	names, err := w.caches.names()
	if err != nil {
		return nil, err
	}
	var all []runtime.VolumeInfo
	for _, name := range names {
		key, err := w.caches.key(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // cleared meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, runtime.VolumeInfo{Handle: name, Type: "cache", CacheKey: key})
	}
	return all, nil
}

// ClearCaches implements runtime.Worker.
func (w *Worker) ClearCaches(_ context.Context, prefix string) (int, error) {
	caches, err := w.listCaches()
	if err != nil {
		return 0, err
	}
	cleared := 0
	for _, cache := range caches {
		if !strings.HasPrefix(cache.CacheKey, prefix) {
			continue
		}
		removed, err := w.caches.remove(cache.Handle)
		if err != nil {
			return cleared, err
		}
		if removed {
			cleared++
		}
	}
	return cleared, nil
}
