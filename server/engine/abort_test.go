package engine

import (
	"strings"
	"testing"

	"midge/api"
	"midge/server/state"
)

// forever is a task that runs until it is stopped.
func forever(id string) string { return script(id, "echo "+id+" runs; sleep 1000000") }

func TestAbort(t *testing.T) {
	next := func(id string) string { return script(id, "true") }
	tests := []struct {
		name, plan string
		status     api.BuildStatus
		ran        string
	}{
		{"do", `{"do":[` + forever("a") + `,` + next("b") + `]}`, "aborted", "a"},
		{"in_parallel", `{"in_parallel":{"limit":1,"steps":[` + forever("a") + `,` + next("b") + `]}}`, "aborted", "a"},
		{"in_parallel with fail_fast", `{"in_parallel":{"limit":1,"fail_fast":true,"steps":[` + forever("a") + `,` + next("b") + `]}}`, "aborted", "a"},
		{"ensure", `{"ensure":{"step":` + forever("a") + `,"ensure":` + next("b") + `}}`, "aborted", "a b"},
		{"ensure that fails", `{"ensure":{"step":` + forever("a") + `,"ensure":` + bad + `}}`, "aborted", "a bad"},
		{"on_abort", `{"on_abort":{"step":` + forever("a") + `,"on_abort":` + next("b") + `}}`, "aborted", "a b"},
		{"on_abort that errors", `{"on_abort":{"step":` + forever("a") + `,"on_abort":` + ugly + `}}`, "aborted", "a ugly"},
		{"on_failure", `{"on_failure":{"step":` + forever("a") + `,"on_failure":` + next("b") + `}}`, "aborted", "a"},
		{"on_error", `{"on_error":{"step":` + forever("a") + `,"on_error":` + next("b") + `}}`, "aborted", "a"},
		{"on_success", `{"on_success":{"step":` + forever("a") + `,"on_success":` + next("b") + `}}`, "aborted", "a"},
		{"try", `{"do":[{"try":{"step":` + forever("a") + `}},` + next("b") + `]}`, "aborted", "a"},
		{"retry", `{"retry":[` + forever("a") + `,` + next("b") + `]}`, "aborted", "a"},
		{"timeout", `{"timeout":{"duration":"1h","step":` + forever("a") + `}}`, "aborted", "a"},
	}
	s := newServer(t)
	s.start()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			build := s.create(test.plan)
			s.awaitOutput(build.ID, "a runs")
			s.abort(build.ID)
			build, events := s.finished(build.ID)
			if build.Status != test.status {
				t.Errorf("the build has %s, want %s", build.Status, test.status)
			}
			checkBegan(t, events, test.ran)
			checkText(t, only(tell(t, events), "a error"), "a error interrupted")
		})
	}
}

func TestAnAbortLeavesHooksTheirTimeAndTheSecondDoesNot(t *testing.T) {
	s := newServer(t)
	s.start()
	build := s.create(`{"ensure":{"step":` + forever("a") + `,"ensure":` + forever("b") + `}}`)
	s.awaitOutput(build.ID, "a runs")
	s.abort(build.ID)
	s.awaitOutput(build.ID, "b runs")
	s.abort(build.ID)
	build, events := s.finished(build.ID)
	if build.Status != api.StatusAborted {
		t.Errorf("the build has %s", build.Status)
	}
	checkText(t, only(tell(t, events), "error "), "a error interrupted\nb error interrupted")
}

func TestAnAbortThatComesInAHookInterruptsWhatFollows(t *testing.T) {
	s := newServer(t)
	s.start()
	hook := script("b", `echo b runs; while [ ! -f go ]; do sleep 0.01; done; echo b ends`)
	build := s.create(`{"do":[{"ensure":{"step":` + good + `,"ensure":` + hook + `}},` + script("c", "true") + `]}`)
	s.awaitOutput(build.ID, "b runs")
	s.abort(build.ID)
	s.inContainer(build.ID, "b", "echo > go")
	build, events := s.finished(build.ID)
	if build.Status != api.StatusAborted {
		t.Errorf("the build has %s", build.Status)
	}
	checkBegan(t, events, "good b")
	s.awaitOutput(build.ID, "b ends")
}

func TestWhatATaskWritesWhileItIsStoppedIsInItsLog(t *testing.T) {
	s := newServer(t)
	s.start()
	build := s.create(script("a", `trap 'echo stopping; exit 7' TERM; echo ready; while true; do sleep 0.01; done`))
	s.awaitOutput(build.ID, "ready")
	s.abort(build.ID)
	_, events := s.finished(build.ID)
	if told := tell(t, events); !strings.HasSuffix(told, "stopping\\n\"\na error interrupted\nstatus aborted") {
		t.Errorf("got\n%s", told)
	}
}

