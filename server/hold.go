package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"midge/api"
	"midge/server/eventlog"
	"midge/server/state"
)

// maxHold is the longest time that a container is held at once.
const maxHold = 7 * 24 * time.Hour

// holdBuild keeps the containers of a build for the time in the query.
func (s *Server) holdBuild(w http.ResponseWriter, r *http.Request) {
	duration, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil || duration <= 0 || duration > maxHold {
		fail(w, http.StatusBadRequest, "the parameter for is %q and should be a time up to %s, like 2h", r.URL.Query().Get("for"), maxHold)
		return
	}
	until := time.Now().Add(duration)
	s.changeHold(w, r, until, func(ctx context.Context, container state.Container) error {
		return s.database.HoldContainer(ctx, container.Handle, until, requester(r).user())
	})
}

// releaseBuild lets the containers of a build go, when their grace is over too.
func (s *Server) releaseBuild(w http.ResponseWriter, r *http.Request) {
	s.changeHold(w, r, time.Time{}, func(ctx context.Context, container state.Container) error {
		return s.database.ReleaseContainer(ctx, container.Handle)
	})
}

// changeHold changes how long each container of the build of the path is kept, says
// so in the build's log, and answers with the containers.
func (s *Server) changeHold(w http.ResponseWriter, r *http.Request, until time.Time, change func(context.Context, state.Container) error) {
	build, ok := s.buildOfPath(w, r, member)
	if !ok {
		return
	}
	containers, err := s.database.Containers(r.Context(), state.ContainerFilter{BuildID: build.ID})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(containers) == 0 {
		fail(w, http.StatusConflict, "build %d has no containers: they are made when its tasks begin, and removed some time after they end", build.ID)
		return
	}
	shown := []api.Container{}
	for _, container := range containers {
		if err := change(r.Context(), container); err != nil {
			s.fail(w, r, err)
			return
		}
		if err := s.sayHold(container, until, requester(r).user()); err != nil {
			s.fail(w, r, err)
			return
		}
		if container, err = s.database.Container(r.Context(), container.Handle); err != nil {
			s.fail(w, r, err)
			return
		}
		shown = append(shown, apiContainer(container))
	}
	answer(w, http.StatusOK, shown)
}

// sayHold adds to a build's log that somebody holds a container until then, or lets it go.
func (s *Server) sayHold(container state.Container, until time.Time, by string) error {
	log, err := s.logs.Open(container.BuildID)
	if err != nil {
		return fmt.Errorf("note who holds container %s: %w", container.Handle, err)
	}
	defer log.Close()
	data := api.HoldEvent{Time: time.Now().Unix(), Origin: api.Origin{ID: container.PlanID}, Container: container.Handle, By: by}
	if !until.IsZero() {
		data.Until = until.Unix()
	}
	event := api.NewEvent(data)
	if _, err := log.Append(eventlog.Event{Kind: event.Event, Version: event.Version, Data: event.Data}); err != nil {
		return fmt.Errorf("note who holds container %s: %w", container.Handle, err)
	}
	return nil
}

// listSessions gives the hijack sessions in the team's containers.
func (s *Server) listSessions(w http.ResponseWriter, r *http.Request) {
	shown := []api.HijackSession{}
	for _, session := range s.sessions.List() {
		if session.TeamName == r.PathValue("team") {
			shown = append(shown, session)
		}
	}
	answer(w, http.StatusOK, shown)
}
