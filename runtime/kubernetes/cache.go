package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"midge/agent/pod"
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
	if c.shares {
		return c.keepShared(ctx)
	}
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

// keepShared has the pod keep its caches in what it shares with others.
func (c *container) keepShared(ctx context.Context) error {
	var order pod.Order
	for number, v := range c.volumes {
		if v.Kind != cacheVolume {
			continue
		}
		name, err := c.worker.cacheNames.keep(v.Key)
		if err != nil {
			return fmt.Errorf("keep cache %q: %w", v.Path, err)
		}
		order.Caches = append(order.Caches, pod.TaskCache{Volume: number, Name: name, Keep: true})
	}
	if len(order.Caches) == 0 {
		return nil
	}
	_, err := c.exchange(ctx, order, nil)
	return err
}

// cacheVolume gives the cache of that handle, whether there is one or not.
func (w *Worker) cacheVolume(handle string) runtime.Volume {
	info := runtime.VolumeInfo{Handle: handle, Type: "cache"}
	if w.options.Cache != CacheNone {
		return sharedCache{names: w.cacheNames, info: info}
	}
	return &storedVolume{store: w.caches, info: info}
}

// listCaches lists the caches that have content.
func (w *Worker) listCaches() ([]runtime.VolumeInfo, error) {
	if w.options.Cache != CacheNone {
		return w.cacheNames.list()
	}
	return w.listStoredCaches()
}

// listStoredCaches lists those whose content is in the worker's state directory.
func (w *Worker) listStoredCaches() ([]runtime.VolumeInfo, error) {
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

// ClearCaches implements runtime.Worker. What was kept while the worker had another Cache
// does not come back.
func (w *Worker) ClearCaches(_ context.Context, prefix string) (int, error) {
	stored, err := w.listStoredCaches()
	if err != nil {
		return 0, err
	}
	named, err := w.cacheNames.list()
	if err != nil {
		return 0, err
	}
	storedCleared, err := clearCaches(stored, prefix, w.caches.remove)
	if err != nil {
		return storedCleared, err
	}
	namedCleared, err := clearCaches(named, prefix, w.cacheNames.forget)
	return storedCleared + namedCleared, err
}

// clearCaches removes those of some caches whose key begins with prefix, and says how many.
func clearCaches(caches []runtime.VolumeInfo, prefix string, remove func(handle string) (bool, error)) (int, error) {
	cleared := 0
	for _, cache := range caches {
		if !strings.HasPrefix(cache.CacheKey, prefix) {
			continue
		}
		removed, err := remove(cache.Handle)
		if err != nil {
			return cleared, err
		}
		if removed {
			cleared++
		}
	}
	return cleared, nil
}

// A sharedCache is a cache whose content is where pods share it, and this machine does
// not see it.
type sharedCache struct {
	names *cacheNames
	info  runtime.VolumeInfo
}

func (c sharedCache) Handle() string { return c.info.Handle }

func (c sharedCache) Info(context.Context) (runtime.VolumeInfo, error) {
	r, err := c.names.read(c.info.Handle)
	if err != nil {
		return runtime.VolumeInfo{}, err
	}
	if r == nil {
		return runtime.VolumeInfo{}, &runtime.NotFoundError{Kind: "volume", Name: c.info.Handle}
	}
	return c.info, nil
}

func (c sharedCache) StreamOut(context.Context, string) (io.ReadCloser, error) {
	return nil, fmt.Errorf("cache %s cannot be read: it is where the pods of the cluster share it, and they alone", c.info.Handle)
}

func (c sharedCache) StreamIn(context.Context, string, io.Reader) error {
	return errKeptCache(c.info.Handle)
}

func (c sharedCache) Destroy(context.Context) error {
	_, err := c.names.forget(c.info.Handle)
	return err
}

// errKeptCache refuses to write into a cache.
func errKeptCache(handle string) error {
	return fmt.Errorf("cache %s cannot be written: it is what containers have kept", handle)
}
