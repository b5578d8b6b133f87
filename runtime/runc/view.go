package runc

import (
	"context"
	"fmt"
	"io"

	"midge/agent"
	"midge/runtime"
)

// A view is a container's input or cache: what it wrote over what it was given.
type view struct {
	worker    *Worker
	container string
	volume    volume
}

func (w *Worker) view(container string, v volume) *view {
	return &view{worker: w, container: container, volume: v}
}

func (v *view) Handle() string { return v.volume.Handle }

func (v *view) Info(context.Context) (runtime.VolumeInfo, error) {
	return v.volume.info(v.container), nil
}

func (v volume) info(container string) runtime.VolumeInfo {
	return runtime.VolumeInfo{
		Handle:          v.Handle,
		Type:            "container",
		ContainerHandle: container,
		Path:            v.Target,
		ParentHandle:    v.Parent,
	}
}

func (v *view) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	dir, done, err := v.open()
	if err != nil {
		return nil, fmt.Errorf("read volume %s: %w", v.volume.Handle, err)
	}
	return streamOut(ctx, dir, path, done)
}

// StreamIn needs the container to be up when the volume has layers: what it sees
// can only be changed where it looks.
func (v *view) StreamIn(ctx context.Context, path string, tar io.Reader) error {
	users := v.worker.users
	if !v.volume.Mapped {
		users = nil
	}
	if v.volume.Lower == "" {
		if users != nil && users.shifts { // what is root's here is root's there
			users = nil
		}
		return extract(ctx, tar, v.volume.Dir, path, users)
	}
	dir, err := agent.MountedDir(v.worker.containerDir(v.container), v.volume.Mounted)
	if err != nil {
		return fmt.Errorf("write volume %s: %w", v.volume.Handle, err)
	}
	return extract(ctx, tar, dir, path, users)
}

// Destroy leaves the volume to its container, which has it mounted.
func (v *view) Destroy(context.Context) error {
	return fmt.Errorf("volume %s is mounted in container %s, and goes with it", v.volume.Handle, v.container)
}

// open gives a directory with what the container has there now, until done is called.
func (v *view) open() (dir string, done func(), err error) {
	if _, err := v.worker.readRecord(v.container); err != nil {
		return "", nil, err
	}
	if v.volume.Lower == "" {
		return v.volume.Dir, func() {}, nil
	}
	overlay, err := agent.MountDetached(v.volume.Dir, v.volume.Lower)
	if err != nil {
		return "", nil, err
	}
	return overlay.Dir(), func() { overlay.Close() }, nil
}
