package engine

import (
	"fmt"
	"strings"
	"testing"

	"midge/api"
	"midge/server/eventlog"
)

// writing is a task that has written so many bytes, and waits.
func writing(id, bytes string) string {
	return script(id, fmt.Sprintf("head -c %s /dev/zero >out/file; echo %s runs; while true; do sleep 1000; done", bytes, id),
		`"outputs":[{"name":"out"}]`)
}

func TestRoomIsMadeByTheLargest(t *testing.T) {
	s := newServer(t)
	s.start()
	small := s.create(writing("a", "1000")).ID
	s.awaitOutput(small, "a runs")
	large := s.create(`{"id":"e","ensure":{"step":` + writing("b", "50000") + `,"ensure":` + script("c", "true") + `}}`).ID
	s.awaitOutput(large, "b runs")

	why := func(used uint64) string { return fmt.Sprintf("it has %d bytes of a full disk", used) }
	if stopped, err := s.engine.MakeRoom(t.Context(), why); err != nil || !stopped {
		t.Fatalf("a build was stopped: %t, %v", stopped, err)
	}
	build, events := s.finished(large)
	if build.Status != api.StatusErrored {
		t.Errorf("the build has %s", build.Status)
	}
	checkText(t, only(tell(t, events), "error "), "b error it has 50000 bytes of a full disk")
	checkBegan(t, events, "b")
	checkCause(t, events, api.CauseDisk, "it has 50000 bytes of a full disk")
	// Nobody waits for its containers to be collected, though it failed.
	s.checkGone(large, "its build was stopped because the disk was nearly full")
	s.checkContainers(small)

	if stopped, err := s.engine.MakeRoom(t.Context(), why); err != nil || !stopped {
		t.Fatalf("the other build was stopped: %t, %v", stopped, err)
	}
	if stopped, err := s.engine.MakeRoom(t.Context(), why); err != nil || stopped {
		t.Errorf("a build was stopped where there is none: %t, %v", stopped, err)
	}
}

func TestNoRoomIsMadeByWhoTakesNone(t *testing.T) {
	s := newServer(t)
	s.start()
	id := s.create(forever("a")).ID
	s.awaitOutput(id, "a runs")
	if stopped, err := s.engine.MakeRoom(t.Context(), func(uint64) string { return "" }); err != nil || stopped {
		t.Errorf("a build was stopped that takes no room: %t, %v", stopped, err)
	}
	s.abort(id)
	s.finished(id)
}

// checkCause checks why a build says that its step did not succeed.
func checkCause(t *testing.T, events []eventlog.Event, code, message string) {
	t.Helper()
	for _, event := range events {
		if cause, ok := decode(t, event).(api.CauseEvent); ok && cause.Code == code && strings.Contains(cause.Message, message) {
			return
		}
	}
	t.Errorf("there is no cause %s with %q", code, message)
}
