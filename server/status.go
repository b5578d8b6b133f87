package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"midge/api"
	"midge/runtime"
)

// Names of parts, besides those of workers.
const (
	partArtifactCollection  = "artifact collection"
	partBuildCollection     = "build collection"
	partCertificate         = "certificate"
	partContainerCollection = "container collection"
	partDatabase            = "database"
	partDisk                = "disk"
	partEngine              = "engine"
	partEventLogs           = "event logs"
	partLeftoverCollection  = "leftover collection"
	partSessions            = "sessions"
	partTokenCollection     = "token collection"
	partVolumeCollection    = "volume collection"
)

const (
	// lookPeriod is how often the server looks at a part that does not run by itself.
	lookPeriod = 15 * time.Second
	// lookTimeout is how long that may take.
	lookTimeout = 10 * time.Second
	// readyTimeout is how long a probe waits for the database.
	readyTimeout = 2 * time.Second
)

// statusRoutes tell how the server is. Probes need no login and are told nothing else.
func (s *Server) statusRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { fail(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /api/v1/status", s.loggedIn(s.status))
	mux.HandleFunc("GET /metrics", s.asAdmin(s.metrics.handler().ServeHTTP))
}

// ready tells whether the server takes requests.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	switch {
	case s.streams.Err() != nil:
		s.unavailable(w)
	case s.database.Ping(ctx) != nil:
		fail(w, http.StatusServiceUnavailable, "the database does not answer")
	default:
		fail(w, http.StatusOK, "ok")
	}
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	status := api.Status{Verdict: api.VerdictOK, Time: time.Now().Unix(), Version: api.Version, Parts: s.parts.list()}
	for _, part := range status.Parts {
		status.Verdict = status.Verdict.Worse(part.Verdict)
	}
	if !requester(r).admin {
		status.Parts = nil
	}
	answer(w, http.StatusOK, status)
}

// watchParts looks after the parts until the streams end.
func (s *Server) watchParts() {
	watch := func(name string, look func(ctx context.Context) (partValues, error)) {
		s.parts.expect(name, lookPeriod)
		s.background.Go(func() {
			s.parts.watch(s.streams, name, lookPeriod, func(ctx context.Context) (partValues, error) {
				ctx, cancel := context.WithTimeout(ctx, lookTimeout)
				defer cancel()
				return look(ctx)
			})
		})
	}
	watch(partDatabase, func(ctx context.Context) (partValues, error) { return nil, s.database.Ping(ctx) })
	watch(partDisk, func(context.Context) (partValues, error) { return diskSpace(s.dir.path) })
	watch(partEventLogs, func(context.Context) (partValues, error) { return nil, tryWriting(s.dir.path) })
	watch(partEngine, func(context.Context) (partValues, error) {
		active, waiting := s.engine.Load()
		return partValues{"active_builds": float64(active), "waiting_builds": float64(waiting)}, nil
	})
	watch(partSessions, func(context.Context) (partValues, error) {
		return partValues{"sessions": float64(len(s.sessions.List()))}, nil
	})
	if certificate := s.listeners.certificate; certificate != nil {
		watch(partCertificate, func(context.Context) (partValues, error) { return certificate.status(time.Now()) })
	}
	for _, worker := range s.pool.Workers() {
		watch("worker "+worker.Name(), func(ctx context.Context) (partValues, error) { return workerStatus(ctx, worker) })
	}
}

func workerStatus(ctx context.Context, worker runtime.Worker) (partValues, error) {
	info, err := worker.Info(ctx)
	if err != nil {
		return nil, err
	}
	return partValues{
		"containers":       float64(info.Containers),
		"volumes":          float64(info.Volumes),
		"active_tasks":     float64(info.ActiveTasks),
		"max_active_tasks": float64(info.MaxActiveTasks),
	}, nil
}

// Of a disk, the shares that should be free.
const (
	warningFree  = 0.10
	criticalFree = 0.03
)

// diskSpace tells how much room there is where a path is.
func diskSpace(path string) (partValues, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return nil, fmt.Errorf("look at the disk of the data dir: %w", err)
	}
	free, total := float64(stat.Bavail)*float64(stat.Bsize), float64(stat.Blocks)*float64(stat.Bsize)
	return partValues{"free_bytes": free, "total_bytes": total}, freeFinding(free, total)
}

// freeFinding says whether that many bytes of a disk's are too few.
func freeFinding(free, total float64) error {
	verdict := api.VerdictWarning
	switch {
	case total == 0 || free >= warningFree*total:
		return nil
	case free < criticalFree*total:
		verdict = api.VerdictCritical
	}
	return &finding{verdict, fmt.Sprintf("%.0f %% of the data dir's disk are free", 100*free/total)}
}

// tryWriting finds out whether what is written below dir is kept. The file has no
// name, so that it is never left there.
func tryWriting(dir string) (err error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a file system that has no such files
	}
	if err != nil {
		return fmt.Errorf("write below the data dir: %w", err)
	}
	file := os.NewFile(uintptr(fd), dir)
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteString("x"); err != nil {
		return err
	}
	return file.Sync()
}
