package realserver

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Inventory is what a server and its containers have on the machine, by kind: mounts,
// cgroups, network namespaces and processes.
type Inventory map[string][]string

// TakeInventory looks at what belongs to a server: what names its directories.
func TakeInventory(t testing.TB, s *Server) Inventory {
	t.Helper()
	dirs := []string{s.Dir, s.DataDir}
	pids, processes := processesOf(t, dirs)
	return Inventory{
		"mount":             mountsOf(t, dirs),
		"process":           processes,
		"cgroup":            cgroupsOf(t, s),
		"network namespace": namespacesOf(pids, "net"),
	}
}

// Compare tells of what is there that was not before.
func (i Inventory) Compare(t testing.TB, now Inventory) {
	t.Helper()
	for kind, things := range now {
		for _, thing := range things {
			if !slices.Contains(i[kind], thing) {
				t.Errorf("a %s is left: %s", kind, thing)
			}
		}
	}
}

func names(text string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return strings.Contains(text, dir) })
}

func mountsOf(t testing.TB, dirs []string) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var mounts []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && names(line, dirs) {
			mounts = append(mounts, fields[4])
		}
	}
	return mounts
}

// processesOf gives the ids and the command lines of processes that name one of the
// directories: the server, the commands that ask it, and the supervisors of containers.
func processesOf(t testing.TB, dirs []string) (pids, lines []string) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range entries {
		// What has ended, and waits for a parent that does not look, has no command line.
		command, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(command) == 0 || !names(string(command), dirs) {
			continue
		}
		pids = append(pids, filepath.Base(dir))
		lines = append(lines, fmt.Sprintf("%s %s", filepath.Base(dir), bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
	}
	return pids, lines
}

// cgroupsOf gives the cgroups of a server's containers.
func cgroupsOf(t testing.TB, s *Server) []string {
	t.Helper()
	// A container's cgroup has the sum of its worker's directory in its name.
	sum := sha256.Sum256([]byte(filepath.Join(s.DataDir, "workers")))
	prefix := fmt.Sprintf("midge-%x-", sum[:6])
	var cgroups []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasPrefix(entry.Name(), prefix) {
			cgroups = append(cgroups, path)
		}
		return nil // what goes meanwhile is another's
	})
	if err != nil {
		t.Fatal(err)
	}
	return cgroups
}

// namespacesOf gives the namespaces of processes, but those of the machine.
func namespacesOf(pids []string, kind string) []string {
	own, err := os.Readlink("/proc/self/ns/" + kind)
	if err != nil {
		return nil
	}
	var all []string
	for _, pid := range pids {
		if namespace, err := os.Readlink("/proc/" + pid + "/ns/" + kind); err == nil && namespace != own {
			all = append(all, namespace)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// OpenFiles is how many files the server's process has open.
func (s *Server) OpenFiles() int {
	s.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(entries)
}

// ResidentBytes is how much memory the server's process has.
func (s *Server) ResidentBytes() int64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		s.t.Fatal(err)
	}
	return resident * int64(unix.Getpagesize())
}
