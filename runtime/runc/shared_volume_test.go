package runc_test

import (
	"errors"
	"path/filepath"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
)

// An output that a container of another worker has below an input stays for as long as
// that container, also when both workers were opened anew meanwhile.
func TestAnotherWorkerKeepsAVolume(t *testing.T) {
	dir := t.TempDir()
	open := func() (from, to *runc.Worker) {
		at := func(name string) *runc.Worker {
			return newWorker(t, func(o *runc.Options) { o.Name, o.StateDir = name, filepath.Join(dir, name) })
		}
		return at("from"), at("to")
	}
	from, to := open()
	made := newContainer(t, from, runtime.ContainerSpec{Handle: "made", Outputs: []runtime.Output{{Path: "out"}}})
	wait(t, run(t, made, "write", "echo kept >out/file"))
	volume, err := made.Volume(t.Context(), "out")
	if err != nil {
		t.Fatal(err)
	}
	newContainer(t, to, runtime.ContainerSpec{Handle: "uses", Inputs: []runtime.Input{{Artifact: volume, Path: "in"}}})
	from.Close()
	to.Close()

	from, to = open()
	destroy := func(w *runc.Worker, handle string) {
		t.Helper()
		c, err := w.LookupContainer(t.Context(), handle)
		if err == nil {
			err = c.Destroy(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	destroy(from, "made")
	if _, err := from.RemoveLeftovers(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = from.LookupVolume(t.Context(), volume.Handle())
	if missing := (*runtime.NotFoundError)(nil); !errors.As(err, &missing) {
		t.Errorf("the volume is found after its container has gone: %v", err)
	}
	uses, err := to.LookupContainer(t.Context(), "uses")
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, run(t, uses, "read", "cat in/file"), runtime.Stdout); got != "kept\n" {
		t.Errorf("the input has %q", got)
	}
	destroy(to, "uses")
	if removed, err := from.RemoveLeftovers(t.Context()); err != nil || removed != 1 {
		t.Errorf("then %d things are removed, want the volume: %v", removed, err)
	}
}
