package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"midge/runtime"
	"midge/server/state"
)

// A roomError is why a build is stopped that takes too much of a disk that is nearly full.
type roomError struct{ message string }

func (e *roomError) Error() string { return e.message }

// isForRoom reports whether a build, or a step of it, was stopped for the room it takes.
func isForRoom(cause error) bool {
	var room *roomError
	return errors.As(cause, &room)
}

// weighTime bounds how long is counted what builds have on the disk: it is filled
// meanwhile, and who has most of it is known long before all is counted.
const weighTime = 3 * time.Second

// MakeRoom stops the build whose containers take the most of this machine's disk, and
// removes them. Why says the reason, which its log has, of a build that has so many
// bytes. It returns when that is done, or ctx ends, and false when no build has any.
func (e *Engine) MakeRoom(ctx context.Context, why func(used uint64) string) (bool, error) {
	e.mu.Lock()
	var builds []*build
	for _, b := range e.builds {
		builds = append(builds, b)
	}
	e.mu.Unlock()
	used := make([]uint64, len(builds))
	errs := make([]error, len(builds))
	weighing, cancel := context.WithTimeout(ctx, weighTime)
	defer cancel()
	var group sync.WaitGroup
	for i, b := range builds {
		group.Go(func() { used[i], errs[i] = b.diskUsed(weighing) })
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	largest := -1
	for i := range builds {
		if used[i] > 0 && (largest < 0 || used[i] > used[largest]) {
			largest = i
		}
	}
	if largest < 0 {
		return false, errors.Join(errs...)
	}
	b := builds[largest]
	b.logger.Warn("the build is stopped, as it has the most on a disk that is nearly full", "used", used[largest])
	b.abortAll(&roomError{why(used[largest])})
	select {
	case <-b.gone:
		return true, nil
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
}

// diskUsed is how many bytes of the machine's disk the build's containers take, as far
// as that was counted before ctx ended.
func (b *build) diskUsed(ctx context.Context) (used uint64, err error) {
	rows, err := b.engine.options.State.Containers(ctx, state.ContainerFilter{BuildID: b.record.ID})
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, row := range rows {
		bytes, err := b.engine.weigh(ctx, row)
		used += bytes
		if err != nil && ctx.Err() == nil {
			errs = append(errs, fmt.Errorf("weigh the container %s: %w", row.Handle, err))
		}
	}
	return used, errors.Join(errs...)
}

func (e *Engine) weigh(ctx context.Context, row state.Container) (uint64, error) {
	worker, ok := e.options.Workers.Worker(row.Worker)
	if !ok {
		return 0, nil
	}
	container, err := worker.LookupContainer(ctx, row.Handle)
	var missing *runtime.NotFoundError
	if errors.As(err, &missing) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	weighed, ok := container.(runtime.Weighed)
	if !ok {
		return 0, nil
	}
	return weighed.DiskUsed(ctx)
}

// giveRoom removes the containers of a build that was stopped for the room they take,
// whoever would have held them.
func (b *build) giveRoom() {
	if !isForRoom(context.Cause(b.force)) || b.engine.hard.Err() != nil {
		return
	}
	err := b.engine.release(b.writing, b.record.ID, "its build was stopped because the disk was nearly full")
	if err != nil && b.engine.hard.Err() == nil {
		b.logger.Error("the containers of a build that was stopped for room stay", "error", err)
	}
}

// release removes the containers of a build whose steps have ended, for a reason that
// who looks for them is told.
func (e *Engine) release(ctx context.Context, build int, reason string) error {
	rows, err := e.options.State.Containers(ctx, state.ContainerFilter{BuildID: build})
	if err != nil {
		return err
	}
	var errs []error
	for _, row := range rows {
		errs = append(errs, e.removeNow(ctx, row, reason))
	}
	return errors.Join(errs...)
}

// removeNow removes a container, held or not, and then its row.
func (e *Engine) removeNow(ctx context.Context, row state.Container, reason string) error {
	row.HeldUntil, row.HeldBy, row.Released, row.State = time.Time{}, "", reason, containerDestroying
	err := e.write(func() error {
		e.rows.Lock()
		defer e.rows.Unlock()
		return e.options.State.SaveContainer(ctx, row)
	})
	if err != nil {
		return err
	}
	if worker, ok := e.options.Workers.Worker(row.Worker); ok {
		if err := e.destroyOn(ctx, worker, row.Handle); err != nil {
			return err
		}
	}
	return e.write(func() error { return e.options.State.RemoveContainer(ctx, row.Handle, whyGone(row)) })
}
