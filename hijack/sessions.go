package hijack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/trace"
)

// Config says how sessions are kept.
type Config struct {
	// Dir is a directory for the records by which sessions are found again. It is made if it is not there.
	Dir string

	// Find gives the container of that handle, or a *runtime.NotFoundError.
	Find func(ctx context.Context, handle string) (runtime.Container, error)

	// SessionTimeout is how long a session stays without a client; 0 is an hour.
	SessionTimeout time.Duration

	// IdleTimeout ends a session that nobody has given input, and that has no
	// terminal or has given no output, for so long; 0 never does.
	IdleTimeout time.Duration

	// Scrollback is how many bytes of a terminal's output are kept for clients that
	// come back; 0 is 4 MiB.
	Scrollback int64

	// MaxPerContainer bounds the sessions of one container; 0 is 100.
	MaxPerContainer int

	// PingInterval is how often clients are pinged, so that no proxy takes a connection
	// for idle; 0 is ten seconds.
	PingInterval time.Duration

	// HandshakeTimeout bounds the time in which a client says what it comes for; 0 is 30 seconds.
	HandshakeTimeout time.Duration

	// Observer is told of sessions; nil if nobody is to be.
	Observer Observer

	// Log takes what goes wrong apart from any client; nil is slog.Default.
	Log *slog.Logger
}

// Observer is told what becomes of sessions. Its methods are called one at a time
// for one session, and must not wait.
type Observer interface {
	// SessionBegan is called once the command runs.
	SessionBegan(session api.HijackSession)
	// SessionEnded is called once for each that began, after the command has ended
	// or is out of reach; after a restart of the server it may be called again.
	SessionEnded(session api.HijackSession, end End)
	// ContainerUsed is called when a client attaches or leaves, and every minute
	// while there is one.
	ContainerUsed(session api.HijackSession)
}

// End says how a session ended.
type End struct {
	// Exit is how the command ended; nil when nobody will know.
	Exit *runtime.ExitStatus
	// Message says in one sentence why it was ended, "" when it ended by itself.
	Message string
	// Usage is what its processes have used; nil when nobody will know.
	Usage *api.StepUsage
}

// Place is where a session is to be, and who asks for it. The caller has made sure that they may.
type Place struct {
	Container runtime.Container
	// Privileged tells whether the container's processes are.
	Privileged bool
	// TaskDir is where the container's task began, relative to the container's directory.
	TaskDir string

	TeamName string
	BuildID  int
	PlanID   string
	StepName string

	User string
	From string // the client's address
}

const (
	defaultSessionTimeout  = time.Hour
	defaultScrollback      = 4 << 20
	defaultMaxPerContainer = 100
	useInterval            = time.Minute
)

// Sessions are the sessions of a server. Their methods may be called from many
// goroutines at once.
type Sessions struct {
	config  Config
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]*Session
	// starting has, by container, how many sessions are not in the above yet.
	starting map[string]int
	// asked has, by client, a start that goes on; it is closed when that has ended.
	asked map[string]chan struct{}
}

// Open gives the sessions that are kept in a directory. Those that were there
// before are found by Restore.
func Open(config Config) (*Sessions, error) {
	if config.SessionTimeout == 0 {
		config.SessionTimeout = defaultSessionTimeout
	}
	if config.Scrollback == 0 {
		config.Scrollback = defaultScrollback
	}
	if config.MaxPerContainer == 0 {
		config.MaxPerContainer = defaultMaxPerContainer
	}
	if config.PingInterval == 0 {
		config.PingInterval = pingInterval
	}
	if config.HandshakeTimeout == 0 {
		config.HandshakeTimeout = handshakeTimeout
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Observer == nil {
		config.Observer = nobody{}
	}
	if err := makeRecordDir(config.Dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sessions{
		config: config, ctx: ctx, cancel: cancel,
		sessions: map[string]*Session{}, starting: map[string]int{},
		asked: map[string]chan struct{}{},
	}
	s.running.Go(s.tellUse)
	return s, nil
}

// nobody is an Observer who does not care.
type nobody struct{}

func (nobody) SessionBegan(api.HijackSession)      {}
func (nobody) SessionEnded(api.HijackSession, End) {}
func (nobody) ContainerUsed(api.HijackSession)     {}

// Close lets go of all sessions and of their clients. Their processes go on, and are
// found again by the Restore of who opens the directory next.
func (s *Sessions) Close() {
	s.cancel()
	for _, session := range s.all() {
		session.letGo()
	}
	s.running.Wait()
}

// Session gives the session of that id, or false.
func (s *Sessions) Session(id string) (*Session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, ok := s.sessions[id]
	return session, ok
}

// List gives all sessions, the oldest first, also those that have ended and whose
// end no client has been told yet.
func (s *Sessions) List() []api.HijackSession {
	var list []api.HijackSession
	for _, session := range s.all() {
		list = append(list, session.Info())
	}
	slices.SortFunc(list, func(a, b api.HijackSession) int {
		if a.BeginTime != b.BeginTime {
			return int(a.BeginTime - b.BeginTime)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

func (s *Sessions) all() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.sessions))
}

// tellUse tells the observer of the containers in use, until Close.
func (s *Sessions) tellUse() {
	ticker := time.NewTicker(useInterval)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
			for _, session := range s.all() {
				if info := session.Info(); info.Clients > 0 {
					s.config.Observer.ContainerUsed(info)
				}
			}
		}
	}
}

// start runs a command in a new session. A client that started one before by the
// same name gets that one. What cannot be run is an *Error.
func (s *Sessions) start(ctx context.Context, place Place, process api.HijackProcess, client string) (_ *Session, err error) {
	ctx, span := trace.StartSpan(ctx, "start hijack session")
	defer func() { span.End(err) }()

	done, err := s.alone(ctx, client)
	if err != nil {
		return nil, err
	}
	defer done()
	if session := s.startedBy(client, place.Container.Handle()); session != nil {
		return session, nil
	}
	spec, err := processSpec(process, place.Privileged)
	if err != nil {
		return nil, err
	}
	id := newID()
	spec.ID = "hijack-" + id
	spec.Env = append(trace.Environment(ctx), spec.Env...)
	spec.Scrollback = s.config.Scrollback
	if spec.TTY == nil {
		// What is under way to the client may have to be sent again.
		spec.Scrollback = 2 * maxWindow
	}
	record := newRecord(id, client, spec, place)
	if err := s.reserve(record.Container); err != nil {
		return nil, err
	}
	running, err := s.run(ctx, place, process, spec, record)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.release(record.Container)
		return nil, err
	}
	session := newSession(s, record, place.Container, running)
	s.takePlace(session)
	s.config.Observer.SessionBegan(session.Info())
	session.watch()
	return session, nil
}