func TestASecondAbortKillsATaskThatDoesNotStop(t *testing.T) {
	s := newServer(t)
	s.start()
	build := s.create(script("a", `trap 'echo no' TERM; echo ready; while true; do sleep 0.01; done`))
	s.awaitOutput(build.ID, "ready")
	s.abort(build.ID)
	s.awaitOutput(build.ID, "no")
	s.abort(build.ID)
	if build, _ := s.finished(build.ID); build.Status != api.StatusAborted {
		t.Errorf("the build has %s", build.Status)
	}
}

func TestOutputsOfAnAbortedTaskAreKept(t *testing.T) {
	s := newServer(t)
	s.start()
	task := script("a", "echo partial > out/f; echo ready; sleep 1000000", `"outputs":[{"name":"out"}]`)
	build := s.create(`{"ensure":{"step":` + task + `,"ensure":{"artifact_output":{"name":"out"}}}}`)
	s.awaitOutput(build.ID, "ready")
	s.abort(build.ID)
	build, _ = s.finished(build.ID)
	if got := s.kept(build, "out", "f"); got != "partial\n" {
		t.Errorf("the output is %q", got)
	}
}

// Who lists builds finds one before the engine has begun to run it.
func TestAbortOfABuildThatIsJustBeingCreated(t *testing.T) {
	s := newServer(t)
	s.start()
	s.engine.creating.RLock()
	asked := state.NewBuild{Team: testTeam, Plan: parsePlan(t, forever("a")), CreatedBy: "tester"}
	record, _, err := s.options.State.CreateBuild(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	aborted := make(chan error, 1)
	go func() {
		_, err := s.engine.Abort(t.Context(), record.ID, anAbort())
		aborted <- err
	}()
	for noted := state.NotInterrupted; noted == state.NotInterrupted; {
		now, err := s.options.State.Build(t.Context(), record.ID)
		if err != nil {
			t.Fatal(err)
		}
		noted = now.Interrupted
	}
	s.engine.add(newBuild(s.engine, record), s.engine.turns.join())
	s.engine.creating.RUnlock()
	if err := <-aborted; err != nil {
		t.Fatal(err)
	}
	if build, _ := s.finished(record.ID); build.Status != api.StatusAborted {
		t.Errorf("the build has %s", build.Status)
	}
}

func TestAbortOfABuildThatIsFinishedOrNotThere(t *testing.T) {
	s := newServer(t)
	s.start()
	build, _ := s.run(good)
	if noted, err := s.engine.Abort(t.Context(), build.ID, anAbort()); noted || err != nil {
		t.Errorf("finished: %v, %v", noted, err)
	}
	if _, err := s.engine.Abort(t.Context(), 99, anAbort()); err == nil {
		t.Error("a build that is not there was aborted")
	}
}

// A client whose answer was lost sends the abort again, maybe to the next engine.
func TestAnAbortThatIsSentAgainLeavesHooksTheirTime(t *testing.T) {
	s := newServer(t)
	s.start()
	task := script("a", "echo partial > out/f; echo ready; sleep 1000000", `"outputs":[{"name":"out"}]`)
	hook := script("b", `echo b runs; while [ ! -f go ]; do sleep 0.01; done; echo b ends`)
	build := s.create(`{"ensure":{"step":` + task + `,"ensure":{"do":[` + hook + `,{"artifact_output":{"name":"out"}}]}}}`)
	s.awaitOutput(build.ID, "ready")
	abort := anAbort()
	send := func() {
		t.Helper()
		if noted, err := s.engine.Abort(t.Context(), build.ID, abort); err != nil || !noted {
			t.Fatal(noted, err)
		}
	}
	send()
	s.awaitOutput(build.ID, "b runs")
	send()
	s.stop()
	s.start()
	send()
	s.inContainer(build.ID, "b", "echo > go")
	build, events := s.finished(build.ID)
	if build.Status != api.StatusAborted {
		t.Errorf("the build has %s", build.Status)
	}
	checkText(t, only(tell(t, events), "error "), "a error interrupted")
	if got := s.kept(build, "out", "f"); got != "partial\n" {
		t.Errorf("the output is %q", got)
	}
}

func TestASecondAbortIsHonouredByTheNextEngine(t *testing.T) {
	s := newServer(t)
	s.start()
	id := s.create(`{"ensure":{"step":` + forever("a") + `,"ensure":` + forever("b") + `}}`).ID
	s.awaitOutput(id, "a runs")
	s.abort(id)
	s.awaitOutput(id, "b runs")
	s.stop()
	if interrupted, err := s.options.State.RequestAbort(t.Context(), id, anAbort()); err != nil || interrupted != state.AllInterrupted {
		t.Fatal(interrupted, err)
	}
	s.start()
	build, events := s.finished(id)
	if build.Status != api.StatusAborted {
		t.Errorf("the build has %s", build.Status)
	}
	checkText(t, only(tell(t, events), "error "), "a error interrupted\nb error interrupted")
	s.checkNothingRuns()
}
