package pod

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"midge/agent"
)

// Serve is the first process of a container: it serves the server from dir, which
// Install has prepared, and returns when it is told to go.
func Serve(ctx context.Context, dir string) error {
	s := &server{
		dir:     dir,
		client:  agent.NewClient(filepath.Join(dir, runDir)),
		quit:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	program, err := hold(ownProgram)
	if err != nil {
		return err
	}
	defer program.Close()
	listener, err := s.listen()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	configured, err := s.ready()
	if err != nil {
		return err
	}
	if configured {
		s.supervise(ctx)
	}
	httpServer := newHTTPServer(s.handler(ctx))
	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(listener) }()
	select {
	case err = <-failed:
	case <-s.quit:
	}
	// Whatever is still served ends with the container.
	return errors.Join(err, httpServer.Close())
}

// A server is what the first process is.
type server struct {
	dir    string
	client *agent.Client
	// quit is closed when the first process is to end.
	quit     chan struct{}
	quitOnce sync.Once

	configuring sync.Mutex

	offers  offers
	logging sync.Once // the task

	mu      sync.Mutex
	lives   int           // how many supervisors there have been
	running bool          // there is one
	changed chan struct{} // closed, and another in its place, when one of these changes
}

// newHTTPServer gives a server of HTTP/2 alone.
func newHTTPServer(handler http.Handler) *http.Server {
	s := &http.Server{
		Handler:   handler,
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxRequests},
		ErrorLog:  slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// maxRequests is how many requests a connection may have at once.
const maxRequests = 10000

func (s *server) listen() (net.Listener, error) {
	run := filepath.Join(s.dir, runDir)
	if err := os.Mkdir(run, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("prepare the pod: %w", err)
	}
	// As root nobody else has to write there until a process is told to.
	if os.Geteuid() == 0 {
		volumes, err := filepath.Glob(filepath.Join(s.dir, filepath.Dir(VolumeDir(0)), "*"))
		if err != nil {
			return nil, err
		}
		for _, volume := range volumes {
			if err := os.Chmod(volume, 0o755); err != nil {
				return nil, fmt.Errorf("prepare the pod: %w", err)
			}
		}
	}
	socket := filepath.Join(run, socketFile)
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", socket)
}

// ready tells whether the container was configured.
func (s *server) ready() (bool, error) {
	_, err := agent.ReadConfig(filepath.Join(s.dir, runDir))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// configure has processes be started, as the configuration says. A second call changes nothing.
func (s *server) configure(ctx context.Context, config Config) error {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	if ready, err := s.ready(); ready || err != nil {
		return err
	}
	own := agent.Config{
		WorkingDir: config.Dir,
		Env:        slices.Concat(imageEnvironment(os.Environ()), config.Env),
		User:       config.User,
		Privileged: config.Privileged,
	}
	if uid := os.Geteuid(); uid == 0 {
		own.Own = append(own.Own, config.Dir)
		for _, volume := range config.Volumes {
			if volume.Own {
				own.Own = append(own.Own, volume.Path)
			}
		}
	} else if own.User == "" {
		own.User = strconv.Itoa(uid)
	}
	// The directory is there before a process is, so that it can be given away.
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return &agent.Error{Kind: agent.ErrorSpec, Message: fmt.Sprintf("the working directory %s cannot be made: %v", config.Dir, err)}
	}
	if err := agent.WriteConfig(filepath.Join(s.dir, runDir), own); err != nil {
		return err
	}
	s.supervise(ctx)
	return nil
}

// imageEnvironment gives, of the environment that the container was started with,
// what is the image's.
func imageEnvironment(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == "HOSTNAME" || name == "HOME" || strings.HasPrefix(name, "KUBERNETES_")
	})
}

// supervise has a supervisor run until ctx ends, one after the other: each ends when
// the container is stopped.
func (s *server) supervise(ctx context.Context) {
	dir := filepath.Join(s.dir, runDir)
	go func() {
		for ctx.Err() == nil {
			err := agent.SuperviseInside(ctx, dir, func() { s.setRunning(true) })
			s.setRunning(false)
			if err != nil {
				slog.Error("the supervisor has ended", "error", err)
				s.end()
				return
			}
		}
	}()
}

func (s *server) setRunning(running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = running
	if running {
		s.lives++
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// end has the first process end.
func (s *server) end() { s.quitOnce.Do(func() { close(s.quit) }) }

// await waits for a supervisor that is none of the first so many, and gives how many
// there have been.
func (s *server) await(ctx context.Context, after int) (int, error) {
	for {
		s.mu.Lock()
		lives, running, changed := s.lives, s.running, s.changed
		s.mu.Unlock()
		if running && lives > after {
			return lives, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
