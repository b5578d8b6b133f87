//go:build linux

package usage

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Location says where the counters of a process's control groups are. "" is for
// what there is not.
type Location struct {
	// Unified is the directory in the unified hierarchy (v2). In a hybrid set-up it
	// has pressure and little else.
	Unified string

	// CPU, CPUAccounting, Memory, BlockIO and PIDs are the directories of controllers in v1's hierarchies.
	CPU, CPUAccounting, Memory, BlockIO, PIDs string

	// NetDev is a net/dev file of the network namespace.
	NetDev string
	// NoNetwork says why there is no NetDev.
	NoNetwork string

	// Proc is where the process file system is mounted.
	Proc string
}

// Locate finds the control groups that a process is in now, and its network. A
// process in this process's own network namespace has no network of its own, unless
// it is this process.
func Locate(pid int) (Location, error) { return locate("/proc", pid) }

func locate(proc string, pid int) (Location, error) {
	location := Location{Proc: proc}
	groups, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return Location{}, err
	}
	mounts, err := os.ReadFile(filepath.Join(proc, "self/mountinfo"))
	if err != nil {
		return Location{}, err
	}
	memberships, err := parseMemberships(groups)
	if err != nil {
		return Location{}, fmt.Errorf("parse the control groups of process %d: %w", pid, err)
	}
	hierarchies, err := parseHierarchies(mounts)
	if err != nil {
		return Location{}, fmt.Errorf("parse mountinfo: %w", err)
	}
	location.Unified = hierarchies.directory("", memberships)
	location.CPU = hierarchies.directory("cpu", memberships)
	location.CPUAccounting = hierarchies.directory("cpuacct", memberships)
	location.Memory = hierarchies.directory("memory", memberships)
	location.BlockIO = hierarchies.directory("blkio", memberships)
	location.PIDs = hierarchies.directory("pids", memberships)
	return location, location.findNetwork(proc, pid)
}

func (l *Location) findNetwork(proc string, pid int) error {
	shared, err := sharedNetwork(proc, pid)
	if err != nil {
		return fmt.Errorf("find the network of process %d: %w", pid, err)
	}
	if shared && pid != os.Getpid() {
		l.NoNetwork = "it shares the machine's network"
		return nil
	}
	l.NetDev = filepath.Join(proc, strconv.Itoa(pid), "net/dev")
	return nil
}

// parseMemberships reads /proc/PID/cgroup, lines of "ID:CONTROLLERS:PATH", and gives
// the path by controller, "" being the unified hierarchy:
// Documentation/admin-guide/cgroup-v2.rst, "Processes", and
// Documentation/admin-guide/cgroup-v1/cgroups.rst, "How do I use cgroups".
func parseMemberships(data []byte) (map[string]string, error) {
	memberships := map[string]string{}
	for line := range bytes.Lines(data) {
		fields := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(fields) != 3 || !strings.HasPrefix(fields[2], "/") {
			return nil, fmt.Errorf("line %q: %w", line, errFields)
		}
		// A process in a group that was removed keeps its name, with a mark.
		group := strings.TrimSuffix(fields[2], " (deleted)")
		for controller := range strings.SplitSeq(fields[1], ",") {
			memberships[controller] = group
		}
	}
	return memberships, nil
}

// hierarchy is where a cgroup file system is mounted, and which group is its top there.
type hierarchy struct{ mountPoint, root string }

// hierarchies are by controller, "" being the unified one.
type hierarchies map[string]hierarchy

// parseHierarchies reads /proc/PID/mountinfo: Documentation/filesystems/proc.rst,
// "/proc/<pid>/mountinfo".
func parseHierarchies(data []byte) (hierarchies, error) {
	found := hierarchies{}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		before, after, ok := strings.Cut(scanner.Text(), " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(mount) < 6 || len(kind) < 3 {
			return nil, fmt.Errorf("line %q: %w", scanner.Text(), errFields)
		}
		where := hierarchy{mountPoint: unescape(mount[4]), root: unescape(mount[3])}
		switch kind[0] {
		case "cgroup2":
			found.keep("", where)
		case "cgroup":
			for option := range strings.SplitSeq(kind[2], ",") {
				found.keep(option, where)
			}
		}
	}
	return found, scanner.Err()
}

// keep takes the first mount of a hierarchy, and prefers one that shows it from its top.
func (h hierarchies) keep(controller string, where hierarchy) {
	if before, ok := h[controller]; !ok || (before.root != "/" && where.root == "/") {
		h[controller] = where
	}
}

// directory gives the directory of a process's group, "" when its hierarchy is not
// mounted, the group lies outside of what is, or is the top, which is nobody's own.
func (h hierarchies) directory(controller string, memberships map[string]string) string {
	group, member := memberships[controller]
	where, mounted := h[controller]
	if !member || !mounted {
		return ""
	}
	if where.root != "/" {
		below, ok := strings.CutPrefix(group, where.root)
		if !ok || (below != "" && below[0] != '/') {
			return ""
		}
		group = below
	}
	directory := path.Join(where.mountPoint, group)
	if isTop(directory) {
		return ""
	}
	return directory
}

// isTop tells the top group of a hierarchy, whose numbers are the whole machine's:
// it alone lacks cgroup.events in v2 and has release_agent in v1.
func isTop(directory string) bool {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(directory, name))
		return err == nil
	}
	return exists("release_agent") || exists("cgroup.controllers") && !exists("cgroup.events")
}

// unescape undoes the octal escapes of space, tab, newline and backslash in mountinfo.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}
