//go:build cluster

package kubernetes_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"midge/runtime"
	"midge/runtime/kubernetes"
)

// In a namespace that enforces it, pods of the profile run, and do what tasks do.
func TestPodSecurityRestricted(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.Namespace = newNamespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	options.Security = kubernetes.SecurityRestricted
	worker := newWorker(t, options)
	volume, err := worker.CreateVolume(t.Context(), "input")
	if err != nil {
		t.Fatal(err)
	}
	defer volume.Destroy(context.Background())
	spec := newSpec("restricted")
	spec.Inputs = []runtime.Input{{Artifact: volume, Path: "in"}}
	spec.Outputs = []runtime.Output{{Path: "out"}, {Path: "/elsewhere/out"}}
	spec.Caches = []runtime.Cache{{Key: "key", Path: "cache"}}
	container := newContainer(t, worker, spec)
	process := begin(t, container, "task",
		`id -u; echo own > file; for dir in in out /elsewhere/out cache; do echo text > $dir/file && cat $dir/file; done; ls /var/run/secrets 2>&1`)
	if got := output(t, process); !strings.HasPrefix(got, "1000\ntext\ntext\ntext\ntext\n") || strings.Contains(got, "serviceaccount") {
		t.Errorf("the output is %q", got)
	}
	if err := container.KeepCaches(t.Context()); err != nil {
		t.Error(err)
	}
	if n, err := worker.ClearCaches(t.Context(), ""); err != nil || n != 1 {
		t.Errorf("%d caches were cleared, %v", n, err)
	}
	_, err = container.Run(t.Context(), runtime.ProcessSpec{ID: "root", Path: "id", User: "root"})
	if refused := (*runtime.SpecError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "user 1000") {
		t.Errorf("another user gave %v", err)
	}
	terminal, err := container.Run(t.Context(), runtime.ProcessSpec{ID: "terminal", Path: "sh", Args: []string{"-c", "tty; stty size"}, TTY: &runtime.WindowSize{Columns: 80, Rows: 24}})
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, terminal); !strings.Contains(got, "/dev/pts/") || !strings.Contains(got, "24 80") {
		t.Errorf("a terminal gave %q", got)
	}
}

func TestPrivileged(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	options.Security = kubernetes.SecurityRestricted
	spec := newSpec("privileged")
	spec.Privileged = true
	container := newContainer(t, newWorker(t, options), spec)
	process, err := container.Run(t.Context(), runtime.ProcessSpec{ID: "task", Path: "sh", Args: []string{"-c", "id -u; mount -t tmpfs none /mnt || mkdir /mnt && mount -t tmpfs none /mnt && echo mounted"}, Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, process); !strings.Contains(got, "0\n") || !strings.Contains(got, "mounted") {
		t.Errorf("the output is %q", got)
	}
}
