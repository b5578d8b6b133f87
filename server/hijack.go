package server

import (
	"context"
	"errors"
	"net/http"

	"midge/hijack"
	"midge/runtime"
	"midge/server/state"
)

// hijackContainer serves a session in the container of the path.
func (s *Server) hijackContainer(w http.ResponseWriter, r *http.Request) {
	row, container, ok := s.containerToEnter(w, r)
	if !ok {
		return
	}
	task, err := s.taskPlan(r.Context(), row)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	place := hijack.Place{
		Container: container,
		TeamName:  row.Team,
		BuildID:   row.BuildID,
		PlanID:    row.PlanID,
		StepName:  row.StepName,
		User:      requester(r).user(),
		From:      r.RemoteAddr,
	}
	if task != nil {
		place.Privileged, place.TaskDir = task.Privileged, task.Config.Run.Dir
	}
	s.sessions.Serve(w, r, place)
}

// inUse tells whether somebody is in a container.
func (s *Server) inUse(handle string) bool {
	for _, session := range s.sessions.List() {
		if session.Container == handle && session.Clients > 0 {
			return true
		}
	}
	return false
}

// findContainer gives the container of a handle, or a *runtime.NotFoundError.
func (s *Server) findContainer(ctx context.Context, handle string) (runtime.Container, error) {
	row, err := s.database.Container(ctx, handle)
	if missing := (*state.NotFoundError)(nil); errors.As(err, &missing) {
		return nil, &runtime.NotFoundError{Kind: "container", Name: handle}
	}
	if err != nil {
		return nil, err
	}
	return s.container(ctx, row)
}