// run runs the command of a session.
func (s *Sessions) run(ctx context.Context, place Place, process api.HijackProcess, spec runtime.ProcessSpec, record record) (runtime.Process, error) {
	// The record goes before the process: a server that dies in between finds
	// that there is no process, and not a process that it knows nothing of.
	if err := s.save(record); err != nil {
		return nil, err
	}
	running, err := runIn(ctx, place, process, spec)
	if err != nil {
		return nil, errors.Join(startError(err, spec.Path), s.remove(record.ID))
	}
	return running, nil
}

// runIn runs a command in the task's directory, or where that is not asked for or is not
// there any more, where spec has it.
func runIn(ctx context.Context, place Place, asked api.HijackProcess, spec runtime.ProcessSpec) (runtime.Process, error) {
	if !asked.InTaskDir || place.TaskDir == "" {
		return place.Container.Run(ctx, spec)
	}
	there := spec
	there.Dir = place.TaskDir
	process, err := place.Container.Run(ctx, there)
	if refused := (*runtime.SpecError)(nil); errors.As(err, &refused) {
		return place.Container.Run(ctx, spec)
	}
	return process, err
}

// startError makes an *Error of what a runtime says about a command.
func startError(err error, path string) error {
	var executable *runtime.ExecutableError
	var spec *runtime.SpecError
	switch {
	case errors.As(err, &executable) && !executable.Found:
		return newError(CodeNotFound, "cannot run %s: %s", path, executable.Reason)
	case errors.As(err, &executable):
		return newError(CodeNotExecutable, "cannot run %s: %s", path, executable.Reason)
	case errors.As(err, &spec):
		return newError(CodeRefused, "cannot run %s: %v", path, spec)
	}
	return fmt.Errorf("run %s: %w", path, err)
}

// alone waits until no other start by a client goes on, and has others wait until done is
// called: who asks again may do so before the first start has come to an end.
func (s *Sessions) alone(ctx context.Context, client string) (done func(), err error) {
	if client == "" {
		return func() {}, nil
	}
	for {
		s.mu.Lock()
		other := s.asked[client]
		if other == nil {
			ended := make(chan struct{})
			s.asked[client] = ended
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.asked, client)
				close(ended)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Sessions) startedBy(client, container string) *Session {
	if client == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, session := range s.sessions {
		if session.record.Client == client && session.record.Container == container {
			return session
		}
	}
	return nil
}

// reserve takes one of the places for sessions in a container, until the session has it
// or it is released.
func (s *Sessions) reserve(container string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := s.starting[container]
	for _, session := range s.sessions {
		if session.record.Container == container && !session.hasEnded() {
			count++
		}
	}
	if count >= s.config.MaxPerContainer {
		return newError(CodeRefused, "there are %d sessions in this container already, and there may not be more: end one first", count)
	}
	s.starting[container]++
	return nil
}

// release gives a reserved place back. It is called with mu held.
func (s *Sessions) release(container string) {
	if s.starting[container]--; s.starting[container] == 0 {
		delete(s.starting, container)
	}
}

// takePlace has a session be in the place that was reserved for it, which is counted once
// at any time.
func (s *Sessions) takePlace(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[session.record.ID] = session
	s.release(session.record.Container)
}

func (s *Sessions) add(record record, container runtime.Container, process runtime.Process) *Session {
	session := newSession(s, record, container, process)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[record.ID] = session
	return session
}

// forget drops a session that has ended.
func (s *Sessions) forget(id string) {
	s.mu.Lock()
	delete(s.sessions, id)
	s.mu.Unlock()
	if err := s.remove(id); err != nil {
		s.config.Log.Error("remove the record of a hijack session", "session", id, "error", err)
	}
}

// newID makes an id that nobody can guess.
func newID() string {
	return strings.ToLower(rand.Text()[:16])
}
