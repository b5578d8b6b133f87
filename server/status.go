package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/usage"
)

// Names of parts, besides those of workers.
const (
	partArtifactCollection  = "artifact collection"
	partArtifactStore       = "artifact store"
	partBuildCollection     = "build collection"
	partCertificate         = "certificate"
	partClock               = "clock"
	partContainerCollection = "container collection"
	partDatabase            = "database"
	partDisk                = "disk"
	partDiskRoom            = "disk room"
	partEngine              = "engine"
	partEventLogs           = "event logs"
	partLeftoverCollection  = "leftover collection"
	partMachine             = "machine"
	partSessions            = "sessions"
	partSpans               = "span store"
	partTokenCollection     = "token collection"
	partVolumeCollection    = "volume collection"
)

const (
	// lookPeriod is how often the server looks at a part that does not run by itself.
	lookPeriod = 15 * time.Second
	// diskPeriod is shorter: a disk is filled in seconds.
	diskPeriod = 5 * time.Second
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
	mux.HandleFunc("GET /api/v1/backup", s.asAdmin(patient(s.backup)))
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
	watchEach := func(period time.Duration, name string, look func(ctx context.Context) (partValues, error)) {
		s.parts.expect(name, period)
		s.background.Go(func() {
			s.parts.watch(s.streams, name, period, func(ctx context.Context) (partValues, error) {
				ctx, cancel := context.WithTimeout(ctx, lookTimeout)
				defer cancel()
				return look(ctx)
			})
		})
	}
	watch := func(name string, look func(ctx context.Context) (partValues, error)) {
		watchEach(lookPeriod, name, look)
	}
	watch(partDatabase, s.lookAtDatabase)
	watchEach(diskPeriod, partDisk, func(context.Context) (partValues, error) { return s.lookAtDisk() })
	watch(partEventLogs, func(context.Context) (partValues, error) {
		return partValues{"open_logs": float64(s.logs.InUse())}, tryWriting(s.dir.logsPath())
	})
	watch(partArtifactStore, func(context.Context) (partValues, error) {
		values := partValues{"uploads": float64(s.artifacts.Uploads()), "max_artifact_bytes": float64(s.config.MaxArtifactSize)}
		packs, err := s.artifacts.Unreadable()
		values["unreadable_packs"] = float64(packs)
		if err != nil {
			return values, &finding{api.VerdictCritical, fmt.Sprintf("contents of artifacts cannot be read: %v", err)}
		}
		return values, tryWriting(s.dir.treesPath())
	})
	watch(partClock, newClock().look)
	system := usage.OpenSystem()
	watch(partMachine, func(ctx context.Context) (partValues, error) { return machineStatus(ctx, system) })
	if s.traces != nil {
		watch(partSpans, (&spanStore{store: s.traces}).look)
	}
	watch(partEngine, func(context.Context) (partValues, error) {
		active, waiting := s.engine.Load()
		return partValues{"active_builds": float64(active), "waiting_builds": float64(waiting),
			"waiting_tasks": float64(s.pool.Waiting()), "max_active_builds": float64(s.config.MaxActiveBuilds)}, nil
	})
	watch(partSessions, func(context.Context) (partValues, error) {
		return partValues{"sessions": float64(len(s.sessions.List()))}, nil
	})
	if certificate := s.listeners.certificate; certificate != nil {
		watch(partCertificate, func(context.Context) (partValues, error) { return certificate.status(time.Now()) })
	}
	for _, worker := range s.pool.Workers() {
		watch(partOfWorker(worker.Name()), func(ctx context.Context) (partValues, error) { return workerStatus(ctx, worker) })
	}
}

// lookAtDatabase tells how large the database is, and how much of it waits in its log to be
// put in its place.
func (s *Server) lookAtDatabase(ctx context.Context) (partValues, error) {
	if err := s.database.Ping(ctx); err != nil {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	if err := s.database.Damage(); err != nil {
		return nil, &finding{api.VerdictCritical, fmt.Sprintf("the database is damaged: %v", err)}
	}
	values := partValues{}
	for name, path := range map[string]string{"bytes": s.dir.databasePath(), "log_bytes": s.dir.databasePath() + "-wal"} {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("look at the database: %w", err)
		}
		values[name] = float64(info.Size())
	}
	return values, nil
}

// partOfWorker is the name of the part that is a worker.
func partOfWorker(name string) string { return "worker " + name }

// runtimeChecker is a worker that can tell whether what it runs containers with is there.
type runtimeChecker interface {
	CheckRuntime(ctx context.Context) error
}

func workerStatus(ctx context.Context, worker runtime.Worker) (partValues, error) {
	if checker, ok := worker.(runtimeChecker); ok {
		if err := checker.CheckRuntime(ctx); err != nil {
			return nil, err
		}
	}
	info, err := worker.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the worker how it is: %w", err)
	}
	return partValues{
		"containers":       float64(info.Containers),
		"volumes":          float64(info.Volumes),
		"active_tasks":     float64(info.ActiveTasks),
		"max_active_tasks": float64(info.MaxActiveTasks),
	}, nil
}
