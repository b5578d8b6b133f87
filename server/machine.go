package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"midge/api"
	"midge/trace"
	"midge/usage"
)

// clockJump is how much the clock may be set between two looks without anybody
// being told. Times of builds and the expiry of tokens go by it.
const clockJump = 5 * time.Second

// clock notices when the machine's clock is set.
type clock struct {
	now     func() time.Time           // of the wall
	elapsed func() time.Duration       // of what cannot be set
	synced  func() (synced, told bool) // whether the kernel's clock follows another

	wall  time.Time
	since time.Duration
}

func newClock() *clock {
	start := time.Now()
	return &clock{
		now:     func() time.Time { return time.Now().Round(0) },
		elapsed: func() time.Duration { return time.Since(start) },
		synced:  clockSynced,
	}
}

// clockSynced asks the kernel whether something keeps its clock right.
func clockSynced() (synced, told bool) {
	var state unix.Timex
	status, err := unix.Adjtimex(&state)
	return status != unix.TIME_ERROR, err == nil
}

// look reports a clock that was set since the last look. That nothing keeps it right
// is a number and no finding: on many virtual machines the host does.
func (c *clock) look(context.Context) (partValues, error) {
	wall, since := c.now(), c.elapsed()
	jump := time.Duration(0)
	if !c.wall.IsZero() {
		jump = wall.Sub(c.wall) - (since - c.since)
	}
	c.wall, c.since = wall, since
	values := partValues{"jump_seconds": jump.Seconds()}
	if synced, told := c.synced(); told {
		values["synchronized"] = 0
		if synced {
			values["synchronized"] = 1
		}
	}
	if jump.Abs() > clockJump {
		return values, &finding{api.VerdictWarning, fmt.Sprintf("the clock was set by %v: times of builds around it are wrong", jump.Round(time.Second))}
	}
	return values, nil
}

// spanStore notices when spans are dropped.
type spanStore struct {
	store *trace.Store

	mu      sync.Mutex
	dropped int64
}

func (s *spanStore) look(context.Context) (partValues, error) {
	status := s.store.Status()
	s.mu.Lock()
	defer s.mu.Unlock()
	more := status.Dropped - s.dropped
	s.dropped = status.Dropped
	values := partValues{"pending_spans": float64(status.Pending), "dropped_spans": float64(status.Dropped), "request_spans": float64(status.Ring)}
	if more > 0 {
		return values, &finding{api.VerdictWarning, fmt.Sprintf("%d spans were dropped: the traces of these builds have gaps", more)}
	}
	return values, nil
}

// machineStatus tells how much of the last ten seconds was lost waiting for the
// machine, in percent, where the kernel knows.
func machineStatus(ctx context.Context, system *usage.System) (partValues, error) {
	sample, err := system.Recent(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the machine: %w", err)
	}
	values := partValues{}
	for name, pressure := range map[string]*api.Pressure{
		"cpu_pressure": sample.CPUPressure, "memory_pressure": sample.MemoryPressure, "io_pressure": sample.IOPressure,
	} {
		if pressure != nil && pressure.Some != nil && pressure.Some.Avg10 != nil {
			values[name] = *pressure.Some.Avg10
		}
	}
	if memory := sample.MemoryStat; memory != nil && memory.Available != nil {
		values["available_memory_bytes"] = float64(*memory.Available)
	}
	return values, nil
}
