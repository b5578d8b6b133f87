package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/server/state"
)

// listContainers gives the team's containers that the query selects.
func (s *Server) listContainers(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	filter, err := containerFilter(query)
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	filter.Teams = []string{r.PathValue("team")}
	if query.Get("state") == stateGone {
		s.listGone(w, r, filter)
		return
	}
	containers, err := s.database.Containers(r.Context(), filter)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	shown := []api.Container{}
	for _, container := range containers {
		if !ofPipeline(query) && selects(query, container) {
			shown = append(shown, s.apiContainer(container))
		}
	}
	answer(w, http.StatusOK, shown)
}

// containerFilter reads the query of a list of containers.
func containerFilter(query url.Values) (state.ContainerFilter, error) {
	filter := state.ContainerFilter{StepName: query.Get("step_name"), Type: query.Get("type")}
	// A one-off build is called by its id.
	for _, name := range []string{"build_id", "build_name"} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		id, err := strconv.Atoi(text)
		if err != nil {
			return filter, fmt.Errorf("the parameter %s is %q and should be a number", name, text)
		}
		filter.BuildID = id
	}
	return filter, nil
}

// selects tells whether the parts of the query that are no columns select a container.
func selects(query url.Values, container state.Container) bool {
	for parameter, value := range map[string]string{
		"handle": container.Handle, "attempt": "", "worker_name": container.Worker, "state": container.State,
	} {
		if wanted := query.Get(parameter); wanted != "" && wanted != value {
			return false
		}
	}
	return true
}

// ofPipeline tells whether the query is for containers of pipelines, which there are none of.
func ofPipeline(query url.Values) bool {
	for _, parameter := range []string{"pipeline_id", "pipeline_name", "job_id", "job_name", "resource_name"} {
		if query.Get(parameter) != "" {
			return true
		}
	}
	return false
}

func (s *Server) apiContainer(container state.Container) api.Container {
	shown := api.Container{
		ID:               container.Handle,
		WorkerName:       container.Worker,
		State:            container.State,
		Type:             container.Type,
		StepName:         container.StepName,
		BuildID:          container.BuildID,
		WorkingDirectory: container.Dir,
		User:             container.User,
	}
	if container.BuildID != 0 {
		shown.BuildName = strconv.Itoa(container.BuildID)
	}
	if until := s.keptUntil(container); time.Until(until) > 0 {
		shown.ExpiresIn = time.Until(until).Round(time.Second).String()
	}
	if time.Until(container.HeldUntil) > 0 {
		shown.HeldBy = container.HeldBy
	}
	return shown
}

// keptUntil gives until when a container is kept at the least; zero while its task runs
// and nobody holds it.
func (s *Server) keptUntil(container state.Container) time.Time {
	until := container.HeldUntil
	if grace := container.FinishedAt.Add(s.config.CollectGrace); !container.FinishedAt.IsZero() && grace.After(until) {
		until = grace
	}
	return until
}

// stateGone is the state of containers that were removed, which are only shown to who
// asks for them.
const stateGone = "gone"

// listGone gives the containers of a build of the team that were removed.
func (s *Server) listGone(w http.ResponseWriter, r *http.Request, filter state.ContainerFilter) {
	gone, err := s.database.GoneContainers(r.Context(), r.PathValue("team"), filter.BuildID)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	shown := []api.Container{}
	for _, container := range gone {
		if filter.StepName != "" && filter.StepName != container.StepName || filter.Type != "" && filter.Type != container.Type {
			continue
		}
		shown = append(shown, api.Container{
			ID:         container.Handle,
			State:      stateGone,
			Type:       container.Type,
			StepName:   container.StepName,
			BuildID:    container.BuildID,
			BuildName:  strconv.Itoa(container.BuildID),
			GoneAt:     container.At.Unix(),
			GoneReason: container.Reason,
		})
	}
	answer(w, http.StatusOK, shown)
}

