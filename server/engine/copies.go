package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"midge/runtime"
)

// copies knows which artifacts were sent to workers, so that those which nobody
// has wanted for some time can be removed there.
type copies struct {
	streamer *runtime.Streamer
	since    time.Time

	mu sync.Mutex
	// used has when an artifact was last wanted on a worker, by its handle.
	used map[string]time.Time
}

func newCopies() *copies {
	return &copies{streamer: runtime.NewStreamer(), since: time.Now(), used: make(map[string]time.Time)}
}

// use notes that an artifact is wanted on a worker.
func (c *copies) use(artifact string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[artifact] = time.Now()
}

// usedSince gives the artifacts that were wanted since then, and forgets the others.
func (c *copies) usedSince(then time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var handles []string
	for handle, at := range c.used {
		if at.Before(then) {
			delete(c.used, handle)
		} else {
			handles = append(handles, handle)
		}
	}
	return handles
}

// collectCopies removes copies of artifacts from the workers, but those that builds
// have, and those that were wanted lately: which the latter are an engine does not
// know when it is young.
func (e *Engine) collectCopies(ctx context.Context) error {
	then := time.Now().Add(-e.options.CollectGrace)
	if then.Before(e.copies.since) {
		return nil
	}
	used := e.copies.usedSince(then)
	e.mu.Lock()
	for _, b := range e.builds {
		used = append(used, b.artifacts.handles()...)
	}
	e.mu.Unlock()
	var errs []error
	for _, worker := range e.options.Workers.Workers() {
		if _, err := e.copies.streamer.Collect(ctx, worker, used); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
