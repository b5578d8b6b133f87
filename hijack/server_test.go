package hijack

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
)

// patience bounds what a test waits for, far beyond what it takes.
const patience = time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testServer serves the sessions of one container. It can be started anew, as a
// server is that was killed: its container and what runs there go on.
type testServer struct {
	t         *testing.T
	config    Config
	worker    runtime.Worker
	container runtime.Container
	observer  *observer
	taskDir   string
	flyOnly   bool // refuse our own wire, as a Concourse does

	http *httptest.Server

	mu       sync.Mutex
	sessions *Sessions
}

func newServer(t *testing.T, config Config) *testServer {
	t.Helper()
	worker := runtimetest.NewWorker(runtimetest.Config{})
	container, err := worker.FindOrCreateContainer(testContext(t), runtime.ContainerSpec{
		Handle: "container", Dir: "/work", Image: runtime.ImageSpec{Host: true}, Env: []string{"GREETING=hello"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := container.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &testServer{t: t, config: config, worker: worker, container: container, observer: newObserver()}
	s.config.Dir = filepath.Join(t.TempDir(), "sessions")
	s.config.Find = worker.LookupContainer
	s.config.Observer = s.observer
	s.config.Log = slog.New(slog.NewTextHandler(testLog{t}, nil))
	s.open()
	s.http = httptest.NewServer(s)
	t.Cleanup(func() {
		s.close()
		s.http.Close()
	})
	return s
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

func (s *testServer) open() {
	s.t.Helper()
	sessions, err := Open(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := sessions.Restore(testContext(s.t)); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = sessions
}

func (s *testServer) current() *Sessions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

func (s *testServer) close() { s.current().Close() }

func (s *testServer) restart() {
	s.t.Helper()
	s.close()
	s.open()
}

func (s *testServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.flyOnly {
		r.Header.Del("Sec-WebSocket-Protocol")
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	s.current().Serve(w, r, Place{
		Container: s.container, TeamName: "main", BuildID: 12, PlanID: "3", StepName: "one-off", User: "me", From: host,
		TaskDir: s.taskDir,
	})
}

func (s *testServer) endpoint() Endpoint { return Endpoint{URL: s.http.URL} }

// only gives the one session that there is.
func (s *testServer) only() *Session {
	s.t.Helper()
	list := s.current().List()
	if len(list) != 1 {
		s.t.Fatalf("there are %d sessions, want 1: %+v", len(list), list)
	}
	session, ok := s.current().Session(list[0].ID)
	if !ok {
		s.t.Fatal("the session that is listed is not there")
	}
	return session
}

// forgotten waits until the server has forgotten all sessions.
func (s *testServer) forgotten() {
	s.t.Helper()
	for _, info := range s.current().List() {
		if session, ok := s.current().Session(info.ID); ok {
			next(s.t, session.ctx.Done(), "the end of session "+info.ID)
		}
	}
	if list := s.current().List(); len(list) > 0 {
		s.t.Errorf("sessions are left: %+v", list)
	}
}

// observer remembers what it was told.
type observer struct {
	began chan api.HijackSession
	ended chan observedEnd
	used  chan api.HijackSession
}

type observedEnd struct {
	session api.HijackSession
	end     End
}

func newObserver() *observer {
	const plenty = 1000
	return &observer{
		began: make(chan api.HijackSession, plenty),
		ended: make(chan observedEnd, plenty),
		used:  make(chan api.HijackSession, plenty),
	}
}

func (o *observer) SessionBegan(session api.HijackSession) { o.began <- session }
func (o *observer) SessionEnded(session api.HijackSession, end End) {
	o.ended <- observedEnd{session, end}
}
func (o *observer) ContainerUsed(session api.HijackSession) { o.used <- session }

// next gives the next of what a channel brings.
func next[T any](t *testing.T, channel <-chan T, what string) T {
	t.Helper()
	select {
	case value := <-channel:
		return value
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// buffer is a writer that can be waited for.
type buffer struct {
	mu      sync.Mutex
	data    []byte
	changed chan struct{}
}

func newBuffer() *buffer { return &buffer{changed: make(chan struct{})} }

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	close(b.changed)
	b.changed = make(chan struct{})
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}

// await waits until what was written fulfils a condition.
func (b *buffer) await(t *testing.T, what string, fulfilled func(text string) bool) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		b.mu.Lock()
		text, changed := string(b.data), b.changed
		b.mu.Unlock()
		if fulfilled(text) {
			return text
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s did not come; there is %.2000q", what, text)
		}
	}
}

// script is a command that runs a shell script.
func script(text string, args ...string) []api.HijackProcess {
	return []api.HijackProcess{{Path: "sh", Args: append([]string{"-c", text, "sh"}, args...)}}
}

// running is a Run that goes on.
type running struct {
	t              *testing.T
	stdout, stderr *buffer
	session        chan string
	cancel         context.CancelFunc
	done           chan ran
}

type ran struct {
	Result
	err error
}

func begin(t *testing.T, options Options) *running {
	t.Helper()
	r := &running{t: t, stdout: newBuffer(), stderr: newBuffer(), session: make(chan string, 1), done: make(chan ran, 1)}
	if options.Stdout == nil {
		options.Stdout = r.stdout
	}
	if options.Stderr == nil {
		options.Stderr = r.stderr
	}
	options.Began = func(session string, _ []string) { r.session <- session }
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		result, err := Run(ctx, options)
		if err != nil {
			t.Logf("Run gives %+v, %v", result, err)
		}
		r.done <- ran{result, err}
	}()
	t.Cleanup(func() {
		cancel()
		<-finished
	})
	return r
}

// wait gives how Run ended.
func (r *running) wait() ran {
	r.t.Helper()
	return next(r.t, r.done, "the end of Run")
}

// exits waits for the command's exit status.
func (r *running) exits(status int) {
	r.t.Helper()
	if got := r.wait(); got.err != nil || got.ExitStatus != status || got.Detached {
		r.t.Fatalf("Run gave %+v, want exit status %d; stdout %.500q, stderr %.500q", got, status, r.stdout, r.stderr)
	}
}

// nothing is a reader that never has anything, until its test ends.
func nothing(t *testing.T) io.Reader {
	reader, writer := io.Pipe()
	t.Cleanup(func() { writer.Close() })
	return reader
}

// asError is errors.As for an *Error.
func asError(err error, target **Error) bool { return errors.As(err, target) }
