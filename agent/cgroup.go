package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Hierarchies are the machine's cgroup hierarchies: one on version 2, one a
// controller on version 1, both on a hybrid.
type Hierarchies struct {
	tops map[string]string // directories by controller; "" is version 2's
}

// FindHierarchies finds where they are mounted.
func FindHierarchies() (Hierarchies, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return Hierarchies{}, fmt.Errorf("find the cgroup hierarchies: %w", err)
	}
	h := Hierarchies{tops: make(map[string]string)}
	for _, m := range mounts {
		if m.FSType == "cgroup2" {
			h.tops[""] = m.Mountpoint
			continue
		}
		for option := range strings.SplitSeq(m.VFSOptions, ",") {
			if option != "rw" && option != "ro" {
				h.tops[option] = m.Mountpoint
			}
		}
	}
	return h, nil
}

// A Cgroup is a container's directory in every hierarchy.
type Cgroup struct {
	dirs map[string]string // by controller
}

// Names gives the cgroups directly in the one of the path parent, in any hierarchy, whose
// names begin with prefix, each once, in order. Where parent does not exist there are none.
func (h Hierarchies) Names(parent, prefix string) ([]string, error) {
	var names []string
	for _, top := range h.tops {
		entries, err := os.ReadDir(filepath.Join(top, parent))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list cgroups: %w", err)
		}
		for _, entry := range entries {
			if entry.IsDir() && strings.HasPrefix(entry.Name(), prefix) {
				names = append(names, entry.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Cgroup gives the cgroup of that path below every hierarchy's top. It need not exist.
// The path "" is of a container that has none.
func (h Hierarchies) Cgroup(path string) Cgroup {
	if path == "" {
		return Cgroup{}
	}
	c := Cgroup{dirs: make(map[string]string, len(h.tops))}
	for controller, top := range h.tops {
		c.dirs[controller] = filepath.Join(top, path)
	}
	return c
}

// Exists tells whether it is there, in any hierarchy.
func (c Cgroup) Exists() bool {
	for _, dir := range c.dirs {
		if _, err := os.Stat(dir); err == nil {
			return true
		}
	}
	return false
}

// OOMKills counts the processes that the kernel has killed there for memory.
func (c Cgroup) OOMKills() (int64, error) {
	if len(c.dirs) == 0 {
		return 0, nil
	}
	path, ok := filepath.Join(c.dirs["memory"], "memory.oom_control"), c.dirs["memory"] != ""
	if !ok {
		path = filepath.Join(c.dirs[""], "memory.events")
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) { // the memory controller is off
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("count processes killed for memory: %w", err)
	}
	return parseOOMKills(b)
}

// parseOOMKills reads the counter oom_kill, which both versions have in a file of
// lines of a key and a number.
func parseOOMKills(b []byte) (int64, error) {
	scanner := bufio.NewScanner(bytes.NewReader(b))
	for scanner.Scan() {
		if value, ok := strings.CutPrefix(scanner.Text(), "oom_kill "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("parse the kernel's count of processes killed for memory: %w", err)
			}
			return n, nil
		}
	}
	return 0, scanner.Err()
}

// Remove kills every process of the cgroup and of those below it, and removes all of
// them. What is gone already is no error.
func (c Cgroup) Remove(ctx context.Context) error {
	var errs []error
	for _, dir := range c.dirs {
		if err := removeCgroup(ctx, dir); err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

func removeCgroup(ctx context.Context, dir string) error {
	wait := time.Millisecond
	for {
		if err := killCgroup(dir); err != nil {
			return err
		}
		err := removeCgroupDirs(dir)
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		// The kernel tells of no event when the last killed process has gone.
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(wait):
			wait = min(2*wait, 100*time.Millisecond)
		}
	}
}

// cgroupDirs lists the directories of a cgroup, the innermost first; none if there is none.
func cgroupDirs(dir string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	slices.Reverse(dirs)
	return dirs, err
}

func removeCgroupDirs(dir string) error {
	dirs, err := cgroupDirs(dir)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

func killCgroup(dir string) error {
	dirs, err := cgroupDirs(dir)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		b, err := os.ReadFile(filepath.Join(d, "cgroup.procs"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return err
		}
		for field := range bytes.FieldsSeq(b) {
			pid, err := strconv.Atoi(string(field))
			if err != nil || pid <= 0 { // 0 is a process that this one does not see
				continue
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}
