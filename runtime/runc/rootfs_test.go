package runc_test

import (
	"errors"
	"fmt"
	"io/fs"
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

// Whatever an image has in the place of its list of name servers, the container has the
// machine's, and the image stays as it was.
func TestNamesInEveryRootfs(t *testing.T) {
	tests := map[string]func(etc string) error{
		"nothing": func(string) error { return nil },
		"a read-only file": func(etc string) error {
			return os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver 192.0.2.9\n"), 0o400)
		},
		"an absolute link": func(etc string) error { return os.Symlink("/run/resolv.conf", filepath.Join(etc, "resolv.conf")) },
		"a link to outside": func(etc string) error {
			return os.Symlink("../../../../etc/resolv.conf", filepath.Join(etc, "resolv.conf"))
		},
		"a link to itself": func(etc string) error { return os.Symlink("resolv.conf", filepath.Join(etc, "resolv.conf")) },
		"a directory":      func(etc string) error { return os.Mkdir(filepath.Join(etc, "resolv.conf"), 0o755) },
		"no /etc":          func(etc string) error { return os.Remove(etc) },
		"a read-only /etc": func(etc string) error { return os.Chmod(etc, 0o555) },
	}
	machine, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			rootfs := busyboxRootfs(t)
			if err := change(filepath.Join(rootfs, "etc")); err != nil {
				t.Fatal(err)
			}
			before := listed(t, rootfs)
			w := newWorker(t, func(o *runc.Options) { o.AllowRootfs = []string{rootfs} })
			c := newContainer(t, w, runtime.ContainerSpec{Image: runtime.ImageSpec{RootfsURI: "raw://" + rootfs}})
			p := run(t, c, "task", "cat /etc/resolv.conf && echo x >>/etc/resolv.conf && test -s /etc/hosts && id -u >&2")
			if got := output(t, p, runtime.Stdout); got != string(machine) {
				t.Errorf("the list of name servers is %q, want %q", got, machine)
			}
			if got := output(t, p, runtime.Stderr); got != "0\n" {
				t.Errorf("the rest says %q", got)
			}
			if after := listed(t, rootfs); after != before {
				t.Errorf("the rootfs was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// A rootfs of a single program runs that, and says of a shell that it is not there.
func TestRootfsWithoutAShell(t *testing.T) {
	rootfs := t.TempDir()
	if err := os.Chmod(rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rootfs, "busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, func(o *runc.Options) { o.AllowRootfs = []string{rootfs} })
	c := newContainer(t, w, runtime.ContainerSpec{Image: runtime.ImageSpec{RootfsURI: "raw://" + rootfs}})
	_, err = c.Run(t.Context(), runtime.ProcessSpec{ID: "shell", Path: "sh", Args: []string{"-c", "true"}})
	if missing := (*runtime.ExecutableError)(nil); !errors.As(err, &missing) || missing.Found || !strings.Contains(missing.Reason, "sh") {
		t.Errorf("running a shell gives %v, want an ExecutableError that says that there is none", err)
	}
	p, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "program", Path: "/busybox", Args: []string{"env"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, p, runtime.Stdout); !strings.Contains(got, "HOME=/root\n") || !strings.Contains(got, "USER=root\n") {
		t.Errorf("without a passwd the environment is %q", got)
	}
}

// listed describes all of a tree but its contents.
func listed(t *testing.T, top string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		size := info.Size()
		if info.IsDir() {
			size = 0
		}
		fmt.Fprintln(&all, path, info.Mode(), size)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
