package server

import (
	"net/http"

	"midge/api"
	"midge/server/state"
)

// listVolumes gives the volumes of the team's containers, on all workers.
func (s *Server) listVolumes(w http.ResponseWriter, r *http.Request) {
	containers, err := s.database.Containers(r.Context(), state.ContainerFilter{Teams: []string{r.PathValue("team")}})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ofTeam := map[string]state.Container{}
	for _, container := range containers {
		ofTeam[container.Handle] = container
	}
	shown := []api.Volume{}
	for _, worker := range s.pool.Workers() {
		volumes, err := worker.Volumes(r.Context())
		if err != nil {
			s.fail(w, r, err)
			return
		}
		for _, volume := range volumes {
			container, ok := ofTeam[volume.ContainerHandle]
			if !ok {
				continue
			}
			shown = append(shown, api.Volume{
				ID:              volume.Handle,
				WorkerName:      worker.Name(),
				Type:            volume.Type,
				ContainerHandle: volume.ContainerHandle,
				Path:            volume.Path,
				ParentHandle:    volume.ParentHandle,
				StepName:        container.StepName,
			})
		}
	}
	answer(w, http.StatusOK, shown)
}
