package runc_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An inventory is what a worker has on the machine: of its containers nothing may stay.
type inventory struct {
	stateDir  string
	mounts    []string
	cgroups   []string
	processes []string
	files     []string
}

// takeInventory looks at what a worker has on the machine.
func takeInventory(t testing.TB, stateDir string) inventory {
	t.Helper()
	i := inventory{stateDir: stateDir}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, stateDir) {
			i.mounts = append(i.mounts, strings.TrimSpace(line))
		}
	}
	sum := sha256.Sum256([]byte(stateDir))
	cgroup := fmt.Sprintf("/midge-%x-", sum[:6])
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(path, cgroup) {
			i.cgroups = append(i.cgroups, path)
		}
		return nil // what goes meanwhile is another's
	})
	if err != nil {
		t.Fatal(err)
	}
	i.processes = processesOf(t, stateDir, cgroup)
	for _, kind := range []string{"containers", "volumes"} {
		left, err := filepath.Glob(filepath.Join(stateDir, kind, "*"))
		if err != nil {
			t.Fatal(err)
		}
		i.files = append(i.files, left...)
	}
	return i
}

// processesOf lists the processes in a worker's cgroups and its supervisors.
func processesOf(t testing.TB, stateDir, cgroup string) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		// What has ended may wait for a parent that does not look. That it has no command
		// line does not tell: what is just being executed has none either.
		stat, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			continue
		}
		command, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil {
			continue
		}
		cgroups, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cgroup"))
		if err != nil {
			continue
		}
		if bytes.Contains(command, []byte(stateDir)) || bytes.Contains(cgroups, []byte(cgroup)) {
			all = append(all, entry.Name()+" "+string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	return all
}

// uidOf gives the machine's number of the user who runs a command in a worker's container.
func uidOf(t testing.TB, stateDir, command string) uint32 {
	t.Helper()
	for _, p := range takeInventory(t, stateDir).processes {
		pid, rest, _ := strings.Cut(p, " ")
		if rest != strings.ReplaceAll(command, "\x00", " ") {
			continue
		}
		var stat unix.Stat_t
		if err := unix.Stat("/proc/"+pid, &stat); err != nil {
			t.Fatal(err)
		}
		return stat.Uid
	}
	t.Fatalf("no process runs %q", command)
	return 0
}

// compare tells of what is there that was not before.
func (i inventory) compare(t testing.TB) {
	t.Helper()
	now := takeInventory(t, i.stateDir)
	for kind, lists := range map[string][2][]string{
		"mount":   {i.mounts, now.mounts},
		"cgroup":  {i.cgroups, now.cgroups},
		"process": {i.processes, now.processes},
		"file":    {i.files, now.files},
	} {
		for _, one := range lists[1] {
			is := func(before string) bool { return before == one }
			if kind == "process" { // which may have executed another program since
				pid, _, _ := strings.Cut(one, " ")
				is = func(before string) bool { return strings.HasPrefix(before, pid+" ") }
			}
			if !slices.ContainsFunc(lists[0], is) {
				t.Errorf("a %s is left: %s", kind, one)
			}
		}
	}
}

// supervisorOf gives the process id of a container's supervisor.
func supervisorOf(t testing.TB, stateDir, handle string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(stateDir, "containers", handle, "agent.lock"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
