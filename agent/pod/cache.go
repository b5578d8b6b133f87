package pod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"midge/runtime"
	"midge/runtime/archive"
)

// Parts of the directory that pods share, which any number of them may use at once.
const (
	objectsDir = "objects" // as transfer.FetchOptions.Objects has it
	cachesDir  = "caches"  // the contents of task caches: compressed archives, by their names
)

// CacheUnused is how long the content of a task cache stays that nobody uses.
const CacheUnused = 7 * 24 * time.Hour

// A TaskCache is a volume that is kept under a name for the pods that have it next.
type TaskCache struct {
	Volume int `json:"volume"`
	// Name is of letters and digits.
	Name string `json:"name"`
	// Keep makes what is in the volume what is kept. Otherwise the volume gets that.
	Keep bool `json:"keep,omitempty"`
}

// taskCaches has volumes be kept, and filled with what was.
func (e *exchange) taskCaches(ctx context.Context, order Order) error {
	dir := filepath.Join(order.Cache, cachesDir)
	for _, c := range order.Caches {
		volume, path := filepath.Join(e.dir, VolumeDir(c.Volume)), filepath.Join(dir, filepath.Base(c.Name))
		if c.Keep {
			if err := keep(ctx, volume, path); err != nil {
				return fmt.Errorf("keep a task cache: %w", err)
			}
			continue
		}
		if err := bring(ctx, path, volume); err != nil {
			return fmt.Errorf("bring a task cache: %w", err)
		}
		if err := order.give(volume); err != nil {
			return err
		}
	}
	if len(order.Caches) == 0 {
		return nil
	}
	return removeUnused(dir)
}

// newArchive is what the names of archives begin with that are being written.
const newArchive = ".new-"

// keep makes what is in a volume what is kept at a path: as a whole, and in place of what
// others have kept there, who may be reading that.
func keep(ctx context.Context, volume, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), newArchive)
	if err != nil {
		return err
	}
	err = writeCompressed(f, func(w io.Writer) error { return archive.Write(ctx, w, volume, ".") })
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// bring fills a volume with what is kept at a path, if there is anything. What is
// damaged is as good as nothing.
func bring(ctx context.Context, path, volume string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// So that it is not taken for unused. One that another has replaced meanwhile is new.
	now := time.Now()
	_ = os.Chtimes(path, now, now)
	decompressed, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer decompressed.Close()
	stream := &source{Reader: decompressed}
	err = archive.Extract(ctx, stream, volume, archive.Options{})
	refused := (*runtime.TarError)(nil)
	if ctx.Err() == nil && (stream.failed.Load() != nil || errors.As(err, &refused)) {
		return errors.Join(empty(volume), os.Remove(path))
	}
	return err
}

// empty removes all that is in a directory.
func empty(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := root.RemoveAll(entry.Name()); err != nil {
			return err
		}
	}
	return nil
}

// removeUnused removes the archives that nobody has used for a while, and those that
// somebody began to write then. Whoever reads one reads on.
func removeUnused(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && time.Since(info.ModTime()) > CacheUnused {
			err = os.Remove(filepath.Join(dir, entry.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another may have removed it
			return err
		}
	}
	return nil
}
