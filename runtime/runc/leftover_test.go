package runc_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"midge/agent"
	"midge/runtime"
	"midge/runtime/runc"
)

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

// A supervisor that hangs keeps neither a container nor its processes.
func TestSupervisorHangs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	before := takeInventory(t, dir)
	w := newWorker(t, func(o *runc.Options) {
		o.StateDir = dir
		o.StopTimeout = time.Millisecond
	})
	for _, end := range []func(runtime.Container) error{
		func(c runtime.Container) error { return c.Stop(t.Context(), 0) },
		func(c runtime.Container) error { return c.Destroy(t.Context()) },
	} {
		c := newContainer(t, w, runtime.ContainerSpec{Handle: "hangs"})
		task := run(t, c, "task", "exec sleep 100000")
		if err := syscall.Kill(supervisorOf(t, dir, "hangs"), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := end(c); err != nil {
			t.Fatal(err)
		}
		if status, err := task.Wait(t.Context()); err == nil && status.Signal == "" {
			t.Errorf("the task ended with %+v", status)
		}
		if err := c.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
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

// A server that is killed leaves a supervisor that does not listen yet. It is not to go
// on with a container that is made anew meanwhile.
func TestHalfMadeContainerWhoseSupervisorIsDeaf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	before := takeInventory(t, dir)
	w := newWorker(t, func(o *runc.Options) { o.StateDir = dir })
	half := filepath.Join(dir, "containers", "half")
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	deaf := exec.Command("sh", agent.ModeSupervise, half)
	deaf.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(deaf.Dir, agent.ModeSupervise), []byte("read line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdin, err := deaf.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := deaf.Start(); err != nil {
		t.Fatal(err)
	}
	c := newContainer(t, w, runtime.ContainerSpec{Handle: "half"})
	stdin.Close()
	if err := deaf.Wait(); deaf.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("the supervisor ended with %v and not by being told to", err)
	}
	if status := wait(t, run(t, c, "task", "exit 5")); status.Code != 5 {
		t.Errorf("exit status %+v, want code 5", status)
	}
	if err := c.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	before.compare(t)
}
