package engine

import (
	"slices"
	"testing"

	"midge/api"
	"midge/server/eventlog"
)

func TestBuildsTakeTheirTurn(t *testing.T) {
	s := newServer(t)
	s.options.MaxActiveBuilds = 2
	s.start()
	var builds []api.Build
	for range 5 {
		builds = append(builds, s.create(forever("a")))
	}
	var statuses []api.BuildStatus
	for _, build := range builds {
		statuses = append(statuses, build.Status)
	}
	if want := []api.BuildStatus{"started", "started", "pending", "pending", "pending"}; !slices.Equal(statuses, want) {
		t.Fatalf("the builds have %v", statuses)
	}
	s.abort(builds[3].ID) // one that waits
	if build, events := s.finished(builds[3].ID); build.Status != api.StatusAborted || build.StartTime != 0 {
		t.Errorf("it has %s, started at %d: %s", build.Status, build.StartTime, tell(t, events))
	}
	s.awaitWaiting(builds[4].ID, 1)
	s.abort(builds[0].ID)
	s.awaitOutput(builds[2].ID, "a runs")
	s.awaitWaiting(builds[4].ID, 0)
	s.abort(builds[2].ID)
	s.awaitOutput(builds[4].ID, "a runs")
	s.abort(builds[4].ID)
	_, events := s.finished(builds[4].ID)
	checkText(t, only(tell(t, events), "waiting", "status"), "waiting 2\nwaiting 1\nwaiting 0\nstatus started\nstatus aborted")
	if _, events := s.finished(builds[0].ID); only(tell(t, events), "waiting") != "" {
		t.Error("a build that had its turn at once says that it waits")
	}
}

func (s *server) awaitWaiting(id, ahead int) {
	s.t.Helper()
	s.await(id, func(event eventlog.Event) bool {
		waiting, ok := decode(s.t, event).(api.WaitingEvent)
		return ok && waiting.Ahead == ahead
	})
}

func TestBuildsKeepTheirTurnAndPlaceOverARestart(t *testing.T) {
	s := newServer(t)
	s.options.MaxActiveBuilds = 2
	s.start()
	var builds []api.Build
	for range 4 {
		builds = append(builds, s.create(forever("a")))
	}
	s.awaitOutput(builds[0].ID, "a runs")
	s.awaitOutput(builds[1].ID, "a runs")
	s.stop()
	s.options.MaxActiveBuilds = 1
	s.start()
	s.abort(builds[0].ID)
	s.finished(builds[0].ID)
	s.abort(builds[1].ID)
	s.awaitOutput(builds[2].ID, "a runs")
	s.awaitWaiting(builds[3].ID, 0)
	s.abort(builds[2].ID)
	s.awaitOutput(builds[3].ID, "a runs")
}

func TestTurns(t *testing.T) {
	turns := turns{limit: 1}
	first, second, third := turns.join(), turns.join(), turns.join()
	check := func(turn *turn, come bool, ahead int) (moved <-chan struct{}) {
		t.Helper()
		gotCome, gotAhead, moved := turn.ahead()
		if gotCome != come || gotAhead != ahead {
			t.Errorf("come %v, %d ahead; want %v, %d", gotCome, gotAhead, come, ahead)
		}
		return moved
	}
	check(first, true, 0)
	check(second, false, 0)
	moved := check(third, false, 1)
	second.leave()
	<-moved
	check(third, false, 0)
	first.leave()
	check(third, true, 0)
	extra := turns.take()
	third.leave()
	fourth := turns.join()
	check(fourth, false, 0)
	extra.leave()
	check(fourth, true, 0)
}

func TestPause(t *testing.T) {
	s := newServer(t)
	s.options.MaxActiveBuilds = 2
	s.start()
	running := s.create(forever("a"))
	s.awaitOutput(running.ID, "a runs")
	s.engine.Pause("there is no room")
	waiting := s.create(good)
	if waiting.Status != api.StatusPending {
		t.Errorf("a build is %s while the engine pauses", waiting.Status)
	}
	s.awaitWaiting(waiting.ID, 0)
	s.engine.Pause("there is still no room")
	s.await(waiting.ID, func(event eventlog.Event) bool {
		said, ok := decode(s.t, event).(api.WaitingEvent)
		return ok && said.Reason == "there is still no room"
	})
	if active, queued := s.engine.Load(); active != 1 || queued != 1 {
		t.Errorf("%d builds are active and %d wait, want 1 and 1", active, queued)
	}
	s.abort(running.ID)
	s.finished(running.ID)
	s.engine.Pause("")
	build, events := s.finished(waiting.ID)
	if build.Status != api.StatusSucceeded {
		t.Errorf("the build that waited has %s", build.Status)
	}
	var reasons []string
	for _, event := range events {
		if said, ok := decode(t, event).(api.WaitingEvent); ok {
			reasons = append(reasons, said.Reason)
		}
	}
	if want := []string{"there is no room", "there is still no room"}; !slices.Equal(reasons, want) {
		t.Errorf("it says that it waits because %q, want %q", reasons, want)
	}
}
