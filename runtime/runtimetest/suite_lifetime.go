package runtimetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"midge/runtime"
)

// backgroundContext gives a context for what runs when the test is over.
func backgroundContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// wantNothingOf requires that neither a container of that handle nor a volume of it is left.
func (s *suite) wantNothingOf(t *testing.T, handle string) {
	t.Helper()
	_, err := s.worker.LookupContainer(testContext(t), handle)
	wantNotFound(t, err, "LookupContainer")
	containers, err := s.worker.Containers(testContext(t))
	check(t, err)
	if slices.Contains(containers, handle) {
		t.Errorf("the list of containers has %s", handle)
	}
	volumes, err := s.worker.Volumes(testContext(t))
	check(t, err)
	for _, info := range volumes {
		if info.ContainerHandle == handle {
			t.Errorf("the volume %+v is left", info)
		}
	}
}

var lifetimeTests = map[string]func(*suite, *testing.T){
	"StaysWithoutProcesses": func(s *suite, t *testing.T) {
		container := s.common(t)
		runScript(t, container, "echo text > file")
		equal(t, "the file", runScript(t, container, "cat file"), "text\n")
	},
	"Stop": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Outputs = []runtime.Output{{Path: "out"}} })
		for _, test := range stopTests {
			t.Run(test.name, func(t *testing.T) { test.test(t, container) })
		}
	},
	"DestroyWhileRunning": func(s *suite, t *testing.T) {
		spec := s.spec()
		spec.Outputs = []runtime.Output{{Path: "out"}}
		container, err := s.worker.FindOrCreateContainer(testContext(t), spec)
		check(t, err)
		for i := range 3 {
			start(t, container, script(fmt.Sprintf("run-%d", i), stubborn)).await(t, "ready")
		}
		check(t, container.Destroy(testContext(t)))
		check(t, container.Destroy(testContext(t)))
		s.wantNothingOf(t, spec.Handle)
	},
	"DestroyDuringEverything": func(s *suite, t *testing.T) {
		for range 3 {
			s.destroyDuringEverything(t)
		}
	},
	"AfterDestroy": func(s *suite, t *testing.T) {
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Outputs = []runtime.Output{{Path: "out"}} })
		volume, err := container.Volume(testContext(t), "out")
		check(t, err)
		run(t, container, script("before", "exit 0"))
		check(t, container.Destroy(testContext(t)))
		_, err = container.Run(testContext(t), script("after", "exit 0"))
		wantNotFound(t, err, "Run")
		_, err = container.Attach(testContext(t), "before")
		wantNotFound(t, err, "Attach")
		_, err = container.Volume(testContext(t), "out")
		wantNotFound(t, err, "Volume")
		wantNoStream(t, volume, ".")
	},
	"HandleIsFreeAfterDestroy": func(s *suite, t *testing.T) {
		spec := s.spec()
		for i := range 2 {
			container, err := s.worker.FindOrCreateContainer(testContext(t), spec)
			check(t, err)
			equal(t, "what the round before left", runScript(t, container, "ls -A"), "")
			runScript(t, container, fmt.Sprintf("touch file-%d", i))
			check(t, container.Destroy(testContext(t)))
		}
	},
	"ManyAtOnce": func(s *suite, t *testing.T) {
		const containers = 10
		var all sync.WaitGroup
		for i := range containers {
			all.Go(func() {
				container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Outputs = []runtime.Output{{Path: "out"}} })
				text := fmt.Sprintf("echo %d > out/file; cat out/file; exit %d", i, i)
				done := run(t, container, script("one", text))
				equal(t, "stdout", done.stdout, fmt.Sprintf("%d\n", i))
				equal(t, "the status", done.status.Code, i)
			})
		}
		all.Wait()
	},
	"ManyProcessesAtOnce": func(s *suite, t *testing.T) {
		container := s.container(t, nil)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				done := run(t, container, script(fmt.Sprintf("one-%d", i), fmt.Sprintf("echo %d; exit %d", i, i)))
				equal(t, "stdout", done.stdout, fmt.Sprintf("%d\n", i))
				equal(t, "the status", done.status.Code, i)
			})
		}
		all.Wait()
		ids, err := container.Processes(testContext(t))
		check(t, err)
		equal(t, "the number of processes", len(ids), 20)
	},
}

// destroyDuringEverything destroys a container while everything is done to it.
// What is done may fail, but must come to an end.
func (s *suite) destroyDuringEverything(t *testing.T) {
	spec := s.spec()
	spec.Outputs = []runtime.Output{{Path: "out"}}
	spec.Caches = []runtime.Cache{{Key: spec.Handle, Path: "cache"}}
	s.clearLater(t, spec.Handle)
	container, err := s.worker.FindOrCreateContainer(testContext(t), spec)
	check(t, err)
	output, err := container.Volume(testContext(t), "out")
	check(t, err)
	flood := script("flood", "echo ready; exec yes")
	flood.Scrollback = 1 << 20
	flood.Stdin = true
	running := start(t, container, flood)
	running.await(t, "ready")
	ctx := testContext(t)
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			process, err := container.Run(ctx, script(fmt.Sprintf("one-%d", i), "echo text"))
			if err != nil {
				return
			}
			process.Wait(ctx)
		}
	})
	for _, do := range []func() error{
		func() error { _, err := container.Attach(ctx, "flood"); return err },
		func() error { _, err := container.Processes(ctx); return err },
		func() error {
			return output.StreamIn(ctx, ".", tarOf(t, tarFile("file", 0o644, strings.Repeat("x", 1<<16))))
		},
		func() error { return readWhole(ctx, output) },
		func() error { return container.KeepCaches(ctx) },
		func() error { _, err := running.Write(ctx, 0, make([]byte, 1<<20)); return err },
		func() error { _, err := s.worker.LookupContainer(ctx, spec.Handle); return err },
	} {
		all.Go(func() {
			for do() == nil {
			}
		})
	}
	all.Go(func() { running.Wait(ctx) })
	all.Go(func() {
		if err := container.Destroy(ctx); err != nil {
			t.Errorf("destroy: %v", err)
		}
	})
	all.Wait()
	check(t, container.Destroy(ctx))
	s.wantNothingOf(t, spec.Handle)
}
