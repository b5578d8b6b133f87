package runc_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"midge/runtime"
	"midge/runtime/runc"
)

func rootfsSpec(uri string) runtime.ContainerSpec {
	return runtime.ContainerSpec{Image: runtime.ImageSpec{RootfsURI: uri}}
}

func TestHostImage(t *testing.T) {
	hidden := filepath.Join("/opt", "midge-test-"+itoa(os.Getpid()))
	if err := os.MkdirAll(hidden, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(hidden) })
	secret := filepath.Join("/etc", "midge-test-"+itoa(os.Getpid()))
	writeSecret := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("secret"), 0o640); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
	}
	writeSecret(secret)
	w := newWorker(t, func(o *runc.Options) { o.Hide = []string{hidden} })
	// What comes later is seen, and not read.
	writeSecret(secret + "-later")
	c := newContainer(t, w, runtime.ContainerSpec{Hostname: "named"})
	for i, path := range []string{"/etc/shadow", "/etc/gshadow", "/etc/ssl/private", hidden, secret} {
		if status := wait(t, run(t, c, "ls-"+itoa(i), "test -e "+path)); status.Code != 1 {
			t.Errorf("%s is seen", path)
		}
	}
	p := run(t, c, "later", "cat "+secret+"-later")
	if status := wait(t, p); status.Code == 0 || !strings.Contains(output(t, p, runtime.Stderr), "Permission denied") {
		t.Errorf("what only the machine's root may read gave %+v, %q", status, output(t, p, runtime.Stdout))
	}
	script := `set -e
test -z "$(ls -A /home)"; test -z "$(ls -A /root)"; test -z "$(ls -A /tmp)"
test "$(hostname)" = named; grep -q named /etc/hosts; test -e /etc/resolv.conf; getent hosts localhost
echo x > /usr/local/bin/midge-test; echo x > /etc/midge-test; echo x > /opt/midge-test
touch /work/x /tmp/x /var/tmp/x /run/x /root/x /home/x`
	p = run(t, c, "write", script)
	if status := wait(t, p); status.Code != 0 {
		t.Errorf("exit status %+v: %s", status, output(t, p, runtime.Stderr))
	}
	for _, dir := range []string{"/usr/local/bin", "/etc", "/opt"} {
		if _, err := os.Stat(filepath.Join(dir, "midge-test")); err == nil {
			t.Errorf("what the task wrote is in the machine's %s", dir)
		}
	}
}

// An unprivileged task is root inside and nobody outside, to whom inputs and images
// seem root's; a privileged one is root.
func TestUsersOutside(t *testing.T) {
	t.Run("shifted", func(t *testing.T) { testUsersOutside(t, false) })
	t.Run("copied", func(t *testing.T) { testUsersOutside(t, true) })
}

func testUsersOutside(t *testing.T, copies bool) {
	rootfs := busyboxRootfs(t)
	dir := filepath.Join(t.TempDir(), "state")
	w := newWorker(t, func(o *runc.Options) { o.StateDir, o.AllowRootfs, o.CopyInputs = dir, []string{rootfs}, copies })
	for _, privileged := range []bool{false, true} {
		handle := "container-" + strconv.FormatBool(privileged)
		volume, err := w.CreateVolume(t.Context(), handle)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { destroy(t, volume) })
		maker := newContainer(t, w, runtime.ContainerSpec{Handle: handle + "-maker", Privileged: privileged, Outputs: []runtime.Output{{Path: "out"}}})
		wait(t, run(t, maker, "task", "echo made > out/file"))
		made, err := maker.Volume(t.Context(), "out")
		if err != nil {
			t.Fatal(err)
		}
		var stat unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, "volumes", made.Handle(), "data", "file"), &stat); err != nil {
			t.Fatal(err)
		}
		if own := copies && !privileged; (stat.Uid != 0) != own {
			t.Errorf("privileged %v: what a task has made belongs to %d on the disk", privileged, stat.Uid)
		}
		c := newContainer(t, w, runtime.ContainerSpec{
			Handle: handle, Privileged: privileged,
			Image:  runtime.ImageSpec{RootfsURI: "raw://" + rootfs},
			Inputs: []runtime.Input{{Artifact: made, Path: "in"}, {Artifact: volume, Path: "empty"}},
		})
		p := run(t, c, "task", "stat -c %u:%g /bin /bin/busybox in in/file empty; touch in/file in/new empty/new /bin/new; id -u")
		if got, want := output(t, p, runtime.Stdout), "0:0\n0:0\n0:0\n0:0\n0:0\n0\n"; got != want {
			t.Errorf("privileged %v: the owners and the user are %q, want %q (%s)", privileged, got, want, output(t, p, runtime.Stderr))
		}
		const script = "echo up; sleep 100000; :" // asked of the shell itself, which is there when it says so
		awaitOutput(t, run(t, c, "shell", script), "up\n")
		if got := uidOf(t, dir, "sh\x00-c\x00"+script+"\x00"); (got == 0) != privileged {
			t.Errorf("privileged %v: the process is the machine's user %d", privileged, got)
		}
		if err := c.Stop(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRootfsURI(t *testing.T) {
	rootfs := busyboxRootfs(t)
	if err := os.Symlink("/nowhere/resolv.conf", filepath.Join(rootfs, "etc", "resolv.conf")); err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, func(o *runc.Options) { o.AllowRootfs = []string{filepath.Dir(rootfs)} })
	c := newContainer(t, w, runtime.ContainerSpec{
		Image:   runtime.ImageSpec{RootfsURI: "raw://" + rootfs},
		Outputs: []runtime.Output{{Path: "out"}},
	})
	p := run(t, c, "task", "set -e; cat /etc/resolv.conf /etc/hosts; touch /written /work/out/x; pwd")
	if status := wait(t, p); status.Code != 0 {
		t.Errorf("exit status %+v: %s", status, output(t, p, runtime.Stderr))
	}
	if _, err := os.Stat(filepath.Join(rootfs, "written")); err == nil {
		t.Error("what the task wrote is in the rootfs")
	}
}