// failForMissing answers a request for a container that has no row.
func (s *Server) failForMissing(w http.ResponseWriter, r *http.Request, handle string) {
	gone, err := s.database.GoneContainer(r.Context(), handle)
	missing := (*state.NotFoundError)(nil)
	switch {
	case errors.As(err, &missing), err == nil && gone.Team != r.PathValue("team"):
		notFound(w, "container %s", handle)
	case err != nil:
		s.fail(w, r, err)
	default:
		answer(w, http.StatusNotFound, map[string][]string{"errors": {fmt.Sprintf("the container %s, of the step %s of build %d, was removed at %s: %s; %s",
			handle, gone.StepName, gone.BuildID, shownTime(gone.At), gone.Reason, howToHold)}})
	}
}

// containerOfPath gives the container of the path, or else answers the request. One
// of another team is not there.
func (s *Server) containerOfPath(w http.ResponseWriter, r *http.Request) (state.Container, bool) {
	handle := r.PathValue("container")
	container, err := s.database.Container(r.Context(), handle)
	if missing := (*state.NotFoundError)(nil); errors.As(err, &missing) {
		s.failForMissing(w, r, handle)
		return state.Container{}, false
	}
	if err != nil {
		s.fail(w, r, err)
		return state.Container{}, false
	}
	if container.Team != r.PathValue("team") {
		notFound(w, "container %s", handle)
		return state.Container{}, false
	}
	return container, true
}

// containerToEnter gives the container of the path as its row and its worker have it, or
// else answers the request.
func (s *Server) containerToEnter(w http.ResponseWriter, r *http.Request) (state.Container, runtime.Container, bool) {
	row, ok := s.containerOfPath(w, r)
	if !ok {
		return row, nil, false
	}
	if row.State == api.ContainerFailed {
		answer(w, http.StatusNotFound, map[string][]string{"errors": {fmt.Sprintf("the container %s, of the step %s of build %d, could not be made, so there is nothing to look into: why, midge watch -b %[3]d says",
			row.Handle, row.StepName, row.BuildID)}})
		return row, nil, false
	}
	container, err := s.container(r.Context(), row)
	missing := (*runtime.NotFoundError)(nil)
	switch {
	case errors.As(err, &missing):
		answer(w, http.StatusNotFound, map[string][]string{"errors": {fmt.Sprintf("the container %s, of the step %s of build %d, is not on the worker %s any more: it is being removed, or was by somebody else",
			row.Handle, row.StepName, row.BuildID, row.Worker)}})
	case err != nil:
		s.fail(w, r, err)
	default:
		return row, container, true
	}
	return row, nil, false
}

func (s *Server) getContainer(w http.ResponseWriter, r *http.Request) {
	container, ok := s.containerOfPath(w, r)
	if !ok {
		return
	}
	shown := s.apiContainer(container)
	var err error
	if shown.Task, err = s.taskOf(r.Context(), container); err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, shown)
}

// taskOf gives the task that a container was made for, nil when it has not begun.
func (s *Server) taskOf(ctx context.Context, container state.Container) (*api.ContainerTask, error) {
	steps, err := s.database.Steps(ctx, container.BuildID)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(steps, func(step state.Step) bool { return step.Container == container.Handle })
	if at < 0 {
		return nil, nil
	}
	task := &api.ContainerTask{Status: string(steps[at].State)}
	if status := steps[at].ExitStatus; status >= 0 {
		task.ExitStatus = &status
	}
	plan, err := s.taskPlan(ctx, container)
	if err == nil && plan != nil && plan.Config.Run.Path != "" {
		task.Command = append([]string{plan.Config.Run.Path}, plan.Config.Run.Args...)
	}
	return task, err
}

// taskPlan gives the plan of the task that a container was made for, or nil.
func (s *Server) taskPlan(ctx context.Context, container state.Container) (*api.TaskPlan, error) {
	build, err := s.database.Build(ctx, container.BuildID)
	if err != nil {
		return nil, err
	}
	for step := range build.Plan.All() {
		if step.ID == container.PlanID && step.Task != nil {
			return step.Task, nil
		}
	}
	return nil, nil
}
