package engine

import (
	"strings"
	"sync"
	"testing"
	"time"

	"midge/api"
	"midge/server/eventlog"
	"midge/server/state"
)

// hold holds a build and gives its containers.
func (s *server) hold(build int, duration time.Duration) []state.Container {
	s.t.Helper()
	containers, ok, err := s.engine.Hold(s.t.Context(), build, duration, "local:alice")
	if err != nil || !ok {
		s.t.Fatalf("hold build %d: %v, %v", build, ok, err)
	}
	return containers
}

// container gives the row of the only container of a build.
func (s *server) container(build int) state.Container {
	s.t.Helper()
	rows, err := s.options.State.Containers(s.t.Context(), state.ContainerFilter{BuildID: build})
	if err != nil || len(rows) != 1 {
		s.t.Fatalf("build %d has the containers %+v (%v), want one", build, rows, err)
	}
	return rows[0]
}

// heldFor tells whether a container is held for so long, give or take a few minutes.
func heldFor(container state.Container, duration time.Duration) bool {
	const slack = 10 * time.Minute
	held := time.Until(container.HeldUntil)
	return duration-slack < held && held <= duration
}

// checkGone checks why the containers of a build are gone.
func (s *server) checkGone(build int, reasons ...string) {
	s.t.Helper()
	gone, err := s.options.State.GoneContainers(s.t.Context(), testTeam, build)
	if err != nil || len(gone) != len(reasons) {
		s.t.Fatalf("of build %d the containers %+v are gone (%v), want %d", build, gone, err, len(reasons))
	}
	for i, reason := range reasons {
		if !strings.Contains(gone[i].Reason, reason) {
			s.t.Errorf("a container of build %d is gone because %q, want %q", build, gone[i].Reason, reason)
		}
	}
}

// holdEvents gives the events of holds in the log of a build that has finished.
func (s *server) holdEvents(build int) []api.HoldEvent {
	s.t.Helper()
	var holds []api.HoldEvent
	for _, event := range s.await(build, func(eventlog.Event) bool { return false }) {
		if event.Kind == api.EventHold {
			holds = append(holds, decode(s.t, event).(api.HoldEvent))
		}
	}
	return holds
}

func TestHoldAndReleaseAfterTheEnd(t *testing.T) {
	s := newServer(t)
	s.start()
	build, _ := s.run(good)
	if got := s.hold(build.ID, 2*time.Hour); len(got) != 1 || !heldFor(got[0], 2*time.Hour) || got[0].HeldBy != "local:alice" {
		t.Errorf("got %+v, want one container held for 2h", got)
	}
	// What is shorter changes nothing.
	if got := s.hold(build.ID, time.Hour); !heldFor(got[0], 2*time.Hour) {
		t.Errorf("a shorter hold made it %v", got[0].HeldUntil)
	}
	s.collect()
	s.checkContainers(build.ID)
	if got, ok, err := s.engine.Release(t.Context(), build.ID, "local:bob"); err != nil || !ok || len(got) != 1 || !got[0].HeldUntil.IsZero() {
		t.Errorf("got %+v, %v, %v", got, ok, err)
	}
	s.collect()
	s.checkContainers()
	s.checkGone(build.ID, "local:bob let it go")
	if _, ok, err := s.engine.Hold(t.Context(), build.ID, time.Hour, "local:alice"); ok || err != nil {
		t.Errorf("what is gone was held: %v, %v", ok, err)
	}
	holds := s.holdEvents(build.ID)
	if len(holds) != 3 || holds[0].By != "local:alice" || holds[0].Until == 0 || holds[2].By != "local:bob" || holds[2].Until != 0 {
		t.Errorf("the log has %+v", holds)
	}
	if _, _, err := s.engine.Hold(t.Context(), 99, time.Hour, "local:alice"); err == nil {
		t.Error("a build that is not there was held")
	}
}

