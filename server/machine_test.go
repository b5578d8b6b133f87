package server

import (
	"errors"
	"strings"
	"testing"
	"time"

	"midge/trace"
	"midge/usage"
)

func TestClock(t *testing.T) {
	wall, since, synced := time.Unix(1000, 0), time.Duration(0), true
	c := &clock{
		now:     func() time.Time { return wall },
		elapsed: func() time.Duration { return since },
		synced:  func() (bool, bool) { return synced, true },
	}
	for _, step := range []struct {
		name    string
		passed  time.Duration
		set     time.Duration
		synced  bool
		finding string
	}{
		{"begins", 0, 0, true, ""},
		{"goes", 15 * time.Second, 0, true, ""},
		{"is corrected a little", 15 * time.Second, time.Second, false, ""},
		{"is set forward", 15 * time.Second, time.Hour, true, "set by 1h0m0s"},
		{"is set back", 15 * time.Second, -time.Hour, true, "set by -1h0m0s"},
		{"goes again", 15 * time.Second, 0, true, ""},
	} {
		wall, since, synced = wall.Add(step.passed+step.set), since+step.passed, step.synced
		values, err := c.look(t.Context())
		if step.finding == "" && err != nil || step.finding != "" && (err == nil || !strings.Contains(err.Error(), step.finding)) {
			t.Errorf("%s: got %v, want %q", step.name, err, step.finding)
		}
		if values["jump_seconds"] != step.set.Seconds() || (values["synchronized"] == 1) != step.synced {
			t.Errorf("%s: got %v", step.name, values)
		}
	}
}

func TestMachineStatus(t *testing.T) {
	values, err := machineStatus(t.Context(), usage.OpenSystem())
	if err != nil || values["available_memory_bytes"] <= 0 {
		t.Errorf("got %v, %v", values, err)
	}
	for name, value := range values {
		if strings.HasSuffix(name, "_pressure") && (value < 0 || value > 100) {
			t.Errorf("%s is %v %%", name, value)
		}
	}
}

func TestSpanStoreTellsOfDroppedSpansOnce(t *testing.T) {
	store, err := trace.OpenStore(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	spans := &spanStore{store: store, dropped: -3} // as if three had been dropped since
	var found *finding
	if values, err := spans.look(t.Context()); !errors.As(err, &found) || !strings.Contains(err.Error(), "3 spans") || values["dropped_spans"] != 0 {
		t.Errorf("got %v, %v; want that three were dropped", values, err)
	}
	if _, err := spans.look(t.Context()); err != nil {
		t.Errorf("it says so again: %v", err)
	}
}
