package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"midge/api"
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
	containers, err := s.database.Containers(r.Context(), filter)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	shown := []api.Container{}
	for _, container := range containers {
		if !ofPipeline(query) && selects(query, container) {
			shown = append(shown, apiContainer(container))
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
	shown := apiContainer(container)
	for parameter, value := range map[string]string{
		"handle": shown.ID, "attempt": shown.Attempt, "worker_name": shown.WorkerName, "state": shown.State,
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

func apiContainer(container state.Container) api.Container {
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
	if held := time.Until(container.HeldUntil); held > 0 {
		shown.ExpiresIn = held.Round(time.Second).String()
	}
	return shown
}

// containerOfPath gives the container of the path, or else answers the request. One
// of another team is not there.
func (s *Server) containerOfPath(w http.ResponseWriter, r *http.Request) (state.Container, bool) {
	handle := r.PathValue("container")
	container, err := s.database.Container(r.Context(), handle)
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

func (s *Server) getContainer(w http.ResponseWriter, r *http.Request) {
	if container, ok := s.containerOfPath(w, r); ok {
		answer(w, http.StatusOK, apiContainer(container))
	}
}