// A hold before the end counts from the end, also of tasks that have not begun.
func TestHoldBeforeTheEnd(t *testing.T) {
	s := newServer(t)
	s.start()
	build := s.create(`{"do":[` + script("a", "echo a runs; until [ -e go ]; do sleep 0.01; done") + `,` + good + `]}`)
	s.awaitOutput(build.ID, "a runs")
	s.hold(build.ID, time.Hour)
	s.inContainer(build.ID, "a", "touch go")
	s.finished(build.ID)
	s.collect()
	s.checkContainers(build.ID, build.ID)
	rows, err := s.options.State.Containers(t.Context(), state.ContainerFilter{BuildID: build.ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if want := row.FinishedAt.Add(time.Hour); !row.HeldUntil.Equal(want) || row.HeldBy != "local:alice" {
			t.Errorf("%s is held until %v by %q, want %v by who asked", row.StepName, row.HeldUntil, row.HeldBy, want)
		}
	}
}

func TestHoldBeforeThereIsAContainer(t *testing.T) {
	s := newServer(t)
	s.options.MaxActiveBuilds = 1
	s.start()
	first := s.create(forever("a"))
	s.awaitOutput(first.ID, "a runs")
	waiting := s.create(good)
	if got := s.hold(waiting.ID, time.Hour); len(got) != 0 {
		t.Errorf("a build that waits has the containers %+v", got)
	}
	if _, err := s.engine.Abort(t.Context(), first.ID, anAbort()); err != nil {
		t.Fatal(err)
	}
	s.finished(waiting.ID)
	if got := s.container(waiting.ID); !heldFor(got, time.Hour) || got.HeldBy != "local:alice" {
		t.Errorf("got %+v, want it held", got)
	}
}

func TestHoldOfThePlan(t *testing.T) {
	s := newServer(t)
	s.options.HoldFailed = time.Hour
	s.start()
	for _, test := range []struct {
		hold string
		want time.Duration
	}{{"", time.Hour}, {"0", 0}, {"3h", 3 * time.Hour}} {
		build, _ := s.run(strings.Replace(bad, `"name":"one-off"`, `"name":"one-off","hold":"`+test.hold+`"`, 1))
		switch got := s.container(build.ID); {
		case test.want == 0 && !got.HeldUntil.IsZero(), test.want > 0 && !heldFor(got, test.want):
			t.Errorf("with hold %q it is held until %v, want for %v", test.hold, got.HeldUntil, test.want)
		}
	}
}

func TestHoldsOfATeamAreLimited(t *testing.T) {
	s := newServer(t)
	s.options.HoldFailed, s.options.MaxHeld = time.Hour, 2
	used := ""
	s.options.InUse = func(handle string) bool { return handle == used }
	s.start()
	first, _ := s.run(bad)
	used = s.container(first.ID).Handle
	second, _ := s.run(bad)
	third, _ := s.run(bad) // somebody is in the first
	s.collect()
	s.checkContainers(first.ID, third.ID)
	s.checkGone(second.ID, "the team main may hold 2 containers at once, and it was the oldest of them")
	if holds := s.holdEvents(second.ID); len(holds) != 1 || holds[0].By != "" || holds[0].Until != 0 || !strings.Contains(holds[0].Reason, "may hold 2") {
		t.Errorf("the log says of it %+v", holds)
	}
	used = ""
	fourth, _ := s.run(good)
	s.hold(fourth.ID, time.Hour)
	s.collect()
	s.checkContainers(third.ID, fourth.ID)
}

func TestUseKeepsAContainer(t *testing.T) {
	s := newServer(t)
	s.start()
	build, _ := s.run(good)
	handle := s.container(build.ID).Handle
	for _, duration := range []time.Duration{time.Hour, time.Minute} {
		if err := s.engine.Use(t.Context(), handle, time.Now().Add(duration), "local:alice"); err != nil {
			t.Fatal(err)
		}
		if got := s.container(build.ID); !heldFor(got, time.Hour) || got.HeldBy != "local:alice" {
			t.Errorf("got %+v, want it held for 1h", got)
		}
	}
	if err := s.engine.Use(t.Context(), "none", time.Now(), "local:alice"); err == nil {
		t.Error("a container that is not there was used")
	}
}

// What is asked for while a step ends is not lost to the end's own writing.
func TestHoldWhileAStepEnds(t *testing.T) {
	s := newServer(t)
	s.start()
	var asking sync.WaitGroup
	for range 20 {
		build := s.create(good)
		asking.Go(func() {
			if _, ok, err := s.engine.Hold(t.Context(), build.ID, time.Hour, "local:alice"); err != nil || !ok {
				t.Errorf("hold build %d: %v, %v", build.ID, ok, err)
			}
		})
		s.finished(build.ID)
		asking.Wait()
		if got := s.container(build.ID); !heldFor(got, time.Hour) || got.FinishedAt.IsZero() {
			t.Errorf("got %+v, want it finished, and held for 1h", got)
		}
	}
}
