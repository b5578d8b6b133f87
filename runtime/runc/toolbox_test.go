package runc_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
)

// emptyRootfs makes a root file system without a single program.
func emptyRootfs(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "rootfs")
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// An image with no programs at all has those of the toolbox, for who asks for them.
func TestToolbox(t *testing.T) {
	toolbox := runc.FindToolbox()
	if toolbox == "" {
		t.Fatal("there is no static busybox: make deps installs it")
	}
	rootfs := emptyRootfs(t)
	w := newWorker(t, func(o *runc.Options) { o.Toolbox, o.AllowRootfs = toolbox, []string{rootfs} })
	c := newContainer(t, w, runtime.ContainerSpec{Image: runtime.ImageSpec{RootfsURI: "raw://" + rootfs}, User: "65534"})
	_, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "without", Path: "sh"})
	if missing := (*runtime.ExecutableError)(nil); !errors.As(err, &missing) || missing.Found {
		t.Errorf("sh without the toolbox gave %v", err)
	}
	p, err := c.Run(t.Context(), runtime.ProcessSpec{
		ID: "with", Path: "sh", Args: []string{"-c", "echo $0; ls -d /etc; id -u; echo x >/dev/midge-toolbox/ls"}, Toolbox: true,
		Env: []string{"PATH=/bin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, p, runtime.Stdout); got != "/dev/midge-toolbox/sh\n/etc\n65534\n" {
		t.Errorf("the shell wrote %q, %q", got, output(t, p, runtime.Stderr))
	}
	if status := wait(t, p); status.Code == 0 {
		t.Error("the toolbox was written to")
	}
	if changes, err := c.Files().Changes(t.Context()); err != nil || len(changes) != 0 {
		t.Errorf("the toolbox is a change: %+v, %v", changes, err)
	}
	_, err = c.Run(t.Context(), runtime.ProcessSpec{ID: "nosuch", Path: "nosuch", Toolbox: true})
	if missing := (*runtime.ExecutableError)(nil); !errors.As(err, &missing) || missing.Found {
		t.Errorf("a command that the toolbox does not have gave %v", err)
	}
}

func TestNoToolbox(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{})
	_, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "with", Path: "sh", Toolbox: true})
	if missing := (*runtime.ExecutableError)(nil); !errors.As(err, &missing) || !strings.Contains(missing.Reason, "--toolbox-path") {
		t.Errorf("got %v", err)
	}
	_, err = runc.New(t.Context(), runc.Options{
		Name: "dynamic", StateDir: t.TempDir(), Agent: agentProgram, Runtime: os.Getenv(runtimeVariable), Toolbox: "/bin/sh",
	})
	if err == nil || !strings.Contains(err.Error(), "busybox-static") {
		t.Errorf("a toolbox that needs libraries gave %v", err)
	}
}

// What a killed server has made of the toolbox the next one completes.
func TestHalfMadeToolbox(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	half := filepath.Join(dir, "toolbox")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("busybox", filepath.Join(half, "sh")), os.WriteFile(filepath.Join(half, "busybox.new"), []byte("half"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds it whole
		newWorker(t, func(o *runc.Options) { o.StateDir, o.Toolbox = dir, runc.FindToolbox() }).Close()
		out, err := exec.Command(filepath.Join(half, "ls"), half).Output()
		if err != nil || !strings.Contains(string(out), "sh\n") || strings.Contains(string(out), "new") {
			t.Errorf("the toolbox has %s (%v)", out, err)
		}
	}
}
