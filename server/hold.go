package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"midge/api"
	"midge/server/engine"
	"midge/server/state"
)

// defaultMaxHold is the longest time that a container is held at once, unless the
// configuration says otherwise.
const defaultMaxHold = 7 * 24 * time.Hour

// howToHold says how the next container is kept for longer.
const howToHold = "to keep the next one for longer: midge execute --hold 2h, or midge hold BUILD while it is there"

// holdBuild keeps the containers of a build for the time in the query.
func (s *Server) holdBuild(w http.ResponseWriter, r *http.Request) {
	duration, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil || duration <= 0 || duration > s.config.MaxHold {
		fail(w, http.StatusBadRequest, "a container cannot be held for %q: give a time up to %s, like 2h", r.URL.Query().Get("for"), s.config.MaxHold)
		return
	}
	s.changeHold(w, r, func(ctx context.Context, build int) ([]state.Container, bool, error) {
		return s.engine.Hold(ctx, build, duration, requester(r).user())
	})
}

// releaseBuild lets the containers of a build go, when their grace is over too.
func (s *Server) releaseBuild(w http.ResponseWriter, r *http.Request) {
	s.changeHold(w, r, func(ctx context.Context, build int) ([]state.Container, bool, error) {
		return s.engine.Release(ctx, build, requester(r).user())
	})
}

// changeHold changes how long the containers of the build of the path are kept, and
// answers with them.
func (s *Server) changeHold(w http.ResponseWriter, r *http.Request, change func(ctx context.Context, build int) ([]state.Container, bool, error)) {
	build, ok := s.buildOfPath(w, r, member)
	if !ok {
		return
	}
	containers, ok, err := change(r.Context(), build.ID)
	if errors.Is(err, engine.ErrShutdown) {
		s.unavailable(w)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !ok {
		s.failForGone(w, r, build.TeamName, build.ID)
		return
	}
	shown := []api.Container{}
	for _, container := range containers {
		shown = append(shown, s.apiContainer(container))
	}
	answer(w, http.StatusOK, shown)
}

// failForGone answers a request for the containers of a build that has none any more.
func (s *Server) failForGone(w http.ResponseWriter, r *http.Request, team string, build int) {
	gone, err := s.database.GoneContainers(r.Context(), team, build)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(gone) == 0 {
		fail(w, http.StatusConflict, "build %d has no containers: its tasks did not come as far as to have one, or they were removed long ago", build)
		return
	}
	var became []string
	for _, container := range gone {
		became = append(became, fmt.Sprintf("that of the step %s was removed at %s: %s", container.StepName, shownTime(container.At), container.Reason))
	}
	fail(w, http.StatusConflict, "build %d has no containers any more: %s; %s", build, strings.Join(became, "; "), howToHold)
}

func shownTime(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }

// checkHolds refuses a plan with a task whose container is to be held for longer than may be.
func (s *Server) checkHolds(w http.ResponseWriter, plan *api.Plan) bool {
	for step := range plan.All() {
		if step.Task == nil || step.Task.Hold == "" {
			continue
		}
		if hold, err := time.ParseDuration(step.Task.Hold); err == nil && hold > s.config.MaxHold {
			fail(w, http.StatusBadRequest, "a container is to be held for %s, and this server holds one for %s at most (--max-hold)", step.Task.Hold, s.config.MaxHold)
			return false
		}
	}
	return true
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
