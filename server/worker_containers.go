package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"midge/runtime"
	"midge/server/state"
)

// container gives the container of a row, or a *runtime.NotFoundError.
func (s *Server) container(ctx context.Context, row state.Container) (runtime.Container, error) {
	worker, ok := s.pool.Worker(row.Worker)
	if !ok {
		return nil, &runtime.NotFoundError{Kind: "container", Name: row.Handle}
	}
	return worker.LookupContainer(ctx, row.Handle)
}

// destroyContainers destroys all containers of the workers, and what a crash has left of
// others. The error says which are left.
func (s *Server) destroyContainers(ctx context.Context) error {
	var errs []error
	for _, worker := range s.workers {
		left, err := s.destroyAll(ctx, worker)
		if left == nil && err != nil {
			// The worker does not say what it has.
			left = s.knownContainers(worker.Name())
		}
		if err != nil {
			errs = append(errs, leftError(worker.Name(), left, err))
		}
	}
	_, err := s.collectLeftovers(ctx)
	return errors.Join(append(errs, err)...)
}

// destroyAll destroys all containers of a worker, and gives those that are left.
func (s *Server) destroyAll(ctx context.Context, worker runtime.Worker) (left []string, err error) {
	handles, err := worker.Containers(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, handle := range handles {
		container, err := worker.LookupContainer(ctx, handle)
		if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) {
			continue
		}
		if err == nil {
			err = container.Destroy(ctx)
		}
		if err == nil {
			err = s.forgetDestroyed(ctx, handle)
		}
		if err != nil {
			left, errs = append(left, handle), append(errs, err)
		}
	}
	return left, errors.Join(errs...)
}

// forgetDestroyed removes the row of a container that was destroyed, unless its build goes on:
// then the next server ends that, and says why.
func (s *Server) forgetDestroyed(ctx context.Context, handle string) error {
	row, err := s.database.Container(ctx, handle)
	missing := (*state.NotFoundError)(nil)
	switch {
	case errors.As(err, &missing), err == nil && row.FinishedAt.IsZero():
		return nil
	case err != nil:
		return err
	}
	return s.database.RemoveContainer(ctx, handle, "the server was stopped, and was to destroy all containers then")
}

// knownContainers lists the containers that a worker had when it last said so.
func (s *Server) knownContainers(worker string) []string {
	// The server ends, whether it was given time or not.
	rows, err := s.database.Containers(context.Background(), state.ContainerFilter{Worker: worker})
	if err != nil {
		return nil
	}
	handles := make([]string, len(rows))
	for i, row := range rows {
		handles[i] = row.Handle
	}
	return handles
}

// leftError says which containers of a worker could not be destroyed, and why.
func leftError(worker string, left []string, err error) error {
	if len(left) == 0 {
		return fmt.Errorf("the containers of worker %q cannot be destroyed: %w", worker, err)
	}
	return fmt.Errorf("the containers of worker %q cannot be destroyed, and are left for you to remove: %s: %w", worker, strings.Join(left, ", "), err)
}
