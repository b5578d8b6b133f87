package runc_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/runtime"
	"midge/runtime/runc"
)

func TestOutputStreamsAndExitStatus(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{Env: []string{"FROM=spec"}})
	p := run(t, c, "task", "echo out $FROM; echo err >&2; exit 3")
	if got := output(t, p, runtime.Stdout); got != "out spec\n" {
		t.Errorf("stdout is %q", got)
	}
	if got := output(t, p, runtime.Stderr); got != "err\n" {
		t.Errorf("stderr is %q", got)
	}
	if status := wait(t, p); status.Code != 3 {
		t.Errorf("exit status %+v, want code 3", status)
	}
}

// What runs in a container may send its first process any signal, and every
// process SIGKILL: the container stays up, and tells how its processes ended.
func TestFirstProcessSurvivesWhatRunsInside(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{})
	for number := 1; number <= 64; number++ {
		if number == 32 || number == 33 { // the C library's own
			continue
		}
		p := run(t, c, "signal-"+itoa(number), "kill -"+itoa(number)+" 1")
		if status := wait(t, p); status.Code != 0 {
			t.Errorf("kill -%d 1: %+v, %s", number, status, output(t, p, runtime.Stderr))
		}
	}
	victim := run(t, c, "victim", "sleep 100000")
	killer := run(t, c, "killer", "trap '' TERM; kill -9 -1; echo survived")
	wait(t, killer)
	if status := wait(t, victim); status.Signal != "KILL" || status.Code != 137 {
		t.Errorf("the victim's exit status is %+v, want killed", status)
	}
	if status := wait(t, run(t, c, "after", "exit 7")); status.Code != 7 {
		t.Errorf("exit status %+v, want code 7", status)
	}
}

// A task may not look into the first process, which runs the same program as the
// supervisor outside.
func TestFirstProcessIsClosedToTheContainer(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{})
	for i, script := range []string{
		"cat /proc/1/environ", "readlink /proc/1/fd/3", "cat /proc/1/exe", "echo x > /proc/1/mem", "echo x > /dev/midge-agent", "rm /dev/midge-agent",
	} {
		p := run(t, c, "look-"+itoa(i), script)
		if status := wait(t, p); status.Code == 0 {
			t.Errorf("%s succeeded", script)
		}
	}
}

func TestTaskTreeEndsWithTask(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{})
	session := run(t, c, "session", "echo up; exec sleep 100000")
	awaitOutput(t, session, "up\n")
	p := run(t, c, "task", "setsid sh -c 'echo $$ > /tmp/daemon; exec sleep 100001' & sleep 100002 & while ! test -s /tmp/daemon; do sleep 0.01; done")
	if status := wait(t, p); status.Code != 0 {
		t.Fatalf("exit status %+v", status)
	}
	list := run(t, c, "list", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
	got := output(t, list, runtime.Stdout)
	if strings.Contains(got, "sleep 100001") || strings.Contains(got, "sleep 100002") {
		t.Errorf("what the task started is left: %q", got)
	}
	if !strings.Contains(got, "sleep 100000") {
		t.Errorf("another process ended with the task: %q", got)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{})
	p := run(t, c, "orphans", `for i in 1 2 3 4 5 6 7 8; do (sh -c 'exit 0' & exit 0); done
		while grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do sleep 0.01; done`)
	if status := wait(t, p); status.Code != 0 {
		t.Errorf("exit status %+v", status)
	}
}

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

func TestHermetic(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{Hermetic: true})
	got := output(t, run(t, c, "links", "ls /sys/class/net; cat /sys/class/net/lo/operstate"), runtime.Stdout)
	if got != "lo\nunknown\n" {
		t.Errorf("the network is %q, want lo alone, and up", got)
	}
}

// A server that comes back finds a container by its handle, a process by its id, and
// all that it has written.
func TestWorkerComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	at := func(o *runc.Options) { o.StateDir = dir }
	spec := runtime.ContainerSpec{Handle: "stays", Dir: "/work", Image: runtime.ImageSpec{Host: true}}
	first := newWorker(t, at)
	c := newContainer(t, first, spec)
	p, err := c.Run(t.Context(), runtime.ProcessSpec{ID: "task", Path: "sh", Args: []string{"-c", "echo one; read line; echo $line"}, Stdin: true})
	if err != nil {
		t.Fatal(err)
	}
	awaitOutput(t, p, "one\n")
	if n, err := p.Write(t.Context(), 0, []byte("tw")); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	first.Close()

	second := newWorker(t, at)
	again, err := second.FindOrCreateContainer(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	p, err = again.Attach(t.Context(), "task")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := p.Write(t.Context(), 0, []byte("two\n")); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if got := output(t, p, runtime.Stdout); got != "one\ntwo\n" {
		t.Errorf("stdout is %q", got)
	}
	if err := again.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := output(t, p, runtime.Stdout); got != "one\ntwo\n" {
		t.Errorf("stdout of a stopped container is %q", got)
	}
	if status := wait(t, p); status.Code != 0 {
		t.Errorf("exit status %+v", status)
	}
}

