package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/runtime"
	"midge/runtime/archive"
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
	dir, done, err := v.open(false)
	if err != nil {
		return nil, fmt.Errorf("read volume %s: %w", v.volume.Handle, err)
	}
	return streamOut(ctx, dir, path, done)
}

func (v *view) StreamIn(ctx context.Context, path string, tar io.Reader) error {
	dir, done, err := v.open(true)
	if err != nil {
		return fmt.Errorf("write volume %s: %w", v.volume.Handle, err)
	}
	defer done()
	return archive.Extract(ctx, tar, dir, archive.Options{Path: path})
}

// Destroy leaves the volume to its container, which has it mounted.
func (v *view) Destroy(context.Context) error {
	return fmt.Errorf("volume %s is mounted in container %s, and goes with it", v.volume.Handle, v.container)
}

// open gives a directory with what the container sees.
func (v *view) open(writable bool) (dir string, done func(), err error) {
	if _, err := v.worker.readRecord(v.container); err != nil {
		return "", nil, err
	}
	if v.volume.Lower == "" {
		return v.volume.Dir, func() {}, nil
	}
	// While the container is up its own mount must be used: another one of the same
	// directories would not see what it has in its memory.
	if dir, err := agent.MountedDir(v.worker.containerDir(v.container), v.volume.Merged); err == nil {
		return dir, func() {}, nil
	}
	merged, err := mountDetached(v.volume, writable)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d", merged.Fd()), func() { merged.Close() }, nil
}

// mountDetached mounts a volume where no path leads: it goes when the file is closed.
func mountDetached(v volume, writable bool) (*os.File, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open overlay file system: %w", err)
	}
	defer unix.Close(fs)
	var layers []*os.File
	defer func() {
		for _, f := range layers {
			f.Close()
		}
	}()
	// Values of options are short, and names of directories need not be.
	set := func(option string, dirs ...string) error {
		names := make([]string, len(dirs))
		for i, dir := range dirs {
			fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return &os.PathError{Op: "open", Path: dir, Err: err}
			}
			layers = append(layers, os.NewFile(uintptr(fd), dir))
			names[i] = fmt.Sprintf("/proc/self/fd/%d", fd)
		}
		if err := unix.FsconfigSetString(fs, option, strings.Join(names, ":")); err != nil {
			return fmt.Errorf("set overlay option %s: %w", option, err)
		}
		return nil
	}
	flags := unix.MOUNT_ATTR_RDONLY
	if writable {
		flags = 0
		work := strings.TrimSuffix(v.Dir, "data") + "work"
		err = errors.Join(set("lowerdir", v.Lower), set("upperdir", v.Dir), set("workdir", work))
	} else {
		err = set("lowerdir", v.Dir, v.Lower)
	}
	if err != nil {
		return nil, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("create overlay file system: %w", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, flags)
	if err != nil {
		return nil, fmt.Errorf("mount overlay file system: %w", err)
	}
	return os.NewFile(uintptr(mount), v.Handle), nil
}
