package server

import (
	"net/http"

	"midge/api"
	"midge/runtime"
	"midge/server/engine"
	"midge/server/state"
)

// listVolumes gives the volumes of the team's containers and the caches of its tasks,
// on all workers.
func (s *Server) listVolumes(w http.ResponseWriter, r *http.Request) {
	team := r.PathValue("team")
	containers, err := s.database.Containers(r.Context(), state.ContainerFilter{Teams: []string{team}})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ofTeam := map[string]bool{} // by handle
	for _, container := range containers {
		ofTeam[container.Handle] = true
	}
	shown := []api.Volume{}
	for _, worker := range s.pool.Workers() {
		volumes, err := worker.Volumes(r.Context())
		if err != nil {
			s.fail(w, r, err)
			return
		}
		for _, volume := range volumes {
			if ofTeam[volume.ContainerHandle] {
				shown = append(shown, api.Volume{
					ID:              volume.Handle,
					WorkerName:      worker.Name(),
					Type:            volume.Type,
					ContainerHandle: volume.ContainerHandle,
					Path:            volume.Path,
					ParentHandle:    volume.ParentHandle,
				})
			} else if cache, ok := taskCache(worker, volume, team); ok {
				shown = append(shown, cache)
			}
		}
	}
	answer(w, http.StatusOK, shown)
}

// taskCache gives a volume as the API shows it that is the cache of a task of the team.
func taskCache(worker runtime.Worker, volume runtime.VolumeInfo, team string) (api.Volume, bool) {
	owner, step, path, ok := engine.ParseCacheKey(volume.CacheKey)
	if !ok || owner != team {
		return api.Volume{}, false
	}
	return api.Volume{ID: volume.Handle, WorkerName: worker.Name(), Type: "task-cache", Path: path, StepName: step}, true
}
