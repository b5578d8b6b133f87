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
	s.parts.expect(partDiskRoom, lateGlance)
	stopped := 0
	for {
		began, pause := s.parts.now(), lateGlance
		space, err := spaceOf(s.dir.path)
		free := space.free
		switch {
		case err != nil:
		case free >= floor:
			pause = glance(free - floor)
		default:
			var made bool
			if made, err = s.makeRoom(ctx, free, floor); made {
				stopped, pause = stopped+1, soonGlance
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.log.Error("the disk's room is not looked after", "free", free, "error", err)
		}
		s.parts.report(partDiskRoom, began, partValues{"stopped_builds": float64(stopped), "stop_free_bytes": floor}, err)
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

// makeRoom stops the build that takes the most, and says whether there was one.
func (s *Server) makeRoom(ctx context.Context, free, floor float64) (bool, error) {
	stopped, err := s.engine.MakeRoom(ctx, func(used uint64) string { return whyStopped(free, floor, used) })
	if err != nil {
		err = fmt.Errorf("make room on a disk that is nearly full: %w", err)
	}
	return stopped, err
}

// whyStopped is what a build is told that was stopped because it takes the most.
func whyStopped(free, floor float64, used uint64) string {
	return fmt.Sprintf("the build was stopped because the server's disk is nearly full: %.0f MB were free, less than stop-free-space (%.0f MB), and its containers had the most, %.0f MB, which are removed; have it write less, or give the data dir a larger disk", free/megabyte, floor/megabyte, float64(used)/megabyte)
}