// When a container's supervisor is killed, what it had recorded is there, the rest
// is known to be lost, nothing hangs, and the container can be used again.
func TestSupervisorKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	before := takeInventory(t, dir)
	w := newWorker(t, func(o *runc.Options) { o.StateDir = dir })
	c := newContainer(t, w, runtime.ContainerSpec{Handle: "orphan"})
	done := run(t, c, "done", "echo done; exit 4")
	wait(t, done)
	lost := run(t, c, "lost", "echo begun; exec sleep 100000")
	r, err := lost.Output(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if chunk, err := r.Next(); err != nil || string(chunk.Data) != "begun\n" {
		t.Fatal(string(chunk.Data), err)
	}
	if err := syscall.Kill(supervisorOf(t, dir, "orphan"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}

	lostError := (*agent.LostError)(nil)
	if _, err := r.Next(); !errors.As(err, &lostError) {
		t.Errorf("reading on gave error %v, want a LostError", err)
	}
	if _, err := lost.Wait(t.Context()); !errors.As(err, &lostError) {
		t.Errorf("waiting gave error %v, want a LostError", err)
	}
	if status := wait(t, done); status.Code != 4 {
		t.Errorf("exit status %+v, want code 4", status)
	}
	if got := output(t, done, runtime.Stdout); got != "done\n" {
		t.Errorf("output is %q", got)
	}
	if status := wait(t, run(t, c, "again", "test -e /work && exit 5")); status.Code != 5 {
		t.Errorf("exit status %+v, want code 5", status)
	}
	if err := c.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	before.compare(t)
}

func TestFailedContainersLeaveNothing(t *testing.T) {
	allowed := t.TempDir()
	dir := filepath.Join(t.TempDir(), "state")
	before := takeInventory(t, dir)
	broken := filepath.Join(t.TempDir(), "broken-runtime")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\nrunc \"$@\" || exit\nexit 9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	leaving := filepath.Join(allowed, "leaving")
	if err := os.MkdirAll(leaving, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../..", filepath.Join(leaving, "work")); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(allowed, "outside")
	if err := os.Symlink("/usr", outside); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*runc.Options)
		spec   runtime.ContainerSpec
		want   string // in the error
		system bool   // not the spec's fault
	}{
		"bad handle":         {spec: runtime.ContainerSpec{Handle: "../x", Image: runtime.ImageSpec{Host: true}}, want: "1 to 64"},
		"no host image":      {change: func(o *runc.Options) { o.HostImage = false }, want: "--host-image=false"},
		"rootfs not allowed": {spec: rootfsSpec("raw:///usr"), want: "not allowed"},
		"rootfs by a link":   {spec: rootfsSpec("raw://" + outside), want: "not allowed"},
		"rootfs by dots":     {spec: rootfsSpec("raw://" + allowed + "/../../usr"), want: "not allowed"},
		"rootfs missing":     {spec: rootfsSpec("raw://" + allowed + "/missing"), want: "no such file"},
		"rootfs of the net":  {spec: rootfsSpec("docker:///busybox"), want: "raw:///DIR"},
		"mount point leaves": {
			spec: runtime.ContainerSpec{
				Image:   runtime.ImageSpec{RootfsURI: "raw://" + leaving},
				Outputs: []runtime.Output{{Path: "out"}},
			},
			want: "leads out of the container",
		},
		"mount point is a file": {
			spec: runtime.ContainerSpec{Image: runtime.ImageSpec{Host: true}, Outputs: []runtime.Output{{Path: "/etc/passwd"}}},
			want: "file there",
		},
		"runtime fails":         {change: func(o *runc.Options) { o.Runtime = "/bin/false" }, want: "could not make the container", system: true},
		"runtime fails at last": {change: func(o *runc.Options) { o.Runtime = broken }, want: "could not make the container", system: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorker(t, func(o *runc.Options) {
				o.StateDir = dir
				o.AllowRootfs = []string{allowed}
				if test.change != nil {
					test.change(o)
				}
			})
			spec := test.spec
			if spec.Handle == "" {
				spec.Handle = "container"
			}
			spec.Dir = "/work"
			if spec.Image == (runtime.ImageSpec{}) {
				spec.Image.Host = true
			}
			_, err := w.FindOrCreateContainer(t.Context(), spec)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if specError := (*runtime.SpecError)(nil); errors.As(err, &specError) == test.system {
				t.Errorf("error %#v: a SpecError belongs to the spec, another one to the machine", err)
			}
			before.compare(t)
		})
	}
}

