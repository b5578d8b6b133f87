package server

import (
	"context"
	"fmt"
	"time"
)

// The disk is looked at again before it can have been filled down to the floor by who
// writes fillRate bytes a second, but no sooner than soonGlance and no later than
// lateGlance. A look costs next to nothing.
const (
	fillRate   = 1 << 30
	soonGlance = 50 * time.Millisecond
	lateGlance = 5 * time.Second
)

const megabyte = 1 << 20 // as in settings

// stopFloor is with how much free space, in bytes, builds are stopped.
func (c Config) stopFloor() float64 { return float64(min(c.StopFreeSpace, c.MinFreeSpace)) }

// keepRoom stops builds, one after the other, while the disk is so full that it soon
// would be for all, until ctx ends.
func (s *Server) keepRoom(ctx context.Context) {
	floor := s.config.stopFloor()
	if floor == 0 {
		return
	}
	for {
		pause := lateGlance
		free, _, err := space(s.dir.path)
		switch {
		case err != nil:
			s.log.Error("the disk cannot be looked at", "error", err)
		case free < floor:
			pause = s.makeRoom(ctx, free, floor)
		default:
			pause = glance(free - floor)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// glance is when to look again at a disk that has so many bytes to go to the floor.
func glance(room float64) time.Duration {
	return time.Duration(min(max(room/fillRate*float64(time.Second), float64(soonGlance)), float64(lateGlance)))
}

// makeRoom stops the build that takes the most, and gives when to look again.
func (s *Server) makeRoom(ctx context.Context, free, floor float64) time.Duration {
	stopped, err := s.engine.MakeRoom(ctx, func(used uint64) string {
		return fmt.Sprintf("the build was stopped because the server's disk is nearly full: %.0f MB were free, less than stop-free-space (%.0f MB), and its containers had the most, %.0f MB, which are removed; have it write less, or give the data dir a larger disk", free/megabyte, floor/megabyte, float64(used)/megabyte)
	})
	if err != nil && ctx.Err() == nil {
		s.log.Error("no room could be made on a disk that is nearly full", "free", free, "error", err)
	}
	if stopped {
		return soonGlance
	}
	return lateGlance
}
