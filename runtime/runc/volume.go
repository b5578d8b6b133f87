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

	"midge/agent"
	"midge/agent/record"
	"midge/runtime"
	"midge/runtime/archive"
)

const volumeFile = "volume.json"

// A volumeRecord is what the worker remembers of a volume that has a directory of
// its own: one that was asked for, or a container's output.
type volumeRecord struct {
	Handle string `json:"handle"`
	// Container is whose output it is, and Path where that mounts it; "" for a volume that was asked for.
	Container string `json:"container,omitempty"`
	Path      string `json:"path,omitempty"`
	// Destroyed ones stay while a container has them below an input.
	Destroyed bool `json:"destroyed,omitempty"`
}

func (w *Worker) volumeDir(handle string) string { return w.path("volumes", handle) }

// CreateVolume implements runtime.Worker.
func (w *Worker) CreateVolume(_ context.Context, handle string) (runtime.Volume, error) {
	if !agent.ValidID(handle) {
		return nil, &runtime.SpecError{Message: fmt.Sprintf("%q is no handle of a volume: it is 1 to 64 of a-z, 0-9 and '-'", handle)}
	}
	v, err := w.createVolume(volumeRecord{Handle: handle})
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (w *Worker) createVolume(r volumeRecord) (*ownVolume, error) {
	unlock := w.volumeChanges.lock(r.Handle)
	defer unlock()
	dir := w.volumeDir(r.Handle)
	_, err := w.readVolume(r.Handle)
	switch missing := (*runtime.NotFoundError)(nil); {
	case err == nil:
		return nil, fmt.Errorf("volume %q exists already", r.Handle)
	case !errors.As(err, &missing):
		return nil, err
	}
	// What is there without a record was left by a server that was killed.
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	v := &ownVolume{worker: w, record: r}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(v.data(), 0o755); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := record.Write(filepath.Join(dir, volumeFile), r); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return v, nil
}

// readVolume reads a volume's record, destroyed or not. That there is none is a
// *runtime.NotFoundError.
func (w *Worker) readVolume(handle string) (volumeRecord, error) {
	r, err := record.Read[volumeRecord](filepath.Join(w.volumeDir(handle), volumeFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = &runtime.NotFoundError{Kind: "volume", Name: handle}
	}
	return r, err
}

// LookupVolume implements runtime.Worker.
func (w *Worker) LookupVolume(_ context.Context, handle string) (runtime.Volume, error) {
	notFound := &runtime.NotFoundError{Kind: "volume", Name: handle}
	if len(handle) > 128 || strings.Trim(handle, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || handle == "" {
		return nil, notFound
	}
	r, err := w.readVolume(handle)
	if err == nil && !r.Destroyed {
		return &ownVolume{worker: w, record: r}, nil
	}
	if missing := (*runtime.NotFoundError)(nil); err != nil && !errors.As(err, &missing) {
		return nil, err
	}
	if v, err := w.caches.lookUp(handle); err != nil || v != nil {
		return v, err
	}
	all, err := w.records()
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		for _, v := range r.Volumes {
			if v.Handle == handle && v.Kind != outputVolume {
				return w.view(r.Handle, v), nil
			}
		}
	}
	return nil, notFound
}

// Volumes implements runtime.Worker.
func (w *Worker) Volumes(context.Context) ([]runtime.VolumeInfo, error) {
	handles, err := names(w.path("volumes"))
	if err != nil {
		return nil, err
	}
	var all []runtime.VolumeInfo
	for _, handle := range handles {
		r, err := w.readVolume(handle)
		if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) || err == nil && r.Destroyed {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r.info())
	}
	records, err := w.records()
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		for _, v := range r.Volumes {
			if v.Kind != outputVolume {
				all = append(all, v.info(r.Handle))
			}
		}
	}
	caches, err := w.caches.list()
	return append(all, caches...), err
}

// Volume implements runtime.Container.
func (c *container) Volume(_ context.Context, path string) (runtime.Volume, error) {
	r, err := c.worker.readRecord(c.handle)
	if err != nil {
		return nil, err
	}
	for _, v := range r.Volumes {
		if v.Path == path || v.Target == path {
			if v.Kind == outputVolume {
				return &ownVolume{worker: c.worker, record: volumeRecord{Handle: v.Handle, Container: c.handle, Path: v.Target}}, nil
			}
			return c.worker.view(c.handle, v), nil
		}
	}
	return nil, &runtime.NotFoundError{Kind: "volume", Name: path}
}

// An ownVolume is a volume that has a directory of its own.
type ownVolume struct {
	worker *Worker
	record volumeRecord
}

var _ runtime.Local = (*ownVolume)(nil)

func (v *ownVolume) data() string   { return filepath.Join(v.worker.volumeDir(v.record.Handle), "data") }
func (v *ownVolume) Handle() string { return v.record.Handle }

func (v *ownVolume) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	dir, release, err := v.LocalPath(ctx)
	if err != nil {
		return nil, err
	}
	return streamOut(ctx, dir, path, release)
}

