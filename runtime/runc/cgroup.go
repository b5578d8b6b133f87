package runc

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"midge/agent"
	"midge/agent/record"
	"midge/runtime/runc/delegation"
)

// openCgroups finds where the cgroups of containers are, and may be made.
func (w *Worker) openCgroups() (err error) {
	if w.hierarchies, err = agent.FindHierarchies(); err != nil {
		return err
	}
	if !w.ordinary {
		w.cgroupParents = []string{"/"}
		return nil
	}
	w.delegation, w.undelegated = delegation.Take()
	if err := w.rememberParents(); err != nil {
		return fmt.Errorf("remember what cgroups are delegated: %w", err)
	}
	return nil
}

// rememberParents keeps a record of the cgroups that are and were delegated: a server
// that is started again is in another one, and containers stay where they are.
func (w *Worker) rememberParents() error {
	file := w.path("cgroups.json")
	earlier, err := record.Read[[]string](file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parents := slices.DeleteFunc(slices.Clone(earlier), func(parent string) bool {
		return !w.hierarchies.Cgroup(parent).Exists()
	})
	if w.undelegated == nil && !slices.Contains(parents, w.delegation.Cgroup) {
		parents = append(parents, w.delegation.Cgroup)
	}
	w.cgroupParents = parents
	if slices.Equal(parents, earlier) {
		return nil
	}
	return record.Write(file, parents)
}

// hasCgroups tells whether containers have cgroups.
func (w *Worker) hasCgroups() bool { return !w.ordinary || w.undelegated == nil }

// cgroup is the cgroup of a container that is made now. It has no parent of the worker's
// own, which would stay when the last container is gone. It is "" where containers have none.
func (w *Worker) cgroup(handle string) string {
	switch {
	case !w.hasCgroups():
		return ""
	case w.ordinary:
		return path.Join(w.delegation.Cgroup, w.cgroupName(handle))
	default:
		return "/" + w.cgroupName(handle)
	}
}

// cgroupName is the name of a container's cgroup, apart from those of other state directories.
func (w *Worker) cgroupName(handle string) string {
	sum := sha256.Sum256([]byte(w.options.StateDir))
	return "midge-" + hex.EncodeToString(sum[:6]) + "-" + handle
}
