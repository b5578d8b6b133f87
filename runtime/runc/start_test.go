package runc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
)

func TestUnprivileged(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{})
	got := output(t, run(t, c, "status", "grep -E '^(CapEff|CapBnd|Seccomp):' /proc/self/status"), runtime.Stdout)
	if want := "CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n"; got != want {
		t.Errorf("status is %q, want %q", got, want)
	}
	for i, script := range []string{"mount -t tmpfs none /mnt", "unshare -U true", "echo 1 > /proc/sys/kernel/sysrq", "mkdir /sys/fs/cgroup/memory/x", "mknod /dev/sda b 8 0 && cat /dev/sda"} {
		if status := wait(t, run(t, c, "try-"+itoa(i), script)); status.Code == 0 {
			t.Errorf("%s succeeded", script)
		}
	}
}

func TestPrivileged(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{Privileged: true})
	p, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "mount", Path: "mount", Args: []string{"-t", "tmpfs", "none", "/mnt"}, Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	if status := wait(t, p); status.Code != 0 {
		t.Errorf("a privileged process could not mount: %s", output(t, p, runtime.Stderr))
	}
	got := output(t, run(t, c, "status", "grep -E '^(CapPrm|CapEff|CapBnd|CapAmb):' /proc/self/status"), runtime.Stdout)
	if want := "CapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n"; got != want {
		t.Errorf("an unprivileged process of a privileged container has %q, want %q", got, want)
	}
}

func TestExecutableErrorsSayWhatIsThere(t *testing.T) {
	rootfs := busyboxRootfs(t)
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(rootfs, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("plain", "text", 0o644)
	write("script", "#!/usr/bin/python9 -u\n", 0o755)
	write("dos", "#!/bin/sh\r\n", 0o755)
	write("garbage", "text", 0o755)
	write("secret", "#!/bin/sh\n", 0o700)
	ls, err := os.ReadFile("/bin/ls")
	if err != nil {
		t.Fatal(err)
	}
	write("dynamic", string(ls), 0o755)
	w := newWorker(t, func(o *runc.Options) { o.AllowRootfs = []string{rootfs} })
	c := newContainer(t, w, runtime.ContainerSpec{Image: runtime.ImageSpec{RootfsURI: "raw://" + rootfs}, Dir: "/"})
	tests := []struct {
		path, user, want string
		found            bool
	}{
		{path: "/missing/deep/down", want: "executable /missing/deep/down does not exist; / has bin/ dev/"},
		{path: "nothing", want: `executable "nothing" is not found in PATH (/usr/local/sbin:`},
		{path: "plain", want: "/plain is there, to be run as ./plain"},
		{path: "./plain", want: "/plain is not executable (its mode is -rw-r--r--)", found: true},
		{path: "/bin", want: "/bin is a directory and cannot be executed; /bin has busybox", found: true},
		{path: "/dev/null", want: "no regular file", found: true},
		{path: "./script", want: "names the interpreter /usr/bin/python9, which is not in the image", found: true},
		{path: "./dos", want: "Windows line ends", found: true},
		{path: "./garbage", want: "neither a program for this machine nor a script", found: true},
		{path: "./dynamic", want: "it needs the dynamic loader /lib64/ld-linux-x86-64.so.2, which is not in the image", found: true},
		{path: "./secret", user: "1000", want: "cannot be executed by user 1000: permission denied", found: true},
		{path: "", want: "there is no executable to run"},
	}
	for _, test := range tests {
		_, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "task", Path: test.path, User: test.user})
		failure := (*runtime.ExecutableError)(nil)
		if !errors.As(err, &failure) {
			t.Errorf("%s: error %v, want an ExecutableError", test.path, err)
			continue
		}
		if !strings.Contains(failure.Reason, test.want) || failure.Found != test.found {
			t.Errorf("%s: %+v, want one with %q", test.path, failure, test.want)
		}
	}
}

func TestUsers(t *testing.T) {
	rootfs := busyboxRootfs(t)
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(rootfs, "etc", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("passwd", "root:x:0:0:root:/root:/bin/sh\nbuilder:x:1001:1002:B:/home/builder:/bin/sh\n")
	write("group", "root:x:0:\nbuilders:x:1002:\ndocker:x:1003:other,builder\n")
	w := newWorker(t, func(o *runc.Options) { o.AllowRootfs = []string{rootfs} })
	c := newContainer(t, w, runtime.ContainerSpec{
		Image:   runtime.ImageSpec{RootfsURI: "raw://" + rootfs},
		User:    "builder",
		Outputs: []runtime.Output{{Path: "out"}},
	})
	tests := []struct{ user, want string }{
		{"", "1001 1002 1002 1003 /home/builder builder\n"},
		{"builder", "1001 1002 1002 1003 /home/builder builder\n"},
		{"1001", "1001 1002 1002 1003 /home/builder builder\n"},
		{"root", "0 0 0 /root root\n"},
		{"1001:docker", "1001 1003 1003 /home/builder builder\n"},
		{"77:88", "77 88 88 /\n"},
	}
	for i, test := range tests {
		p, err := c.Run(t.Context(), runtime.ProcessSpec{
			ID: "user-" + itoa(i), User: test.user,
			Path: "sh", Args: []string{"-c", "echo $(id -u) $(id -g) $(id -G) $HOME $USER; touch out/x"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := output(t, p, runtime.Stdout); got != test.want {
			t.Errorf("user %q is %q, want %q", test.user, got, test.want)
		}
	}
	if got := output(t, run(t, c, "writes", "touch out/y && stat -c %u out/y"), runtime.Stdout); got != "1001\n" {
		t.Errorf("a file in the output belongs to %q, want 1001", got)
	}
	for _, user := range []string{"nobody", "builder:nogroup", "4294967295"} {
		_, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "task", Path: "true", User: user})
		if specError := (*runtime.SpecError)(nil); !errors.As(err, &specError) {
			t.Errorf("user %q: error %v, want a SpecError", user, err)
		}
	}
}
