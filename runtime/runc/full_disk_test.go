package runc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"midge/runtime"
	"midge/runtime/runc"
)

// How a process ends is known on a disk that has become full meanwhile, and that its
// output was lost if it was.
func TestProcessEndsOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w := newWorker(t, func(o *runc.Options) { o.StateDir = filepath.Join(dir, "state") })
	c := newContainer(t, w, runtime.ContainerSpec{})
	begin := func(id, script string) runtime.Process {
		t.Helper()
		p, err := c.Run(t.Context(), runtime.ProcessSpec{ID: id, Path: "sh", Args: []string{"-c", "echo begun; read line; " + script}, Stdin: true})
		if err != nil {
			t.Fatal(err)
		}
		awaitOutput(t, p, "begun\n")
		return p
	}
	end := func(p runtime.Process) (runtime.ExitStatus, error) {
		t.Helper()
		if _, err := p.Write(t.Context(), 0, []byte("\n")); err != nil {
			t.Fatal(err)
		}
		return p.Wait(t.Context())
	}
	quiet, prints := begin("quiet", "exit 3"), begin("prints", "seq 100000; exit 3")
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 1<<12))
	}
	if status, err := end(quiet); err != nil || status.Code != 3 {
		t.Errorf("it ended with %+v, %v, want status 3", status, err)
	}
	if status, err := end(prints); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("with its output lost it ended with %+v, %v", status, err)
	}
	if _, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "late", Path: "true"}); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("a process that begins then gives %v", err)
	}
}
