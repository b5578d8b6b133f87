package runc_test

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

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

// What a process used is told of itself and of those it has waited for, whatever else
// runs in the container.
func TestUsageOfAProcess(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{})
	const work = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
	used := func(id, script string) uint64 {
		t.Helper()
		p := run(t, c, id, script)
		wait(t, p)
		usage, err := p.Usage(t.Context())
		if err != nil || usage == nil || len(usage.Samples) != 1 {
			t.Fatalf("the usage is %+v, %v", usage, err)
		}
		sample := usage.Samples[0]
		if sample.MemoryStat == nil || sample.MemoryStat.Peak == nil || *sample.MemoryStat.Peak == 0 {
			t.Errorf("process %s had no memory: %+v", id, sample.MemoryStat)
		}
		return *sample.CPUStat.UsageNanos
	}
	idle, itself, child := used("idle", "exit 3"), used("itself", work), used("child", "("+work+"); exit 0")
	if itself < 2*idle || child < 2*idle {
		t.Errorf("cpu is %d ns, %d ns by the process itself, %d ns by its child", idle, itself, child)
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
