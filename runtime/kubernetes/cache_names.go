package kubernetes

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"midge/agent/pod"
	"midge/agent/record"
	"midge/runtime"
)

// cacheNames has the names under which the contents of task caches lie where pods share
// them, a file a key. A key whose cache is cleared has none, and gets another when
// something is kept next: what lies under the one before nobody finds any more, on
// whatever node, and it goes with what is unused.
type cacheNames struct {
	dir string
	mu  sync.Mutex // held while names change
}

// A cacheNameRecord is what is remembered of a key.
type cacheNameRecord struct {
	Key  string `json:"key"`
	Name string `json:"name"`
}

func openCacheNames(dir string) (*cacheNames, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the worker's state directory: %w", err)
	}
	return &cacheNames{dir: dir}, nil
}

func (n *cacheNames) path(handle string) string { return filepath.Join(n.dir, handle) }

// read gives what is remembered of the cache of that handle, nil when that is nothing.
func (n *cacheNames) read(handle string) (*cacheNameRecord, error) {
	info, err := os.Stat(n.path(handle))
	if err == nil && time.Since(info.ModTime()) > pod.CacheUnused {
		return nil, nil
	}
	r, err := record.Read[cacheNameRecord](n.path(handle))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &r, err
}

// use gives a key's name, "" when there is none.
func (n *cacheNames) use(key string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.used(key)
}

// used is use while names do not change.
func (n *cacheNames) used(key string) (string, error) {
	r, err := n.read(cacheName(key))
	if r == nil || err != nil {
		return "", err
	}
	now := time.Now()
	return r.Name, os.Chtimes(n.path(cacheName(key)), now, now)
}

// keep gives a key's name, a new one when there is none.
func (n *cacheNames) keep(key string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, err := n.used(key)
	if name != "" || err != nil {
		return name, err
	}
	name = rand.Text()
	return name, record.Write(n.path(cacheName(key)), cacheNameRecord{Key: key, Name: name})
}

// list lists the caches that have names, and forgets those that nobody has used for so
// long that their contents are gone.
func (n *cacheNames) list() ([]runtime.VolumeInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	entries, err := os.ReadDir(n.dir)
	if err != nil {
		return nil, err
	}
	var all []runtime.VolumeInfo
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue // is being written
		}
		r, err := n.read(entry.Name())
		if err != nil {
			return nil, err
		}
		if r == nil {
			if err := os.Remove(n.path(entry.Name())); err != nil {
				return nil, err
			}
			continue
		}
		all = append(all, runtime.VolumeInfo{Handle: entry.Name(), Type: "cache", CacheKey: r.Key})
	}
	return all, nil
}

// forget has the cache of that handle have no name. It tells whether it had one.
func (n *cacheNames) forget(handle string) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := os.Remove(n.path(handle))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
