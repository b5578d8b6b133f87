package runc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
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
