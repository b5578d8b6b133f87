package runc_test

import (
	"os"
	"path/filepath"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
)

// A container that no process has looked into yet has its image also when the worker
// was opened anew, and hidden directories stay hidden.
func TestContainersKeepTheHostImage(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	secret, err := os.MkdirTemp("/usr/local", "midge-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(secret) })
	if err := os.WriteFile(filepath.Join(secret, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(secret, 0o755); err != nil {
		t.Fatal(err)
	}
	open := func() *runc.Worker {
		return newWorker(t, func(o *runc.Options) { o.StateDir, o.Hide = dir, []string{secret} })
	}
	w := open()
	newContainer(t, w, runtime.ContainerSpec{Handle: "stays"})
	for range 2 {
		w.Close()
		w = open()
	}
	c, err := w.LookupContainer(t.Context(), "stays")
	if err != nil {
		t.Fatal(err)
	}
	p := run(t, c, "look", "readlink /var/run; ls "+secret+" 2>/dev/null || echo hidden")
	if got := output(t, p, runtime.Stdout); got != "/run\nhidden\n" {
		t.Errorf("it finds %q", got)
	}
	destroy(t, c)
	w.Close()
	open()
	if images, err := os.ReadDir(filepath.Join(dir, "host-image")); err != nil || len(images) != 1 {
		t.Errorf("host images stay that nobody has: %v, %v", images, err)
	}
}
