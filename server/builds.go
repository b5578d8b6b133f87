package server

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"midge/api"
	"midge/server/engine"
	"midge/server/state"
	"midge/trace"
)

// maxPlan bounds the plan of a build, in bytes of its JSON.
const maxPlan = 4 << 20

// createBuild starts a build of the plan in the body.
func (s *Server) createBuild(w http.ResponseWriter, r *http.Request) {
	var plan api.Plan
	if !readJSON(w, r, maxPlan, "the plan", &plan) {
		return
	}
	plan.AssignIDs()
	if err := plan.Validate(); err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	if !s.checkHolds(w, &plan) || !s.mayUse(w, r, &plan) || !s.withinBuilds(w, r, r.PathValue("team")) {
		return
	}
	key, ok := requestKey(w, r)
	if !ok {
		return
	}
	build, err := s.engine.Create(r.Context(), state.NewBuild{
		Team:        r.PathValue("team"),
		Plan:        plan,
		CreatedBy:   requester(r).user(),
		TraceParent: traceParent(r),
		RequestKey:  key,
	})
	if errors.Is(err, engine.ErrShutdown) {
		s.unavailable(w)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusCreated, build)
}

// requestKey gives what the request is named by, "" for nothing, and answers it when
// that is no name.
func requestKey(w http.ResponseWriter, r *http.Request) (string, bool) {
	key := r.Header.Get(api.RequestKeyHeader)
	if len(key) > api.MaxRequestKey {
		fail(w, http.StatusBadRequest, "the header %s has %d bytes, and may have %d", api.RequestKeyHeader, len(key), api.MaxRequestKey)
		return "", false
	}
	return key, true
}

// mayUse reports whether the artifacts that the plan begins with are there and the
// team's own, and answers the request when not.
func (s *Server) mayUse(w http.ResponseWriter, r *http.Request, plan *api.Plan) bool {
	for step := range plan.All() {
		if step.ArtifactInput == nil {
			continue
		}
		id := step.ArtifactInput.ArtifactID
		artifact, err := s.database.Artifact(r.Context(), id)
		missing := (*state.NotFoundError)(nil)
		switch {
		case errors.As(err, &missing), err == nil && artifact.Team != r.PathValue("team"):
			fail(w, http.StatusBadRequest, "the input %q is artifact %d, and team %q has none of that id: upload it first",
				step.ArtifactInput.Name, id, r.PathValue("team"))
			return false
		case err != nil:
			s.fail(w, r, err)
			return false
		}
	}
	return true
}

// traceParent is the span of the request, below which the build's are. When none is
// recorded here it is the client's, as the W3C header has it; "" for none that could be.
func traceParent(r *http.Request) string {
	if parent := trace.Parent(r.Context()); parent != "" {
		return parent
	}
	if header := r.Header.Get("Traceparent"); len(header) == len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") {
		return header
	}
	return ""
}

// buildOfPath gives the build of the path to a user with at least that role in its
// team, and else answers the request. A build of other teams is not there.
func (s *Server) buildOfPath(w http.ResponseWriter, r *http.Request, least role) (state.BuildRecord, bool) {
	text := r.PathValue("build")
	id, err := strconv.Atoi(text)
	if err != nil {
		notFound(w, "build %q", text)
		return state.BuildRecord{}, false
	}
	build, err := s.database.Build(r.Context(), id)
	if err != nil {
		s.fail(w, r, err)
		return state.BuildRecord{}, false
	}
	if requester(r).in(build.TeamName) == noRole {
		notFound(w, "build %d", id)
		return state.BuildRecord{}, false
	}
	return build, s.permitted(w, r, build.TeamName, least)
}

func (s *Server) getBuild(w http.ResponseWriter, r *http.Request) {
	if build, ok := s.buildOfPath(w, r, viewer); ok {
		answer(w, http.StatusOK, build.Build)
	}
}

// publicPlan is a plan as Concourse shows it.
type publicPlan struct {
	Schema string   `json:"schema"`
	Plan   api.Plan `json:"plan"`
}

func (s *Server) buildPlan(w http.ResponseWriter, r *http.Request) {
	build, ok := s.buildOfPath(w, r, viewer)
	if !ok {
		return
	}
	plan := build.Plan
	if requester(r).in(build.TeamName) < member {
		plan = withoutParams(plan)
	}
	answer(w, http.StatusOK, publicPlan{Schema: "exec.v2", Plan: plan})
}

// withoutParams leaves out what a viewer should not read: params may be secret.
func withoutParams(plan api.Plan) api.Plan {
	for step := range plan.All() {
		if step.Task == nil {
			continue
		}
		step.Task.Params, step.Task.Vars = nil, nil
		if step.Task.Config != nil {
			step.Task.Config.Params = nil
		}
	}
	return plan
}

// buildResources are a build's gets and puts, of which one-off builds have none here.
func (s *Server) buildResources(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.buildOfPath(w, r, viewer); ok {
		answer(w, http.StatusOK, map[string][]string{"inputs": {}, "outputs": {}})
	}
}

func (s *Server) buildArtifacts(w http.ResponseWriter, r *http.Request) {
	build, ok := s.buildOfPath(w, r, viewer)
	if !ok {
		return
	}
	artifacts, err := s.database.BuildArtifacts(r.Context(), build.ID)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, artifacts)
}

func (s *Server) abortBuild(w http.ResponseWriter, r *http.Request) {
	build, ok := s.buildOfPath(w, r, pipelineOperator)
	if !ok {
		return
	}
	key, ok := requestKey(w, r)
	if !ok {
		return
	}
	abort := state.Abort{By: requester(r).user(), Key: key, At: time.Now()}
	if _, err := s.engine.Abort(r.Context(), build.ID, abort); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
