//go:build cluster

package kubernetes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/runtime"
	"midge/runtime/kubernetes"
)

// The first pod brings midge-agent to its node, and those that follow begin with it there,
// cannot change it, and are found by a server that was started anew. One whose node does
// not have it is made again, and brings it.
func TestKeptProgram(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	dir := t.TempDir()
	onDirectory(&options, dir)
	options.Security = kubernetes.SecurityRestricted
	worker := newWorker(t, options)
	brings := func(handle string, want bool) runtime.Container {
		t.Helper()
		spec := newSpec(handle)
		spec.Dir = "/tmp/build/" + handle
		container := newContainer(t, worker, spec)
		if got := len(podOf(t, options, handle).Spec.InitContainers) > 0; got != want {
			t.Errorf("%s: that it has an init container is %v, want %v", handle, got, want)
		}
		return container
	}
	const script = "exec 2>&1; pwd; id -u; stat -c %u .; touch file && ls; echo >/midge-program/midge-agent; rm -f /midge-program/midge-agent; ls /midge-program"
	says := func(container runtime.Container, id, want string) {
		t.Helper()
		if got := output(t, begin(t, container, id, script)); !strings.HasPrefix(got, want) {
			t.Errorf("%s: the output is %q, want %q", id, got, want)
		}
	}
	says(brings("first", true), "task", "/tmp/build/first\n1000\n1000\nfile\n")
	second := brings("second", false)
	got := output(t, begin(t, second, "task", script))
	if want := "/tmp/build/second\n1000\n1000\nfile\n"; !strings.HasPrefix(got, want) || strings.Count(got, "Read-only file system") != 2 || !strings.HasSuffix(got, "\nmidge-agent\n") {
		t.Errorf("the output is %q, want %q and that it cannot be changed", got, want)
	}

	worker = newWorker(t, options)
	found, err := worker.LookupContainer(t.Context(), "second")
	if err != nil {
		t.Fatal(err)
	}
	says(found, "again", "/tmp/build/second\n1000\n1000\nfile\n")
	brings("anew", true)

	programs := filepath.Join(dir, "programs")
	if err := os.RemoveAll(programs); err != nil {
		t.Fatal(err)
	}
	says(brings("lacking", true), "task", "/tmp/build/lacking\n1000\n1000\nfile\n")
	if kept, err := filepath.Glob(filepath.Join(programs, "*", "midge-agent")); err != nil || len(kept) != 1 {
		t.Errorf("the node has %q, %v", kept, err)
	}
}
