// Package server is midge's server: the HTTP API that fly and midge speak, who may do
// what in it, and the wiring of state, event logs, artifacts, workers and engine below.
//
// What the API has acknowledged is on disk. A server that is shut down or killed
// leaves its containers running, and the next one on the same data dir goes on with
// their builds.
//
// Who comes by the unix socket administers the server; all others log in. A user
// sees the teams that he or she has a role in, and nothing of any other.
//
// The package knows nothing of how containers are run: its workers are given to it.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"midge/api"
	"midge/artifacts/store"
	"midge/hijack"
	"midge/runtime"
	"midge/server/engine"
	"midge/server/eventlog"
	"midge/server/state"
	"midge/trace"
	"midge/usage"
)

// Server serves one data dir. Its methods may be called from many goroutines.
type Server struct {
	config  Config
	log     *slog.Logger
	dir     *dataDir
	reserve reserve
	// collecting is held for reading while what nobody needs is removed, and for writing
	// while a backup is made, of which nothing may be removed.
	collecting sync.RWMutex
	listeners  listeners
	database   *state.Database
	logs       *eventlog.Store
	artifacts  *store.Store
	workers    []runtime.Worker // also those that were pruned from the pool
	pool       *runtime.Pool
	engine     *engine.Engine
	sessions   *hijack.Sessions
	parts      parts
	metrics    *metrics
	traces     *trace.Store // nil when none are kept
	http       *http.Server

	teams     map[string]teamAuth // by name; never changes
	passwords passwords
	provider  *identityProvider // of users who are not the server's own; nil for none
	tokens    *tokenStore
	guesses   guessLimit
	limits    limits
	hashing   sync.Mutex // held while a password is hashed
	features  []string

	// streams ends when those who follow something are to be let go, and what the
	// server does by itself is to end.
	streams    context.Context
	endStreams context.CancelFunc
	background sync.WaitGroup // of what ends with streams

	closers []func() error // of all that is open, in the order of opening
}

// New opens the data dir and the listeners, and takes up the builds that an earlier
// server has left. Requests wait until Serve is called. On an error nothing of the
// server is left.
func New(ctx context.Context, config Config) (*Server, error) {
	config = config.withDefaults()
	teams, err := teamsOf(config)
	if err != nil {
		return nil, err
	}
	if config.OIDC, err = config.OIDC.withDefaults(); err != nil {
		return nil, err
	}
	s := &Server{
		config:    config,
		log:       config.Log,
		teams:     teams,
		passwords: newPasswords(config.Users),
		guesses:   guessLimit{addresses: map[string]*rate.Limiter{}},
		limits:    limits{user: config.UserLimits, team: config.TeamLimits, now: config.Now, buckets: map[string]*bucket{}},
		features:  []string{api.FeatureArtifacts, api.FeatureEvents, api.FeatureHijack, api.FeatureRequests, api.FeatureTokens, api.FeatureUsage},
	}
	if config.OIDC.Issuer != "" {
		s.provider = newIdentityProvider(config.OIDC)
	}
	s.parts = parts{now: time.Now, parts: map[string]*part{}}
	s.metrics = newMetrics(s)
	s.streams, s.endStreams = context.WithCancel(context.Background())
	if err := s.open(ctx); err != nil {
		s.endStreams()
		if state.IsDamaged(err) {
			err = fmt.Errorf("the database %s is damaged: find out what the disk has, and restore a backup into another data dir: %w", s.dir.databasePath(), err)
		}
		return nil, errors.Join(err, s.close(), s.leave(true))
	}
	return s, nil
}

// open opens everything in an order in which each part finds what it needs.
func (s *Server) open(ctx context.Context) (err error) {
	if s.dir, err = lockDataDir(s.config.DataDir); err != nil {
		return err
	}
	s.reserve.path = s.dir.reservePath()
	// First, to see the beginning of all others, and their end.
	if err := s.openTraces(); err != nil {
		return err
	}
	if s.listeners, err = listen(s.config); err != nil {
		return err
	}
	s.onClose(s.listeners.close)
	if s.database, err = state.Open(ctx, s.dir.databasePath()); err != nil {
		return err
	}
	s.onClose(s.database.Close)
	// The team main is the first, as in Concourse.
	for _, team := range append([]string{mainTeam}, slices.Sorted(maps.Keys(s.teams))...) {
		if _, err := s.database.EnsureTeam(ctx, team); err != nil {
			return err
		}
	}
	if err := s.openStores(); err != nil {
		return err
	}
	if err := s.openWorkers(ctx); err != nil {
		return err
	}
	s.openEngine()
	if err := s.openSessions(ctx); err != nil {
		return err
	}
	if _, err := s.lookAtDisk(); err != nil {
		s.log.WarnContext(ctx, "the server begins with little room", "error", err)
	}
	s.tokens = newTokenStore(s.database, s.log, s.identify)
	s.http = newHTTPServer(trace.Handler(s.routes()), s.log)
	if err := s.engine.Start(ctx); err != nil {
		return err
	}
	for _, worker := range s.workers {
		if worker, ok := worker.(preparer); ok {
			worker.Prepare()
		}
	}
	s.startCollections()
	s.watchParts()
	s.background.Go(func() { s.keepRoom(s.streams) })
	return nil
}

func (s *Server) openStores() error {
	builds, err := s.dir.subdirectory(logsDir)
	if err != nil {
		return err
	}
	s.logs = eventlog.NewStore(builds)
	trees, err := s.dir.subdirectory(treesDir)
	if err != nil {
		return err
	}
	if s.artifacts, err = store.Open(trees, store.Options{
		MaxArtifactSize: int64(min(s.config.MaxArtifactSize, math.MaxInt64)),
		Grace:           s.config.UploadGrace,
		InUse:           s.treesInUse,
		Logger:          s.log,
	}); err != nil {
		return err
	}
	s.onClose(s.artifacts.Close)
	return nil
}

