// Package servertest starts whole servers for tests: the real HTTP API, state, logs,
// artifacts and engine, on a loopback port and a unix socket, with containers in
// memory (see package runtimetest).
package servertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"midge/runtime"
	"midge/runtime/runtimetest"
	"midge/server"
)

// User and Password are those of the local user whom every server has. The user owns
// the team main.
const (
	User     = "test"
	Password = "secret"
)

// Options say what is special about a server. The zero value is fine for most tests.
type Options struct {
	// Worker runs the containers; nil makes a new one.
	Worker *runtimetest.Worker
	// Configure, if not nil, may change the configuration before the server starts.
	Configure func(*server.Config)
}

// Server is a server that runs. Its methods are for one goroutine at a time.
type Server struct {
	// URL is http://127.0.0.1:PORT, where User may log in.
	URL string
	// Socket is the path of the unix socket, which needs no login.
	Socket string
	// DataDir is the server's data dir.
	DataDir string
	// Worker has the server's containers, and keeps them over Restart.
	Worker *runtimetest.Worker

	dir    string // of the test, removed by Close
	config server.Config
	server *server.Server
	served chan error
}

// closeTimeout bounds how long requests may take that run when a server is stopped.
const closeTimeout = time.Minute

// NewServer starts a server. The caller closes it.
func NewServer(options Options) (*Server, error) {
	// Not the directory of a test: the path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "midge")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Socket:  filepath.Join(dir, "midge.sock"),
		DataDir: filepath.Join(dir, "data"),
		Worker:  options.Worker,
		dir:     dir,
	}
	if s.Worker == nil {
		s.Worker = runtimetest.NewWorker(runtimetest.Config{})
	}
	s.config = server.Config{
		DataDir: s.DataDir,
		OpenWorkers: func(context.Context, string) ([]runtime.Worker, func(), error) {
			return []runtime.Worker{s.Worker}, nil, nil
		},
		Listen:       "127.0.0.1:0",
		Socket:       s.Socket,
		Users:        []server.LocalUser{{Name: User, Password: Password}},
		StopGrace:    10 * time.Second,
		CollectGrace: time.Hour,
		HoldFailed:   time.Hour,
		Log:          slog.New(slog.DiscardHandler),
	}
	if options.Configure != nil {
		options.Configure(&s.config)
	}
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// Start starts the server again after Stop, on the same addresses, data dir and worker.
func (s *Server) Start() error {
	started, err := server.New(context.Background(), s.config)
	if err != nil {
		return err
	}
	s.server, s.served = started, make(chan error, 1)
	go func() { s.served <- started.Serve() }()
	if address := started.Addr(); address != nil {
		s.URL = "http://" + address.String()
		// A server that is started again is found where it was.
		s.config.Listen = address.String()
	}
	return nil
}

// Stop stops the server, unless it is stopped. Its data dir and containers stay.
func (s *Server) Stop() error {
	if s.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := errors.Join(s.server.Shutdown(ctx), <-s.served)
	s.server = nil
	return err
}

// Restart is Stop and Start.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start()
}

// Close stops the server and removes all that it had, its containers too.
func (s *Server) Close() error {
	return errors.Join(s.Stop(), s.destroyContainers(), os.RemoveAll(s.dir))
}

func (s *Server) destroyContainers() error {
	ctx := context.Background()
	handles, err := s.Worker.Containers(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, handle := range handles {
		container, err := s.Worker.LookupContainer(ctx, handle)
		if err == nil {
			err = container.Destroy(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Login gives a bearer token of a user.
func (s *Server) Login(ctx context.Context, user, password string) (string, error) {
	form := url.Values{"grant_type": {"password"}, "username": {user}, "password": {password}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/sky/issuer/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.SetBasicAuth("fly", "Zmx5")
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		return "", errors.Join(fmt.Errorf("log in as %s: %s", user, response.Status), err)
	}
	return answer.AccessToken, nil
}
