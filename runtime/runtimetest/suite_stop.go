package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"midge/runtime"
)

const stubborn = `trap '' TERM; echo ready; while :; do sleep 1000; done`

// stopTests stop a container that runs again after each.
var stopTests = []struct {
	name string
	test func(t *testing.T, container runtime.Container)
}{
	{"TerminatesAtFirst", func(t *testing.T, container runtime.Container) {
		process := start(t, container, script("polite", `trap 'echo terminated; exit 3' TERM; echo ready; while :; do sleep 1; done`))
		process.await(t, "ready")
		check(t, container.Stop(testContext(t), patience))
		done := process.wait(t)
		equal(t, "stdout", done.stdout, "ready\nterminated\n")
		equal(t, "the status", done.status.Code, 3)
	}},
	{"KillsAtLast", func(t *testing.T, container runtime.Container) {
		process := start(t, container, script("killed", stubborn))
		process.await(t, "ready")
		check(t, container.Stop(testContext(t), 100*time.Millisecond))
		equal(t, "the signal", process.wait(t).status.Signal, "KILL")
	}},
	{"WithoutGrace", func(t *testing.T, container runtime.Container) {
		process := start(t, container, script("at-once", stubborn))
		process.await(t, "ready")
		check(t, container.Stop(testContext(t), 0))
		equal(t, "the signal", process.wait(t).status.Signal, "KILL")
	}},
	{"EndsAll", func(t *testing.T, container runtime.Container) {
		var processes []*started
		for i := range 5 {
			// A shell that were just starting a command would end, and the command not.
			process := start(t, container, script(fmt.Sprintf("one-%d", i), "echo ready; exec sleep 1000000"))
			process.await(t, "ready")
			processes = append(processes, process)
		}
		check(t, container.Stop(testContext(t), patience))
		for _, process := range processes {
			equal(t, "the signal", process.wait(t).status.Signal, "TERM")
		}
		check(t, container.Stop(testContext(t), patience))
	}},
	{"EndsWithItsContext", func(t *testing.T, container runtime.Container) {
		process := start(t, container, script("given-up", stubborn))
		process.await(t, "ready")
		ctx, cancel := withShortTimeout(t)
		defer cancel()
		if err := container.Stop(ctx, 24*time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v, want %v", err, context.DeadlineExceeded)
		}
		check(t, container.Stop(testContext(t), 0))
		process.wait(t)
	}},
	{"KeepsFiles", func(t *testing.T, container runtime.Container) {
		runScript(t, container, "echo in > file; echo out > out/file; echo root > /tmp/root-file")
		check(t, container.Stop(testContext(t), 0))
		volume, err := container.Volume(testContext(t), "out")
		check(t, err)
		equal(t, "the output", listing(streamOut(t, volume, ".")), "file 0 644 \"out\\n\"\n")
		// It is started again.
		equal(t, "the files", runScript(t, container, "cat file out/file /tmp/root-file"), "in\nout\nroot\n")
	}},
	{"EndsBackgroundChildren", func(t *testing.T, container runtime.Container) {
		process := start(t, container, script("parent", `(trap '' TERM HUP; i=0; while :; do i=$((i+1)); echo $i > out/count; done) & echo ready; sleep 100000`))
		process.await(t, "ready")
		check(t, container.Stop(testContext(t), 100*time.Millisecond))
		process.wait(t)
		// Whoever still ran would go on counting: a shell with as much to do sees it.
		equal(t, "what changed", runScript(t, container,
			`before=$(cat out/count 2>/dev/null); i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; [ "$before" = "$(cat out/count 2>/dev/null)" ] || echo counting`), "")
	}},
	{"KeepsStatuses", func(t *testing.T, container runtime.Container) {
		run(t, container, script("before", "echo output; exit 3"))
		check(t, container.Stop(testContext(t), 0))
		process, err := container.Attach(testContext(t), "before")
		check(t, err)
		done := follow(t, process).wait(t)
		equal(t, "the status", done.status.Code, 3)
		equal(t, "stdout", done.stdout, "output\n")
		_, err = container.Run(testContext(t), script("before", "exit 0"))
		if err == nil {
			t.Error("an id that was used before the stop gave no error")
		}
	}},
}