func (s *Server) openWorkers(ctx context.Context) error {
	dir, err := s.dir.subdirectory("workers")
	if err != nil {
		return err
	}
	var close func()
	if s.workers, close, err = s.config.OpenWorkers(ctx, dir); err != nil {
		return err
	}
	if close != nil {
		s.onClose(func() error { close(); return nil })
	}
	s.pool, err = runtime.NewPool(ctx, runtime.PoolOptions{
		Workers:    s.workers,
		Strategies: s.config.Placement,
		Version:    workerVersion,
	})
	return err
}

// preparer is a worker that makes in advance what containers will need, once what runs
// has what it needs.
type preparer interface{ Prepare() }

// openSessions finds the hijack sessions again that an earlier server has left.
func (s *Server) openSessions(ctx context.Context) error {
	dir, err := s.dir.subdirectory("sessions")
	if err != nil {
		return err
	}
	recorder := newHijackRecorder(s.logs, s.engine.Use, s.log)
	s.onClose(func() error { recorder.close(); return nil })
	s.sessions, err = hijack.Open(hijack.Config{
		Dir:            dir,
		Find:           s.findContainer,
		SessionTimeout: s.config.SessionTimeout,
		IdleTimeout:    s.config.InterceptIdleTimeout,
		Observer:       recorder,
		Log:            s.log,
	})
	if err != nil {
		return err
	}
	s.onClose(func() error { s.sessions.Close(); return nil })
	if err := s.sessions.Restore(ctx); err != nil {
		s.log.ErrorContext(ctx, "not all hijack sessions were found again", "error", err)
	}
	return nil
}

func (s *Server) openEngine() {
	s.parts.expect(partContainerCollection, s.config.CollectInterval)
	s.engine = engine.New(engine.Options{
		State:           s.database,
		Logs:            s.logs,
		Workers:         s.pool,
		Artifacts:       s.artifacts,
		ExternalURL:     s.URL(),
		MaxActiveBuilds: s.config.MaxActiveBuilds,
		AllowPrivileged: s.config.AllowPrivileged,
		DefaultLimits:   s.config.DefaultLimits,
		MaxLimits:       s.config.MaxLimits,
		StopGrace:       s.config.StopGrace,
		CollectEvery:    s.config.CollectInterval,
		CollectGrace:    s.config.CollectGrace,
		HoldFailed:      s.config.HoldFailed,
		MaxHeld:         s.config.MaxHeld,
		InUse:           s.inUse,
		KeepUnused:      s.config.KeepImages,
		Finished:        s.metrics.finished,
		Operated:        s.metrics.operated,
		WriteFailed:     s.writeFailed,
		Collected: func(began time.Time, collected engine.Collected, err error) {
			s.parts.report(partContainerCollection, began, partValues{
				"containers":         float64(collected.Containers - collected.Removed),
				"due_containers":     float64(collected.Due - collected.Removed),
				"removed_containers": float64(collected.Removed),
			}, err)
		},
		System: usage.OpenSystem(),
		Logger: s.log,
	})
}

// Serve answers requests until Shutdown, which makes it return nil, or until a
// listener fails.
func (s *Server) Serve() error {
	listeners := s.listeners.all()
	ended := make(chan error, len(listeners))
	for _, listener := range listeners {
		go func() { ended <- s.http.Serve(listener) }()
	}
	var failed error
	for range listeners {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) && failed == nil {
			failed = err
			// The others end too: half a server is not what was asked for.
			_ = s.listeners.close()
		}
	}
	return failed
}

// Shutdown stops listening, ends the streams of followers, waits for other requests
// until ctx ends, and closes the data dir. Builds that run are left running, for the
// next server on the data dir to take up, unless the configuration says otherwise.
// It is called once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.endStreams()
	s.background.Wait()
	var errs []error
	if err := s.http.Shutdown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("requests were still running: %w", err), s.http.Close())
	}
	errs = append(errs, s.engine.Shutdown(ctx))
	if s.config.DestroyOnExit {
		errs = append(errs, s.destroyContainers(ctx))
	}
	errs = append(errs, s.close(), s.leave(false))
	return errors.Join(errs...)
}

// onClose has close called when the server is closed, before what was opened earlier.
func (s *Server) onClose(close func() error) { s.closers = append(s.closers, close) }

func (s *Server) close() error {
	var errs []error
	for _, close := range slices.Backward(s.closers) {
		errs = append(errs, close())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// leave gives the data dir to others. One that was made for a server that did not
// come up is removed.
func (s *Server) leave(failed bool) error {
	switch {
	case s.dir == nil:
		return nil
	case failed:
		return s.dir.abandon()
	}
	return s.dir.release()
}

// unavailable answers a request that comes while the server ends.
func (s *Server) unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	fail(w, http.StatusServiceUnavailable, "the server is shutting down: try again when it is back")
}

// Addr is the TCP address that the server listens on, nil for none.
func (s *Server) Addr() net.Addr {
	if s.listeners.tcp == nil {
		return nil
	}
	return s.listeners.tcp.Addr()
}

// URL is where users find the server: the external URL, else that of the TCP
// listener, "" when there is neither.
func (s *Server) URL() string {
	if s.config.ExternalURL != "" || s.listeners.tcp == nil {
		return s.config.ExternalURL
	}
	scheme := "http"
	if s.listeners.tls {
		scheme = "https"
	}
	return scheme + "://" + s.listeners.tcp.Addr().String()
}

// Workers are the names of the workers.
func (s *Server) Workers() []string {
	var names []string
	for _, worker := range s.workers {
		names = append(names, worker.Name())
	}
	return names
}
