package server

import (
	"net/http"

	"midge/api"
	"midge/runtime"
)

// listWorkers gives the workers that the requester's teams may use.
func (s *Server) listWorkers(w http.ResponseWriter, r *http.Request) {
	shown := []api.Worker{}
	for _, worker := range s.pool.Workers() {
		info, err := worker.Info(r.Context())
		if err != nil {
			s.fail(w, r, err)
			return
		}
		state := s.pool.state(worker.Name(), info)
		if state == "" || info.Team != "" && requester(r).in(info.Team) == noRole {
			continue
		}
		shown = append(shown, api.Worker{
			ActiveContainers: info.Containers,
			ActiveVolumes:    info.Volumes,
			ActiveTasks:      info.ActiveTasks,
			MaxActiveTasks:   info.MaxActiveTasks,
			Platform:         info.Platform,
			Tags:             info.Tags,
			Team:             info.Team,
			Name:             worker.Name(),
			Version:          workerVersion,
			StartTime:        info.StartTime.Unix(),
			State:            state,
			Runtime:          info.Runtime,
		})
	}
	answer(w, http.StatusOK, shown)
}

func (s *Server) landWorker(w http.ResponseWriter, r *http.Request) {
	if worker, _, ok := s.workerOfPath(w, r); ok {
		s.pool.land(worker.Name())
		s.log.InfoContext(r.Context(), "worker lands", "worker", worker.Name(), "by", requester(r).user())
	}
}

func (s *Server) pruneWorker(w http.ResponseWriter, r *http.Request) {
	worker, info, ok := s.workerOfPath(w, r)
	if ok && !s.pool.prune(worker.Name(), info) {
		// fly reads the sentence from this field.
		answer(w, http.StatusBadRequest, map[string]string{"stderr": "cannot prune running worker: land it first, and wait until it has landed"})
	}
}

// workerOfPath gives the worker of the path to who may change it, members of its
// team or else administrators, or else answers the request.
func (s *Server) workerOfPath(w http.ResponseWriter, r *http.Request) (runtime.Worker, runtime.WorkerInfo, bool) {
	name := r.PathValue("worker")
	worker, ok := s.pool.Worker(name)
	if !ok {
		notFound(w, "worker %q", name)
		return nil, runtime.WorkerInfo{}, false
	}
	info, err := worker.Info(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return nil, info, false
	}
	switch {
	case s.pool.state(name, info) == "", info.Team != "" && requester(r).in(info.Team) == noRole:
		notFound(w, "worker %q", name)
		return nil, info, false
	case info.Team != "":
		return worker, info, s.permitted(w, r, info.Team, member)
	case !requester(r).admin:
		fail(w, http.StatusForbidden, "worker %q serves all teams: only an owner of the team main may do that", name)
		return nil, info, false
	}
	return worker, info, true
}
