package server

import (
	"context"
	"errors"

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

// destroyContainers destroys all containers of workers.
func destroyContainers(ctx context.Context, workers []runtime.Worker) error {
	var errs []error
	for _, worker := range workers {
		handles, err := worker.Containers(ctx)
		errs = append(errs, err)
		for _, handle := range handles {
			container, err := worker.LookupContainer(ctx, handle)
			if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) {
				continue
			}
			if err == nil {
				err = container.Destroy(ctx)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
