package runc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"time"

	"midge/agent"
	"midge/agent/record"
	"midge/runtime/runc/delegation"
)

// scopeTimeout is how long systemd may take to make a scope.
const scopeTimeout = 30 * time.Second

// openCgroups finds where the cgroups of containers are, and may be made.
func (w *Worker) openCgroups(ctx context.Context) (err error) {
	if w.hierarchies, err = agent.FindHierarchies(); err != nil {
		return err
	}
	if w.ordinary {
		w.delegation, w.undelegated = delegation.Take()
		return w.useParent(w.delegation.Cgroup)
	}
	if err := w.useParent("/"); err != nil {
		return err
	}
	w.scoped = delegation.NeedsScope()
	return w.keepScope(ctx)
}

// useParent has the cgroups of containers made in parent from now on; "" is for none. It
// keeps a record of those that were parents: a server that is started again may have
// another one, and containers stay where they are.
func (w *Worker) useParent(parent string) error {
	file := w.path("cgroups.json")
	earlier, err := record.Read[[]string](file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read in what cgroups containers were made: %w", err)
	}
	parents := slices.DeleteFunc(slices.Clone(earlier), func(parent string) bool {
		return !w.hierarchies.Cgroup(parent).Exists()
	})
	if parent != "" && !slices.Contains(parents, parent) {
		parents = append(parents, parent)
	}
	if !slices.Equal(parents, earlier) {
		if err := record.Write(file, parents); err != nil {
			return fmt.Errorf("remember in what cgroups containers are made: %w", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cgroupParent, w.cgroupParents = parent, parents
	return nil
}

// keepScope sees to it that there is a scope for containers that are made now, where they
// need one: somebody may have ended the one there was.
func (w *Worker) keepScope(ctx context.Context) error {
	w.scoping.Lock()
	defer w.scoping.Unlock()
	if !w.scoped || w.scope != nil && !w.scope.Ended() {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, scopeTimeout)
	defer cancel()
	scope, err := delegation.NewScope(limited, w.options.Agent, agent.ModeHold)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		slog.Warn("systemd has made no unit for containers, and takes their limits of processors and figures of disks from them when it reloads its units; a server that is a service with Delegate=yes needs none", "worker", w.Name(), "reason", err)
		w.scoped = false
		return w.useParent("/")
	}
	if err := w.useParent(scope.Cgroup); err != nil {
		scope.Close()
		return err
	}
	w.scope = scope
	slog.Info("systemd has made a unit for containers", "worker", w.Name(), "unit", scope.Unit, "controllers", scope.Controllers)
	return nil
}

// hasCgroups tells whether containers have cgroups.
func (w *Worker) hasCgroups() bool { return !w.ordinary || w.undelegated == nil }

// cgroup is the cgroup of a container that is made now. It has no parent of the worker's
// own, which would stay when the last container is gone. It is "" where containers have none.
func (w *Worker) cgroup(handle string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cgroupParent == "" {
		return ""
	}
	return path.Join(w.cgroupParent, w.cgroupName(handle))
}

// cgroupName is the name of a container's cgroup, apart from those of other state directories.
func (w *Worker) cgroupName(handle string) string {
	sum := sha256.Sum256([]byte(w.options.StateDir))
	return "midge-" + hex.EncodeToString(sum[:6]) + "-" + handle
}
