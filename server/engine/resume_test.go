package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
	"midge/server/eventlog"
	"midge/server/state"
)

var errCrash = errors.New("crash")

// Plans whose events do not depend on time.
var steadyPlans = []struct{ name, plan string }{
	{"task", script("a", "echo one; echo two")},
	{"task that cannot start", `{"id":"a","task":{"name":"a","config":{"platform":"linux","run":{"path":"/no/such"}}}}`},
	{"no worker", ugly},
	{"container that cannot be made", `{"id":"a","task":{"name":"a","config":{"platform":"linux","rootfs_uri":"docker:///x","run":{"path":"true"}}}}`},
	{"missing input", `{"do":[` + good + `,{"id":"a","task":{"name":"a","config":{"platform":"linux","run":{"path":"x"},"inputs":[{"name":"none"}]}}}]}`},
	{"artifacts", `{"ensure":{"step":{"do":[{"in_parallel":{"steps":[{"artifact_input":{"name":"src","artifact_id":1}}]}},` +
		script("a", "cat src/f > out/g; echo made", `"inputs":[{"name":"src"}],"outputs":[{"name":"out"}]`) + `,` +
		script("b", "cat made/g; exit 4", `"inputs":[{"name":"made"}]`, `"caches":[{"path":"cache"}]`) +
		`]},"ensure":{"in_parallel":{"limit":1,"steps":[{"artifact_output":{"name":"made"}},{"id":"none","artifact_output":{"name":"none"}}]}}}}`},
	{"retry", `{"on_success":{"step":{"retry":[` + bad + `,` + ugly + `,` + good + `]},"on_success":` + script("a", "echo done") + `}}`},
	{"timeout", `{"on_failure":{"step":{"timeout":{"duration":"1h","step":` + bad + `}},"on_failure":` + good + `}}`},
}

// newWorker gives a worker that calls s.beforeOperation before each of its operations.
func (s *server) newWorker(name string) runtime.Worker {
	s.beforeOperation = func() {}
	worker := runtimetest.NewWorker(runtimetest.Config{
		Name: name,
		Fail: func(runtimetest.Operation, string) error {
			s.beforeOperation()
			return nil
		},
	})
	s.t.Cleanup(func() { destroyAll(s.t, worker) })
	return worker
}

// TestAnEngineGoesOnWhereOneHasEnded ends an engine at each of its writes, and
// checks that the next makes of the build what one alone would have.
func TestAnEngineGoesOnWhereOneHasEnded(t *testing.T) {
	for _, test := range steadyPlans {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.upload(testTeam, "f", "from outside\n")
			alone, writes := s.runCrashing(test.plan, 0)
			t.Logf("%d writes:\n%s", writes, alone)
			for nth := int64(1); nth <= writes; nth++ {
				if got, _ := s.runCrashing(test.plan, nth); got != alone {
					t.Fatalf("ended at write %d of %d the build is\n%s\nand alone\n%s", nth, writes, got, alone)
				}
			}
			s.endWhileWriting = true
			for nth := int64(1); nth <= writes; nth++ {
				if got, _ := s.runCrashing(test.plan, nth); got != alone {
					t.Fatalf("ended during write %d of %d the build is\n%s\nand alone\n%s", nth, writes, got, alone)
				}
			}
		})
	}
}

// runCrashing runs a plan, with an engine that ends in place of its nth write or
// operation on a worker, or during it, and one after it. It tells what became of the build, and how
// many of them the first engine came to.
func (s *server) runCrashing(plan string, nth int64) (story string, writes int64) {
	s.t.Helper()
	// A worker that has run the plan before has a copy of what is sent to it.
	s.options.Workers = newPool(s.t, s.newWorker("memory"))
	engine := New(s.options)
	crashed := make(chan struct{})
	var count atomic.Int64
	engine.beforeWrite = func() {
		if count.Add(1) != nth {
			return
		}
		end := func() {
			engine.end(errCrash)
			close(crashed)
		}
		if s.endWhileWriting {
			go end()
		} else {
			end()
		}
	}
	s.beforeOperation = engine.beforeWrite
	s.engine = engine
	if err := engine.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	id := s.create(plan).ID
	if nth > 0 {
		engine.mu.Lock()
		b := engine.builds[id]
		engine.mu.Unlock()
		if b != nil {
			select {
			case <-crashed:
			case <-b.gone: // output that came in fewer pieces takes fewer writes
			}
		}
		s.stop()
		s.beforeOperation = func() {}
		s.start()
	}
	build, events := s.finished(id)
	s.stop()
	return s.story(build, events), count.Load()
}

