package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
	"midge/server/eventlog"
	"midge/server/state"
)

// newWorkers makes the server's workers those of the configs.
func (s *server) newWorkers(configs ...runtimetest.Config) []*runtimetest.Worker {
	s.t.Helper()
	var workers []*runtimetest.Worker
	var pooled []runtime.Worker
	for _, config := range configs {
		worker := runtimetest.NewWorker(config)
		s.t.Cleanup(func() { destroyAll(s.t, worker) })
		workers, pooled = append(workers, worker), append(pooled, worker)
	}
	s.options.Workers = newPool(s.t, pooled...)
	return workers
}

// waitingEvents gives what a build's log says of waiting.
func waitingEvents(t *testing.T, events []eventlog.Event) []string {
	t.Helper()
	var said []string
	for _, event := range events {
		if event.Kind != api.EventWaiting {
			continue
		}
		var waiting api.WaitingEvent
		if err := json.Unmarshal(event.Data, &waiting); err != nil {
			t.Fatal(err)
		}
		said = append(said, fmt.Sprintf("%d before; %s", waiting.Ahead, waiting.Reason))
	}
	return said
}

// awaitNoWorker waits until a build's log has said for the nth time that no worker is free.
func (s *server) awaitNoWorker(id, nth int) {
	s.t.Helper()
	said := 0
	s.await(id, func(event eventlog.Event) bool {
		if event.Kind == api.EventWaiting {
			said++
		}
		return said == nth
	})
	if said < nth {
		s.t.Fatalf("the build has ended and has waited %d times, want %d", said, nth)
	}
}

func TestTasksWaitForAWorkerInTheirOrder(t *testing.T) {
	s := newServer(t)
	s.newWorkers(runtimetest.Config{MaxActiveTasks: 1})
	s.start()
	running := s.create(forever("a")).ID
	s.awaitOutput(running, "a runs")
	first := s.create(good).ID
	s.awaitNoWorker(first, 1)
	second := s.create(good).ID
	s.awaitNoWorker(second, 1)
	if _, err := s.engine.Abort(t.Context(), running, anAbort()); err != nil {
		t.Fatal(err)
	}
	const reason = "no worker is free: memory runs 1 of 1 tasks"
	_, events := s.finished(first)
	if got, want := waitingEvents(t, events), []string{"0 before; " + reason}; !slices.Equal(got, want) {
		t.Errorf("the first that waits says %q, want %q", got, want)
	}
	_, events = s.finished(second)
	if got, want := waitingEvents(t, events), "1 before; "+reason; len(got) == 0 || got[0] != want {
		t.Errorf("the second that waits says %q, want first %q", got, want)
	}
}

// A task that waits while the server starts anew does not get the place of one that runs.
func TestTasksThatRunKeepTheirWorker(t *testing.T) {
	s := newServer(t)
	s.newWorkers(runtimetest.Config{MaxActiveTasks: 1})
	s.start()
	running := s.create(forever("a")).ID
	s.awaitOutput(running, "a runs")
	waiting := s.create(good).ID
	for nth := 1; nth <= 5; nth++ {
		s.awaitNoWorker(waiting, nth)
		s.stop()
		s.start()
	}
	if _, err := s.engine.Abort(t.Context(), running, anAbort()); err != nil {
		t.Fatal(err)
	}
	if build, _ := s.finished(waiting); build.Status != api.StatusSucceeded {
		t.Errorf("the build that has waited has %s", build.Status)
	}
}

// Those who wait when the server starts anew keep their order, whatever order they come
// back in, and whoever has come since.
func TestWhoWaitsForAWorkerKeepsItsPlace(t *testing.T) {
	s := newServer(t)
	s.newWorkers(runtimetest.Config{MaxActiveTasks: 1})
	s.start()
	running := s.create(forever("a")).ID
	s.awaitOutput(running, "a runs")
	var waiting []int
	for range 8 {
		id := s.create(good).ID
		s.awaitNoWorker(id, 1)
		waiting = append(waiting, id)
	}
	s.stop()
	// While no server is there the worker becomes free.
	destroyAll(t, s.options.Workers.Workers()[0].(*runtimetest.Worker))
	s.start()
	last := s.create(good).ID
	s.finished(running)
	var started []int64
	for _, id := range append(waiting, last) {
		build, events := s.finished(id)
		if build.Status != api.StatusSucceeded {
			t.Errorf("build %d has %s", id, build.Status)
		}
		started = append(started, s.container(id).CreatedAt.UnixNano())
		if said := waitingEvents(t, events); id != last && !strings.Contains(said[0], "no worker is free: memory runs 1 of 1 tasks") {
			t.Errorf("build %d says %q", id, said)
		}
	}
	if !slices.IsSorted(started) {
		t.Errorf("they got the worker in the order %v", started)
	}
}

// Nobody waits for the place of a build that has ended without asking for it.
func TestAPlaceThatNobodyTakes(t *testing.T) {
	s := newServer(t)
	s.newWorkers(runtimetest.Config{MaxActiveTasks: 1})
	s.start()
	running := s.create(forever("a")).ID
	s.awaitOutput(running, "a runs")
	aborted := s.create(`{"id":"h","on_abort":{"step":` + script("b", "true") + `,"on_abort":` + script("c", "true") + `}}`).ID
	s.awaitNoWorker(aborted, 1)
	s.stop()
	for _, id := range []int{running, aborted} {
		if interrupted, err := s.options.State.RequestAbort(t.Context(), id, anAbort()); err != nil || interrupted != state.StepsInterrupted {
			t.Fatal(interrupted, err)
		}
	}
	s.start()
	s.finished(running)
	_, events := s.finished(aborted)
	checkText(t, only(tell(t, events), "c exit"), "c exit 0")
}

