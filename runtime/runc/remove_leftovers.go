package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"midge/agent"
	"midge/runtime"
)

// RemoveLeftovers removes what is left of containers that no longer exist: their
// supervisors, their cgroups with the processes in them, and with those the mounts and
// network namespaces that no one else has; the addresses of such networks; and volumes
// that a killed server has half made, or not removed. It says how many things it
// removed, goes on after an error and gives all of them.
func (w *Worker) RemoveLeftovers(ctx context.Context) (int, error) {
	removed := 0
	var errs []error
	for _, remove := range []func(context.Context) (int, error){
		w.removeSupervisors, w.removeCgroups, w.removeAddresses, w.removeHalfVolumes,
	} {
		n, err := remove(ctx)
		removed += n
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// removeSupervisors ends the supervisors of containers that are gone.
func (w *Worker) removeSupervisors(ctx context.Context) (int, error) {
	handles, err := agent.Supervised(w.path("containers"))
	if err != nil {
		return 0, fmt.Errorf("look for supervisors: %w", err)
	}
	removed := 0
	var errs []error
	for _, handle := range handles {
		n, err := w.removeSupervisor(ctx, handle)
		errs = append(errs, err)
		removed += n
	}
	return removed, errors.Join(errs...)
}

// removeSupervisor ends the supervisor of a container, unless that exists: it does from
// before the supervisor is started until it has ended.
func (w *Worker) removeSupervisor(ctx context.Context, handle string) (int, error) {
	unlock := w.changes.lock(handle)
	defer unlock()
	if _, err := os.Lstat(w.containerDir(handle)); !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	return agent.EndSupervisors(ctx, w.containerDir(handle))
}

// removeAddresses gives back the addresses of networks of containers that are gone.
func (w *Worker) removeAddresses(ctx context.Context) (int, error) {
	if w.bridge == nil {
		return 0, nil
	}
	return w.bridge.Collect(ctx, w.networksInUse)
}

// removeCgroups removes the cgroups of containers that are gone.
func (w *Worker) removeCgroups(ctx context.Context) (int, error) {
	w.mu.Lock()
	parents := w.cgroupParents
	w.mu.Unlock()
	removed := 0
	var errs []error
	for _, parent := range parents {
		names, err := w.hierarchies.Names(parent, w.cgroupName(""))
		errs = append(errs, err)
		for _, name := range names {
			done, err := w.removeCgroup(ctx, parent, strings.TrimPrefix(name, w.cgroupName("")))
			errs = append(errs, err)
			if done {
				removed++
			}
		}
	}
	return removed, errors.Join(errs...)
}

// removeCgroup removes the cgroup of a container in parent, unless the container exists:
// it does from before its cgroup is made until after that was removed.
func (w *Worker) removeCgroup(ctx context.Context, parent, handle string) (bool, error) {
	unlock := w.changes.lock(handle)
	defer unlock()
	if _, err := os.Lstat(w.containerDir(handle)); !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	if err := w.hierarchies.Cgroup(path.Join(parent, w.cgroupName(handle))).Remove(ctx); err != nil {
		return false, fmt.Errorf("remove what is left of container %s: %w", handle, err)
	}
	return true, nil
}

// removeHalfVolumes removes the directories of volumes that have no record, or that
// were destroyed and are no longer in use.
func (w *Worker) removeHalfVolumes(context.Context) (int, error) {
	handles, err := names(w.path("volumes"))
	if err != nil {
		return 0, err
	}
	removed := 0
	var errs []error
	for _, handle := range handles {
		done, err := w.removeHalfVolume(handle)
		if err != nil {
			errs = append(errs, fmt.Errorf("remove what is left of volume %s: %w", handle, err))
		}
		if done {
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

func (w *Worker) removeHalfVolume(handle string) (bool, error) {
	unlock := w.volumeChanges.lock(handle)
	defer unlock()
	dir := w.volumeDir(handle)
	r, err := w.readVolume(handle)
	missing := (*runtime.NotFoundError)(nil)
	switch {
	case errors.As(err, &missing):
		return true, os.RemoveAll(dir)
	case err != nil || !r.Destroyed:
		return false, err
	}
	used, err := w.volumeIsUsed(handle)
	if err != nil || used {
		return false, err
	}
	return true, os.RemoveAll(dir)
}
