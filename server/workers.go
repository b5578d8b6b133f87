package server

import (
	"errors"
	"fmt"
	"net/http"

	"midge/api"
	"midge/runtime"
)

// listWorkers gives the workers that the requester's teams may use.
func (s *Server) listWorkers(w http.ResponseWriter, r *http.Request) {
	shown := []api.Worker{}
	for _, worker := range s.pool.Workers() {
		info, err := s.pool.Info(r.Context(), worker.Name())
		if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) || !visible(info, requester(r)) {
			continue
		}
		if err != nil {
			// The others are to be seen nevertheless.
			s.log.WarnContext(r.Context(), "a worker cannot be asked how it is", "worker", worker.Name(), "error", err)
		}
		shown = append(shown, api.Worker{
			ActiveContainers: info.Containers,
			ActiveVolumes:    info.Volumes,
			ActiveTasks:      info.ActiveTasks,
			MaxActiveTasks:   info.MaxActiveTasks,
			Pending:          info.Pending,
			Waits:            info.Waits,
			Platform:         info.Platform,
			Tags:             info.AllTags(),
			Team:             info.Team,
			Name:             worker.Name(),
			Version:          workerVersion,
			StartTime:        info.StartTime.Unix(),
			State:            info.State,
			Runtime:          info.Runtime,
		})
	}
	answer(w, http.StatusOK, shown)
}

func (s *Server) landWorker(w http.ResponseWriter, r *http.Request) {
	name, ok := s.workerOfPath(w, r)
	if !ok {
		return
	}
	if err := s.pool.Land(name); err != nil {
		s.fail(w, r, err)
		return
	}
	s.log.InfoContext(r.Context(), "worker lands", "worker", name, "by", requester(r).user())
}

func (s *Server) pruneWorker(w http.ResponseWriter, r *http.Request) {
	name, ok := s.workerOfPath(w, r)
	if !ok {
		return
	}
	if err := s.pool.Prune(name); err != nil {
		// fly reads the sentence from this field.
		answer(w, http.StatusBadRequest, map[string]string{"stderr": fmt.Sprintf("cannot prune: %v", err)})
		return
	}
	s.parts.forget(partOfWorker(name))
	s.log.InfoContext(r.Context(), "worker pruned", "worker", name, "by", requester(r).user())
}

// visible tells whether a user may know of a worker: one of all teams, or of a team of hers.
func visible(info runtime.WorkerInfo, to *identity) bool {
	return info.Team == "" || to.in(info.Team) != noRole
}

// workerOfPath gives the name of the worker of the path to who may change it,
// members of its team or else administrators, or else answers the request.
func (s *Server) workerOfPath(w http.ResponseWriter, r *http.Request) (name string, ok bool) {
	name = r.PathValue("worker")
	// One that cannot be asked how it is can be pruned nevertheless.
	info, err := s.pool.Info(r.Context(), name)
	missing := (*runtime.NotFoundError)(nil)
	switch {
	case errors.As(err, &missing) || !visible(info, requester(r)):
		notFound(w, "worker %q", name)
		return "", false
	case info.Team != "":
		return name, s.permitted(w, r, info.Team, member)
	case !requester(r).admin:
		fail(w, http.StatusForbidden, "worker %q serves all teams: only an owner of the team main may do that", name)
		return "", false
	}
	return name, true
}
