package runc_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
	"midge/runtime/runc/network"
)

// What containers leave that are gone is found, and nothing of one that is there.
func TestRemoveLeftovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	before := takeInventory(t, dir)
	w := newWorker(t, func(o *runc.Options) { o.StateDir = dir })
	c := newContainer(t, w, runtime.ContainerSpec{Handle: "here", Outputs: []runtime.Output{{Path: "out"}}})
	alive := run(t, c, "alive", "exec sleep 100000")
	if n, err := w.RemoveLeftovers(t.Context()); err != nil || n != 0 {
		t.Errorf("it removed %d things (%v) where nothing is left", n, err)
	}
	there := takeInventory(t, dir)
	if len(there.cgroups) == 0 {
		t.Fatal("a container that runs has no cgroup")
	}

	// As if the machine had lost power while a container was removed and a volume made.
	for _, path := range there.cgroups {
		if path, ok := strings.CutSuffix(path, "-here"); ok {
			if err := os.Mkdir(path+"-gone", 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "volumes", "half", "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if n, err := w.RemoveLeftovers(t.Context()); err != nil || n != 2 {
		t.Errorf("it removed %d things (%v), want a cgroup and a volume", n, err)
	}
	there.compare(t)
	if err := alive.Signal(t.Context(), runtime.SignalTerminate); err != nil {
		t.Fatal(err)
	}
	if ended := wait(t, alive); ended.Signal != "TERM" {
		t.Errorf("the process of a container that is there ended with %+v", ended)
	}
	if err := c.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	before.compare(t)
}

// A container whose directory is gone, as after a crash of the machine's disk, is no
// container: its supervisor, mounts, namespaces, processes and address go.
func TestRemoveLeftoversOfAWholeContainer(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "state")
	before := takeInventory(t, dir)
	w := newWorker(t, func(o *runc.Options) {
		o.StateDir = dir
		o.Network = runc.NetworkBridge
		o.Bridge = network.Defaults
		o.Bridge.Ready = 0
	})
	here := newContainer(t, w, runtime.ContainerSpec{Handle: "here"})
	run(t, here, "task", "exec sleep 100000")
	there, addresses := takeInventory(t, dir), addressesOf(t, dir)
	hereProcesses := pidsOf(there.processes)
	gone := newContainer(t, w, runtime.ContainerSpec{Handle: "gone"})
	run(t, gone, "task", "exec sleep 100000")
	goneProcesses := slices.DeleteFunc(pidsOf(takeInventory(t, dir).processes), func(pid string) bool { return slices.Contains(hereProcesses, pid) })
	namespaces := namespacesOf(t, goneProcesses)
	if len(namespaces) < 4 {
		t.Fatalf("the processes %v of a container have the namespaces %v", goneProcesses, namespaces)
	}
	inside := insideOf(t, namespaces)
	if len(inside) < len(goneProcesses) {
		t.Fatalf("in the namespaces of the processes %v there are %v", goneProcesses, inside)
	}
	if err := os.RemoveAll(filepath.Join(dir, "containers", "gone")); err != nil {
		t.Fatal(err)
	}
	if n, err := w.RemoveLeftovers(t.Context()); err != nil || n != 2 {
		t.Errorf("it removed %d things (%v), want a supervisor with all that it had, and an address", n, err)
	}
	if processes := pidsOf(takeInventory(t, dir).processes); !slices.Equal(processes, hereProcesses) {
		t.Errorf("there are the processes %v, want %v", processes, hereProcesses)
	}
	// Another's namespace may have the number of one that is gone: who was there is looked for.
	for _, one := range insideOf(t, namespaces) {
		if slices.Contains(inside, one) {
			t.Errorf("there still is the process %s", one)
		}
	}
	if left := addressesOf(t, dir); !slices.Equal(left, addresses) {
		t.Errorf("the addresses %v are given, want %v", left, addresses)
	}
	if err := here.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	before.compare(t)
}

// addressesOf lists the addresses that a worker's containers have on its bridge.
func addressesOf(t *testing.T, stateDir string) []string {
	t.Helper()
	addresses, err := filepath.Glob(filepath.Join(stateDir, "network", "*", "[0-9]*.*"))
	if err != nil {
		t.Fatal(err)
	}
	return addresses
}

// pidsOf gives the numbers of an inventory's processes.
func pidsOf(processes []string) (pids []string) {
	for _, process := range processes {
		pid, _, _ := strings.Cut(process, " ")
		pids = append(pids, pid)
	}
	return pids
}

// namespacesOf gives the mount and network namespaces of processes, but those of the
// machine.
func namespacesOf(t *testing.T, pids []string) []string {
	t.Helper()
	var all []string
	for _, pid := range pids {
		for _, kind := range []string{"mnt", "net"} {
			namespace, err := os.Readlink(filepath.Join("/proc", pid, "ns", kind))
			if err != nil {
				t.Fatal(err)
			}
			if own, err := os.Readlink("/proc/self/ns/" + kind); err != nil {
				t.Fatal(err)
			} else if namespace != own {
				all = append(all, namespace)
			}
		}
	}
	return all
}

// insideOf gives the processes that are in any of the namespaces, each by its number and
// the time of its start, which no other has.
func insideOf(t *testing.T, namespaces []string) (inside []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		// What ends meanwhile is in none.
		namespace, err := os.Readlink(link)
		if err != nil || !slices.Contains(namespaces, namespace) {
			continue
		}
		process := filepath.Dir(filepath.Dir(link))
		stat, err := os.ReadFile(filepath.Join(process, "stat"))
		if err != nil {
			continue
		}
		// What follows the name, which may have spaces: the start is the 22nd field, see proc_pid_stat(5).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		one := filepath.Base(process) + " started at " + fields[19]
		if !slices.Contains(inside, one) {
			inside = append(inside, one)
		}
	}
	return inside
}

// The address of a network that a killed server had ready is given back when the next one
// is stopped, at the latest, and the bridge goes.
func TestAddressOfAKilledServerGoesWithTheBridge(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "state")
	w := newWorker(t, func(o *runc.Options) {
		o.StateDir, o.Network, o.Bridge = dir, runc.NetworkBridge, network.Defaults
		o.Bridge.Ready = 0
	})
	if err := newContainer(t, w, runtime.ContainerSpec{}).Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	// As host-local notes it.
	notes := filepath.Join(dir, "network", network.Defaults.Bridge+"0")
	if err := os.WriteFile(filepath.Join(notes, "10.213.0.77"), []byte("midge-killed\r\neth1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if addresses := addressesOf(t, dir); len(addresses) != 1 {
		t.Errorf("the addresses %v are given, want one", addresses)
	}
	w.Close()
	if addresses := addressesOf(t, dir); len(addresses) != 0 {
		t.Errorf("the addresses %v are given", addresses)
	}
	if _, err := os.Stat("/sys/class/net/" + network.Defaults.Bridge + "0"); err == nil {
		t.Error("the bridge is left")
	}
}