func TestNoWorkerFits(t *testing.T) {
	s := newServer(t)
	s.newWorkers(runtimetest.Config{Name: "one"}, runtimetest.Config{Name: "two", Tags: []string{"gpu"}})
	s.start()
	_, events := s.run(`{"id":"a","task":{"name":"one-off","tags":["big"],"config":{"platform":"linux","run":{"path":"true"}}}}`)
	checkText(t, only(tell(t, events), "error "),
		"a error no workers satisfying: platform 'linux', tag 'big'; there is one (platform 'linux'), two (platform 'linux', tag 'gpu'): ask for a platform and tags that one of these has")
}

// copiesOn counts the volumes of a worker that are copies.
func copiesOn(t *testing.T, worker runtime.Worker) int {
	t.Helper()
	volumes, err := worker.Volumes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, volume := range volumes {
		if strings.HasPrefix(volume.Handle, "copy-") {
			count++
		}
	}
	return count
}

func TestAnOutputIsSentToTheWorkerOfTheNextTask(t *testing.T) {
	s := newServer(t)
	var sent int
	workers := s.newWorkers(
		runtimetest.Config{Name: "one"},
		runtimetest.Config{Name: "two", Tags: []string{"other"}, Fail: func(operation runtimetest.Operation, _ string) error {
			if operation == runtimetest.StreamIn {
				sent++
			}
			return nil
		}})
	s.start()
	const reader = `{"id":%q,"task":{"name":"reader","tty":false,"tags":["other"],"config":{"platform":"linux","inputs":[{"name":"out"}],"run":{"path":"/bin/sh","args":["-ec","cat out/f"]}}}}`
	plan := `{"do":[` + script("a", "echo made > out/f", `"outputs":[{"name":"out"}]`) + `,` + fmt.Sprintf(reader, "b") + `,` + fmt.Sprintf(reader, "c") + `]}`
	build, events := s.run(plan)
	if got := output(t, events)[api.SourceStdout]; got != "made\nmade\n" {
		t.Errorf("the readers say %q: the build has %s\n%s", got, build.Status, tell(t, events))
	}
	if sent != 1 {
		t.Errorf("the output was sent %d times, want once", sent)
	}
	if n := copiesOn(t, workers[1]); n != 1 {
		t.Errorf("there are %d copies, want 1", n)
	}
	s.collect()
	if n := copiesOn(t, workers[1]); n != 0 {
		t.Errorf("there are %d copies when nobody wants one, want none", n)
	}
}

func TestCopiesThatAreWantedStay(t *testing.T) {
	s := newServer(t)
	worker := s.newWorkers(runtimetest.Config{})[0]
	s.upload(testTeam, "f", "from outside\n")
	s.start()
	checkCopies := func(when string, want int) {
		t.Helper()
		s.collect()
		if n := copiesOn(t, worker); n != want {
			t.Errorf("there are %d copies %s, want %d", n, when, want)
		}
	}
	id := s.create(`{"do":[{"id":"i","artifact_input":{"artifact_id":1,"name":"in"}},` +
		script("a", "cat in/f; sleep 1000000", `"inputs":[{"name":"in"}]`) + `]}`).ID
	s.awaitOutput(id, "from outside")
	s.engine.options.CollectGrace = time.Hour
	checkCopies("in an engine that is young", 1)
	s.engine.copies.since = time.Now().Add(-2 * time.Hour)
	checkCopies("when the artifact was wanted lately", 1)
	s.engine.options.CollectGrace = 0
	checkCopies("while a build has the artifact", 1)
	if _, err := s.engine.Abort(t.Context(), id, anAbort()); err != nil {
		t.Fatal(err)
	}
	s.finished(id)
	checkCopies("when nobody wants the artifact", 0)
}

func TestProgressOfAnImageIsInTheOutput(t *testing.T) {
	s := newServer(t)
	s.start()
	_, events := s.run(script("a", "echo ran", `"image_resource":{"type":"registry-image","source":{"repository":"tools"}}`))
	if got, want := output(t, events)[api.SourceStderr], "midge: fetching image tools\n"; got != want {
		t.Errorf("the output is %q, want %q", got, want)
	}
}

// keepingWorker notes what it is told to collect.
type keepingWorker struct {
	runtime.Worker
	collected []time.Duration
}

func (w *keepingWorker) Collect(_ context.Context, unused time.Duration) error {
	w.collected = append(w.collected, unused)
	return nil
}

func TestCollectHasWorkersCollect(t *testing.T) {
	worker := &keepingWorker{Worker: runtimetest.NewWorker(runtimetest.Config{})}
	s := newServer(t, worker)
	s.options.KeepUnused = time.Hour
	s.start()
	s.collect()
	if !slices.Equal(worker.collected, []time.Duration{time.Hour}) {
		t.Errorf("the worker was told to collect %v", worker.collected)
	}
}
