package runtimetest

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"midge/runtime"
)

// reopen gives what a server that was started anew has in place of a worker.
func (s *suite) reopen(t *testing.T, worker runtime.Worker) runtime.Worker {
	if s.options.Reopen == nil {
		return worker
	}
	return s.options.Reopen(t, worker)
}

// own gives a suite with a worker of its own.
func (s *suite) own(t *testing.T) *suite {
	return &suite{worker: s.newWorker(t), newWorker: s.newWorker, options: s.options, lastHandle: new(atomic.Int64)}
}

var restartTests = map[string]func(*suite, *testing.T){
	"RunningProcess": func(s *suite, t *testing.T) {
		s = s.own(t)
		container := s.container(t, func(spec *runtime.ContainerSpec) { spec.Outputs = []runtime.Output{{Path: "out"}} })
		spec := script("running", `i=0; while read -r line; do i=$((i+1)); echo "$i $line"; done; echo kept > out/file; exit 3`)
		spec.Stdin = true
		process, err := container.Run(testContext(t), spec)
		check(t, err)
		before := follow(t, process)
		before.write(t, 0, "one\n")
		before.await(t, "1 one\n")
		for i, word := range []string{"two", "six", "ten"} {
			worker := s.reopen(t, s.worker)
			s.worker = worker
			found, err := worker.LookupContainer(testContext(t), container.Handle())
			check(t, err)
			destroyLater(t, found)
			process, err = found.Attach(testContext(t), "running")
			check(t, err)
			after := follow(t, process)
			// What was written before, again, and more.
			_, err = after.Write(testContext(t), 0, []byte("one\n"))
			check(t, err)
			after.write(t, int64(4*(i+1)), word+"\n")
			after.await(t, word)
			container = found
		}
		after := follow(t, process)
		after.closeStdin(t)
		done := after.wait(t)
		equal(t, "stdout", done.stdout, "1 one\n2 two\n3 six\n4 ten\n")
		equal(t, "the status", done.status.Code, 3)
		volume, err := container.Volume(testContext(t), "out")
		check(t, err)
		equal(t, "the output", listing(streamOut(t, volume, ".")), "file 0 644 \"kept\\n\"\n")
	},
	"EndedProcess": func(s *suite, t *testing.T) {
		s = s.own(t)
		container := s.container(t, nil)
		run(t, container, script("ended", "echo text; echo more >&2; exit 4"))
		check(t, container.Stop(testContext(t), 0))
		worker := s.reopen(t, s.worker)
		found, err := worker.LookupContainer(testContext(t), container.Handle())
		check(t, err)
		destroyLater(t, found)
		ids, err := found.Processes(testContext(t))
		check(t, err)
		equal(t, "the processes", strings.Join(ids, " "), "ended")
		process, err := found.Attach(testContext(t), "ended")
		check(t, err)
		done := follow(t, process).wait(t)
		equal(t, "stdout", done.stdout, "text\n")
		equal(t, "stderr", done.stderr, "more\n")
		equal(t, "the status", done.status.Code, 4)
		equal(t, "a new process's output", runScript(t, found, "echo new"), "new\n")
	},
	"Terminal": func(s *suite, t *testing.T) {
		s = s.own(t)
		container := s.container(t, nil)
		process := start(t, container, onTerminal("terminal", "stty -echo; echo ready; read line; echo got $line; stty size", 80, 24))
		process.await(t, "ready")
		worker := s.reopen(t, s.worker)
		found, err := worker.LookupContainer(testContext(t), container.Handle())
		check(t, err)
		destroyLater(t, found)
		again, err := found.Attach(testContext(t), "terminal")
		check(t, err)
		check(t, again.Resize(testContext(t), runtime.WindowSize{Columns: 100, Rows: 50}))
		after := follow(t, again)
		after.write(t, 0, "text\n")
		equal(t, "stdout", after.wait(t).stdout, "ready\r\ngot text\r\n50 100\r\n")
	},
	"VolumesAndCaches": func(s *suite, t *testing.T) {
		s = s.own(t)
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("file", 0o644, "volume"))))
		container := s.container(t, cached("key"))
		runScript(t, container, "echo cache > cache/file")
		check(t, container.KeepCaches(testContext(t)))
		s.worker = s.reopen(t, s.worker)
		s.clearLater(t, "key")
		found, err := s.worker.LookupVolume(testContext(t), volume.Handle())
		check(t, err)
		destroyLater(t, found)
		equal(t, "the volume", listing(streamOut(t, found, ".")), "file 0 644 \"volume\"\n")
		again, err := s.worker.LookupContainer(testContext(t), container.Handle())
		check(t, err)
		destroyLater(t, again)
		handles, err := s.worker.Containers(testContext(t))
		check(t, err)
		equal(t, "whether the list has the container", slices.Contains(handles, container.Handle()), true)
		equal(t, "the cache", runScript(t, s.container(t, cached("key")), "cat cache/file"), "cache\n")
	},
}
