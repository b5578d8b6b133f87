package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"midge/runtime"
	"midge/server/state"
)

// collectUntilEnd removes from time to time what is no longer needed.
func (e *Engine) collectUntilEnd() {
	if e.options.CollectEvery <= 0 {
		return
	}
	ticker := time.NewTicker(e.options.CollectEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-e.hard.Done():
			return
		}
		began := time.Now()
		collected, err := e.Collect(e.hard)
		if e.hard.Err() != nil {
			return
		}
		e.options.Collected(began, collected, err)
		if err != nil {
			e.options.Logger.Error("what is no longer needed cannot be removed", "error", err)
		}
	}
}

const (
	// destroyers is how many containers are destroyed at once. Each takes most of its time
	// waiting: one after the other, on a busy machine, they would be outrun by those that end.
	destroyers = 8
	// collectTime is after how long a run of Collect begins with no other container, so that
	// it is seen to go on: the next run does.
	collectTime = 20 * time.Second
)

// Collected is what a run of Collect has found and done.
type Collected struct {
	// Containers is how many have a row, those included that were removed.
	Containers int
	// Due is how many of them nobody needs any more, and Removed how many of these are gone.
	Due, Removed int
}

// Collect removes containers whose build has finished, after their grace, or at once where
// others wait for the room that they take, and unless somebody holds them; what is on
// workers that no container's row names; copies of artifacts that nobody has wanted there
// for as long as a container stays; and what else workers keep and nobody has used for
// KeepUnused.
// It goes on after an error and gives all of them.
func (e *Engine) Collect(ctx context.Context) (Collected, error) {
	rows, err := e.options.State.Containers(ctx, state.ContainerFilter{})
	if err != nil {
		return Collected{}, fmt.Errorf("list the containers of all builds: %w", err)
	}
	var errs []error
	var due []state.Container
	short, err := e.shortOfRoom(ctx)
	errs = append(errs, err)
	for _, row := range rows {
		isDue, err := e.due(ctx, row, short)
		if isDue {
			due = append(due, row)
		}
		errs = append(errs, err)
	}
	removed, err := e.destroyAll(ctx, due, short)
	errs = append(errs, err)
	for _, worker := range e.options.Workers.Workers() {
		errs = append(errs, e.collectWorker(ctx, worker))
		if collector, ok := worker.(runtime.Collector); ok {
			errs = append(errs, collector.Collect(ctx, e.options.KeepUnused))
		}
	}
	errs = append(errs, e.collectCopies(ctx))
	return Collected{Containers: len(rows), Due: len(due), Removed: removed}, errors.Join(errs...)
}

// roomless has the workers, by their names, on which containers wait for room.
type roomless map[string]bool

// shortOfRoom tells on which workers containers wait for room.
func (e *Engine) shortOfRoom(ctx context.Context) (roomless, error) {
	short := make(roomless)
	var errs []error
	for _, worker := range e.options.Workers.Workers() {
		crowded, ok := worker.(runtime.Crowded)
		if !ok {
			continue
		}
		waits, err := crowded.WaitsForRoom(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("ask the worker %s whether containers wait for room: %w", worker.Name(), err))
		}
		short[worker.Name()] = waits
	}
	return short, errors.Join(errs...)
}

// destroyAll destroys containers, some at once, and says how many are gone.
func (e *Engine) destroyAll(ctx context.Context, due []state.Container, short roomless) (removed int, err error) {
	began := time.Now()
	errs, gone := make([]error, len(due)), make([]bool, len(due))
	var group errgroup.Group
	group.SetLimit(destroyers)
	for i, row := range due {
		group.Go(func() error {
			if time.Since(began) < e.collectTime {
				gone[i], errs[i] = e.destroy(ctx, row, short)
			}
			return nil
		})
	}
	_ = group.Wait() // each error is in its place
	for _, one := range gone {
		if one {
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

// due reports whether nobody needs a container any more.
func (e *Engine) due(ctx context.Context, row state.Container, short roomless) (bool, error) {
	at, grace := time.Now(), e.options.CollectGrace
	if short[row.Worker] {
		grace = 0
	}
	if at.Before(row.FinishedAt.Add(grace)) || at.Before(row.HeldUntil) {
		return false, nil
	}
	builds, err := e.options.State.Builds(ctx, state.BuildFilter{From: row.BuildID, To: row.BuildID})
	if err != nil {
		return false, err
	}
	return len(builds) == 0 || builds[0].Status.Finished(), nil
}

// destroy removes a container and then its row, unless it is no longer due. The row is
// marked first, so that nobody goes into a container that is about to be gone.
func (e *Engine) destroy(ctx context.Context, row state.Container, short roomless) (gone bool, err error) {
	marked, err := e.markDestroying(ctx, row.Handle, short)
	if err != nil || !marked {
		return false, err
	}
	// When its worker comes back the container is one that no row names.
	if worker, ok := e.options.Workers.Worker(row.Worker); ok {
		if err := e.destroyOn(ctx, worker, row.Handle); err != nil {
			return false, err
		}
	}
	err = e.write(func() error { return e.options.State.RemoveContainer(ctx, row.Handle, whyGone(row)) })
	return err == nil, err
}

// markDestroying reports false for a container that is no longer due.
func (e *Engine) markDestroying(ctx context.Context, handle string, short roomless) (marked bool, err error) {
	err = e.write(func() error {
		e.rows.Lock()
		defer e.rows.Unlock()
		row, err := e.options.State.Container(ctx, handle)
		if err != nil {
			return err
		}
		if marked, err = e.due(ctx, row, short); err != nil || !marked {
			return err
		}
		row.State = containerDestroying
		return e.options.State.SaveContainer(ctx, row)
	})
	return marked, err
}

// collectWorker removes containers that no row names. They are listed before the
// rows are: a row is written before its container is made, and removed after it.
func (e *Engine) collectWorker(ctx context.Context, worker runtime.Worker) error {
	handles, err := worker.Containers(ctx)
	if err != nil {
		return fmt.Errorf("list the containers of the worker %s: %w", worker.Name(), err)
	}
	rows, err := e.options.State.Containers(ctx, state.ContainerFilter{Worker: worker.Name()})
	if err != nil {
		return err
	}
	named := make(map[string]bool, len(rows))
	for _, row := range rows {
		named[row.Handle] = true
	}
	var errs []error
	for _, handle := range handles {
		if !named[handle] {
			errs = append(errs, e.destroyOn(ctx, worker, handle))
		}
	}
	return errors.Join(errs...)
}

// destroyOn destroys a container. One that is gone is no error.
func (e *Engine) destroyOn(ctx context.Context, worker runtime.Worker, handle string) error {
	container, err := worker.LookupContainer(ctx, handle)
	var missing *runtime.NotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		err = e.operate(worker.Name(), DestroyContainer, func() error { return container.Destroy(ctx) })
	}
	if err != nil {
		return fmt.Errorf("destroy the container %s on the worker %s: %w", handle, worker.Name(), err)
	}
	return nil
}