func rootfsSpec(uri string) runtime.ContainerSpec {
	return runtime.ContainerSpec{Image: runtime.ImageSpec{RootfsURI: uri}}
}

func TestDestroyedContainerLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	before := takeInventory(t, dir)
	w := newWorker(t, func(o *runc.Options) { o.StateDir = dir })
	volume, err := w.CreateVolume(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.FindOrCreateContainer(t.Context(), runtime.ContainerSpec{
		Handle:  "container",
		Dir:     "/work",
		Image:   runtime.ImageSpec{Host: true},
		Inputs:  []runtime.Input{{Artifact: volume, Path: "in"}},
		Outputs: []runtime.Output{{Path: "out"}},
		Caches:  []runtime.Cache{{Key: "key", Path: "cache"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c, "task", "setsid sleep 100000 & exec sleep 100000")
	run(t, c, "session", "trap '' TERM; while true; do sleep 100; done")
	if err := volume.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	before.compare(t)
	if err := c.Destroy(t.Context()); err != nil {
		t.Errorf("destroying it again: %v", err)
	}
}

// A server that was killed while it made a container leaves half of one. It is
// listed, so that somebody removes it, and replaced by one that is made anew.
func TestHalfMadeContainer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	before := takeInventory(t, dir)
	w := newWorker(t, func(o *runc.Options) { o.StateDir = dir })
	c := newContainer(t, w, runtime.ContainerSpec{Handle: "half"})
	run(t, c, "old", "exec sleep 100000")
	if err := os.Remove(filepath.Join(dir, "containers", "half", "container.json")); err != nil {
		t.Fatal(err)
	}
	if all, err := w.Containers(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("the containers are %v (%v), want the half made one", all, err)
	}
	c = newContainer(t, w, runtime.ContainerSpec{Handle: "half"})
	if ids, err := c.Processes(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("the new container has processes %v (%v)", ids, err)
	}
	if err := c.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	before.compare(t)
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
		sleep := run(t, c, "sleep", "echo up; exec sleep 100000")
		awaitOutput(t, sleep, "up\n")
		if got := uidOf(t, dir, "sleep\x00100000\x00"); (got == 0) != privileged {
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

func TestInputThatIsAnOutputToo(t *testing.T) {
	w := newWorker(t)
	volume, err := w.CreateVolume(t.Context(), "tree")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, volume) })
	maker := newContainer(t, w, runtime.ContainerSpec{Handle: "maker", Outputs: []runtime.Output{{Path: "out"}}})
	wait(t, run(t, maker, "task", "echo old > out/changed; echo old > out/kept; echo old > out/removed"))
	made, err := maker.Volume(t.Context(), "out")
	if err != nil {
		t.Fatal(err)
	}
	c := newContainer(t, w, runtime.ContainerSpec{
		Handle:  "changer",
		Inputs:  []runtime.Input{{Artifact: made, Path: "tree"}},
		Outputs: []runtime.Output{{Path: "tree"}},
	})
	wait(t, run(t, c, "task", "cd tree; echo new > changed; rm removed; mkdir dir; echo new > dir/added"))
	for _, state := range []string{"up", "down"} {
		changed, err := c.Volume(t.Context(), "tree")
		if err != nil {
			t.Fatal(err)
		}
		reader := newContainer(t, w, runtime.ContainerSpec{Handle: "reader-" + state, Inputs: []runtime.Input{{Artifact: changed, Path: "in"}}})
		got := output(t, run(t, reader, "task", "cd in; find . -type f | sort | while read f; do echo $f $(cat $f); done"), runtime.Stdout)
		if want := "./changed new\n./dir/added new\n./kept old\n"; got != want {
			t.Errorf("the changed input of a container that is %s is %q, want %q", state, got, want)
		}
		if err := c.Stop(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := output(t, run(t, maker, "look", "cat out/changed"), runtime.Stdout); got != "old\n" {
		t.Errorf("the artifact was changed: %q", got)
	}
}

func TestKilledForMemory(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{Limits: runtime.Limits{Memory: 64 << 20}})
	status := wait(t, run(t, c, "task", "dd if=/dev/zero of=/dev/null bs=200M count=1; exit 3"))
	if status.Code != 3 || !status.OOMKilled {
		t.Errorf("a task whose process was killed for memory has %+v", status)
	}
	if status := wait(t, run(t, c, "after", "exit 0")); status.OOMKilled {
		t.Errorf("a process after it has %+v", status)
	}
}

func TestReadersEndWithTheirContext(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{})
	p := run(t, c, "quiet", "exec sleep 100000")
	r, err := p.Output(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := r.Next()
		ended <- err
	}()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || err == io.EOF {
		t.Errorf("a reader that was closed gave error %v", err)
	}
}
