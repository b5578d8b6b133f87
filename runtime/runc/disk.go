package runc

import (
	"cmp"
	"context"
	"errors"
	"io/fs"

	"midge/agent"
	"midge/agent/quota"
	"midge/runtime"
)

var _ runtime.Weighed = (*container)(nil)

// DiskUsed implements runtime.Weighed.
func (c *container) DiskUsed(ctx context.Context) (uint64, error) {
	used, err := agent.DiskUsed(ctx, c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = &runtime.NotFoundError{Kind: "container", Name: c.handle}
	}
	return used, err
}

// diskLimit is how many bytes of the disk a container may take, 0 for any number.
func (w *Worker) diskLimit(spec runtime.ContainerSpec) uint64 {
	return cmp.Or(spec.Limits.Disk, w.options.Limits.Disk)
}

// projectFor gives a project for what a container writes, with its limit as quota, or 0
// when it has no limit or the file system no quotas. What its supervisor writes is no part
// of it: that must not fail.
func (w *Worker) projectFor(spec runtime.ContainerSpec) (quota.Project, error) {
	limit := w.diskLimit(spec)
	if limit == 0 || !w.quotas {
		return 0, nil
	}
	w.newProject.Lock()
	defer w.newProject.Unlock()
	return quota.New(w.options.StateDir, w.cgroup(spec.Handle), limit)
}

// freeProject takes back the quota of a container that is removed, if it has one.
func (w *Worker) freeProject(project quota.Project) error {
	if project == 0 {
		return nil
	}
	return quota.SetLimit(w.options.StateDir, project, 0)
}