func (v *ownVolume) StreamIn(ctx context.Context, path string, tar io.Reader) error {
	dir, release, err := v.LocalPath(ctx)
	if err != nil {
		return err
	}
	defer release()
	return archive.Extract(ctx, tar, dir, archive.Options{Path: path})
}

func (v *ownVolume) Info(context.Context) (runtime.VolumeInfo, error) {
	r, err := v.worker.readVolume(v.record.Handle)
	if err == nil && r.Destroyed {
		err = &runtime.NotFoundError{Kind: "volume", Name: r.Handle}
	}
	return r.info(), err
}

func (r volumeRecord) info() runtime.VolumeInfo {
	info := runtime.VolumeInfo{Handle: r.Handle, Type: "artifact", ContainerHandle: r.Container, Path: r.Path}
	if r.Container != "" {
		info.Type = "container"
	}
	return info
}

// LocalPath implements runtime.Local. A volume that is destroyed meanwhile stays
// until release is called.
func (v *ownVolume) LocalPath(context.Context) (dir string, release func(), err error) {
	w, handle := v.worker, v.record.Handle
	unlock := w.volumeChanges.lock(handle)
	defer unlock()
	r, err := w.readVolume(handle)
	if err != nil {
		return "", nil, err
	}
	if r.Destroyed {
		return "", nil, &runtime.NotFoundError{Kind: "volume", Name: handle}
	}
	w.mu.Lock()
	w.volumeUses[handle]++
	w.mu.Unlock()
	return v.data(), sync.OnceFunc(func() {
		w.mu.Lock()
		if w.volumeUses[handle]--; w.volumeUses[handle] == 0 {
			delete(w.volumeUses, handle)
		}
		w.mu.Unlock()
		w.sweepVolume(handle)
	}), nil
}

func (v *ownVolume) Destroy(context.Context) error {
	return v.worker.destroyVolume(v.record.Handle)
}

// destroyVolume removes a volume, or has it removed when the last container that
// has it below an input is destroyed.
func (w *Worker) destroyVolume(handle string) error {
	unlock := w.volumeChanges.lock(handle)
	defer unlock()
	r, err := w.readVolume(handle)
	if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) {
		return os.RemoveAll(w.volumeDir(handle))
	}
	if err != nil {
		return err
	}
	used, err := w.volumeIsUsed(handle)
	if err != nil {
		return err
	}
	if used {
		r.Destroyed = true
		return record.Write(filepath.Join(w.volumeDir(handle), volumeFile), r)
	}
	return os.RemoveAll(w.volumeDir(handle))
}

// sweepVolume removes a volume that was destroyed while it was in use, if it no longer is.
func (w *Worker) sweepVolume(handle string) {
	if r, err := w.readVolume(handle); err == nil && r.Destroyed {
		// What stays is removed when the worker is opened next.
		_ = w.destroyVolume(handle)
	}
}

func (w *Worker) volumeIsUsed(handle string) (bool, error) {
	w.mu.Lock()
	uses := w.volumeUses[handle]
	w.mu.Unlock()
	if uses > 0 {
		return true, nil
	}
	all, err := w.records()
	if err != nil {
		return false, err
	}
	data := filepath.Join(w.volumeDir(handle), "data")
	for _, r := range all {
		for _, v := range r.Volumes {
			if v.Lower == data {
				return true, nil
			}
		}
	}
	return w.isUsedElsewhere(handle)
}

// usersDir has, in a volume's directory, links to those of other workers' containers
// that have it below an input. Nothing else would tell of them after a restart.
const usersDir = "users"

// noteUser notes that a container of another worker has a volume below an input, until
// its directory is gone.
func (w *Worker) noteUser(handle, containerDir string) error {
	dir := filepath.Join(w.volumeDir(handle), usersDir)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	sum := sha256.Sum256([]byte(containerDir))
	err := os.Symlink(containerDir, filepath.Join(dir, hex.EncodeToString(sum[:16])))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// isUsedElsewhere tells whether a container of another worker has a volume below an input.
func (w *Worker) isUsedElsewhere(handle string) (bool, error) {
	dir := filepath.Join(w.volumeDir(handle), usersDir)
	users, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, user := range users {
		_, err := os.Stat(filepath.Join(dir, user.Name()))
		if !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// removeVolumes removes the outputs of a container that is gone, as far as nobody
// has them, and whatever it was the last to use.
func (w *Worker) removeVolumes(handle string, r containerRecord) error {
	all, err := filepath.Glob(w.path("volumes", handle+"-"+string(outputVolume)+"-*"))
	if err != nil {
		return err
	}
	for _, dir := range all {
		name := filepath.Base(dir)
		v, err := w.readVolume(name)
		if missing := (*runtime.NotFoundError)(nil); err != nil && !errors.As(err, &missing) {
			return err
		}
		if err == nil && v.Container != handle {
			continue
		}
		if err := w.destroyVolume(name); err != nil {
			return err
		}
	}
	for _, v := range r.Volumes {
		if v.Kind == inputVolume {
			w.sweepVolume(v.Parent)
		}
		if v.Kind == cacheVolume {
			if err := w.sweepCache(v.Key); err != nil {
				return err
			}
		}
	}
	return nil
}