// story tells all of a finished build that does not depend on time.
func (s *server) story(build api.Build, events []eventlog.Event) string {
	s.t.Helper()
	var story strings.Builder
	fmt.Fprintf(&story, "%s\n%s", build.Status, tell(s.t, events))
	steps, err := s.options.State.Steps(s.t.Context(), build.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, step := range steps {
		fmt.Fprintf(&story, "\n%s is %s, exit %d, on %q: %s", step.PlanID, step.State, step.ExitStatus, step.Worker, step.Message)
	}
	artifacts, err := s.options.State.BuildArtifacts(s.t.Context(), build.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, artifact := range artifacts {
		fmt.Fprintf(&story, "\n%s %d bytes", artifact.Name, artifact.Bytes)
	}
	containers, err := s.options.State.Containers(s.t.Context(), state.ContainerFilter{BuildID: build.ID})
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, container := range containers {
		lines = append(lines, fmt.Sprintf("\ncontainer of %s %s, finished %v", container.PlanID, container.State, !container.FinishedAt.IsZero()))
	}
	slices.Sort(lines)
	return story.String() + strings.Join(lines, "")
}

func TestOutputIsCompleteWhateverEnds(t *testing.T) {
	const lines, restarts = 2000, 20
	s := newServer(t)
	s.start()
	count := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1)); echo "line $i é"; [ $((i%%3)) -ne 0 ] || echo "error $i é" >&2; done; exit 5`, lines)
	id := s.create(script("a", count)).ID
	random := rand.New(rand.NewPCG(1, 2))
	for range restarts {
		s.awaitLines(id, random.IntN(lines/restarts))
		s.stop()
		s.start()
	}
	build, events := s.finished(id)
	if build.Status != api.StatusFailed {
		t.Errorf("the build has %s", build.Status)
	}
	var stdout, stderr strings.Builder
	for i := 1; i <= lines; i++ {
		fmt.Fprintf(&stdout, "line %d é\n", i)
		if i%3 == 0 {
			fmt.Fprintf(&stderr, "error %d é\n", i)
		}
	}
	got := output(t, events)
	if got[api.SourceStdout] != stdout.String() {
		t.Errorf("stdout has %d bytes, want %d", len(got[api.SourceStdout]), stdout.Len())
	}
	if got[api.SourceStderr] != stderr.String() {
		t.Errorf("stderr has %d bytes, want %d", len(got[api.SourceStderr]), stderr.Len())
	}
	checkText(t, only(tell(t, events), "a exit", "status"), "status started\na exit 5\nstatus failed")
}

// output gives what was written to each stream.
func output(t *testing.T, events []eventlog.Event) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, event := range events {
		if e, ok := decode(t, event).(api.LogEvent); ok {
			all[e.Origin.Source] += string(e.Output())
		}
	}
	return all
}

// awaitLines waits until n more events were written, or the end.
func (s *server) awaitLines(id, n int) {
	s.t.Helper()
	log, err := s.options.Logs.Open(id)
	if err != nil {
		s.t.Fatal(err)
	}
	next := log.Next() + int64(n)
	log.Close()
	s.await(id, func(event eventlog.Event) bool { return event.ID >= next })
}

func TestAnAbortIsHonouredByTheNextEngine(t *testing.T) {
	tests := []struct {
		name, plan, ran string
	}{
		{"of a task that runs", forever("a"), "a"},
		{"with a hook", `{"ensure":{"step":{"do":[` + good + `,` + forever("a") + `,` + script("b", "true") + `]},"ensure":` + script("c", "true") + `}}`, "good a c"},
		{"in parallel", `{"do":[{"in_parallel":{"steps":[` + good + `]}},` + forever("a") + `]}`, "good a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.start()
			id := s.create(test.plan).ID
			s.awaitOutput(id, "a runs")
			s.stop()
			if interrupted, err := s.options.State.RequestAbort(t.Context(), id, anAbort()); err != nil || interrupted != state.StepsInterrupted {
				t.Fatal(interrupted, err)
			}
			s.start()
			build, events := s.finished(id)
			if build.Status != api.StatusAborted {
				t.Errorf("the build has %s", build.Status)
			}
			checkBegan(t, events, test.ran)
			checkText(t, only(tell(t, events), "error "), "a error interrupted")
			s.checkNothingRuns()
		})
	}
}

func (s *server) checkNothingRuns() {
	s.t.Helper()
	for _, worker := range s.options.Workers.Workers() {
		info, err := worker.Info(s.t.Context())
		if err != nil || info.ActiveTasks > 0 {
			s.t.Errorf("%d tasks run on %s: %v", info.ActiveTasks, worker.Name(), err)
		}
	}
}

func TestATimeoutGoesOnWhileNoEngineRuns(t *testing.T) {
	s := newServer(t)
	s.start()
	id := s.create(`{"id":"t","timeout":{"duration":"1h","step":` + forever("a") + `}}`).ID
	s.awaitOutput(id, "a runs")
	s.stop()
	steps, err := s.options.State.Steps(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if step.PlanID == "t" {
			step.StartedAt = step.StartedAt.Add(-time.Hour)
			if err := s.options.State.SaveStep(t.Context(), step); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.start()
	build, events := s.finished(id)
	if build.Status != api.StatusFailed {
		t.Errorf("the build has %s", build.Status)
	}
	checkText(t, only(tell(t, events), "error "), "a error timeout exceeded")
}

func TestAContainerThatIsLostMeanwhileIsAnError(t *testing.T) {
	worker := runtimetest.NewWorker(runtimetest.Config{})
	s := newServer(t, worker)
	s.start()
	id := s.create(forever("a")).ID
	s.awaitOutput(id, "a runs")
	s.stop()
	destroyAll(t, worker)
	s.start()
	build, events := s.finished(id)
	if build.Status != api.StatusErrored {
		t.Errorf("the build has %s", build.Status)
	}
	checkText(t, only(tell(t, events), "error "), "a error the worker memory has lost the container in which the task ran, and with it how the task ended: run it again")
	// Nobody is sent to look into what is not there.
	containers, err := s.options.State.Containers(t.Context(), state.ContainerFilter{BuildID: id})
	if err != nil || len(containers) > 0 {
		t.Errorf("there are the containers %+v (%v)", containers, err)
	}
}

func TestAWorkerThatIsGoneIsAnError(t *testing.T) {
	s := newServer(t)
	s.start()
	id := s.create(forever("a")).ID
	s.awaitOutput(id, "a runs")
	s.stop()
	s.options.Workers = newPool(t, runtimetest.NewWorker(runtimetest.Config{Name: "other"}))
	s.start()
	_, events := s.finished(id)
	checkText(t, only(tell(t, events), "error "), "a error the worker memory, on which the task was, is gone")
}

func TestABuildWhoseLogHasEndedIsFinished(t *testing.T) {
	for _, status := range []api.BuildStatus{api.StatusSucceeded, api.StatusFailed, api.StatusErrored, api.StatusAborted} {
		s := newServer(t)
		record, _, err := s.options.State.CreateBuild(t.Context(), state.NewBuild{Team: testTeam, Plan: parsePlan(t, good)})
		if err != nil {
			t.Fatal(err)
		}
		log, err := s.options.Logs.Open(record.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Finish(statusEvent(status, now()), func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		s.start()
		s.engine.work.Wait()
		if build, err := s.options.State.Build(t.Context(), record.ID); err != nil || build.Status != status {
			t.Errorf("the build has %s, want %s: %v", build.Status, status, err)
		}
	}
}

func TestAnEngineThatHasEndedTakesNoBuilds(t *testing.T) {
	s := newServer(t)
	s.start()
	engine := s.engine
	s.stop()
	if _, err := engine.Create(t.Context(), state.NewBuild{Team: testTeam, Plan: parsePlan(t, good)}); !errors.Is(err, ErrShutdown) {
		t.Errorf("got %v", err)
	}
}
