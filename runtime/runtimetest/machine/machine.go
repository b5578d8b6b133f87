// Package machine is a small Unix machine in memory: files, programs with
// process ids, signals, pipes and terminals, a POSIX shell and the few commands
// that scripts need most. Tests of what runs tasks use it in place of containers:
// a task's script does there what it does in a real one, and nothing of it
// reaches the machine that the test runs on.
//
// It knows one user at a time and checks no permissions but the executable bit.
// Its programs end, all of them, when the session they belong to does.
package machine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
)

// Config says what a machine is.
type Config struct {
	Files    *FileSystem
	Hostname string
	// Memory bounds, in bytes, what the variables of a shell may take; 0 does not.
	// A shell that takes more is killed.
	Memory uint64
	// Programs bounds how many programs run at once; 0 does not.
	Programs int
}

// A Machine runs programs. Its methods may be called from many goroutines at once.
type Machine struct {
	files    *FileSystem
	hostname string
	memory   uint64
	limit    int

	mu       sync.Mutex
	programs map[int]*program
	lastPID  int
	oomKills int
}

// New makes a machine on which nothing runs.
func New(config Config) *Machine {
	return &Machine{
		files: config.Files, hostname: config.Hostname, memory: config.Memory, limit: config.Programs,
		programs: map[int]*program{}, lastPID: 1,
	}
}

// Command says what to run in a session, and where.
type Command struct {
	Path string // absolute
	Args []string
	Env  []string
	Dir  string // absolute
	User User

	// Terminal gives the session a terminal of that size.
	Terminal *WindowSize
	// Stdin opens a pipe for Session.Write; a terminal has its own.
	Stdin bool
	// Output takes what is written to stdout, which is stream 1, and stderr,
	// stream 2. With a terminal all is stdout.
	Output func(ctx context.Context, stream int, p []byte) error
}

// A Session is a command and all that it starts.
type Session struct {
	machine  *Machine
	main     *program
	terminal *terminal
	stdin    *pipe
	running  sync.WaitGroup
	oomKills int  // of the machine when the session began
	ending   bool // guarded by the machine's mutex: no program is to begin
	done     chan struct{}
	status   Status
}

// Start starts a session. What cannot be executed is an error of package fs, or
// *ExecError.
func (m *Machine) Start(command Command) (*Session, error) {
	image, err := m.executable(command.Path)
	if err != nil {
		return nil, err
	}
	session := &Session{machine: m, done: make(chan struct{})}
	main := &program{
		machine: m, session: session, env: command.Env, dir: command.Dir, user: command.User,
		args:        image.arguments(append([]string{command.Path}, command.Args...)),
		descriptors: session.descriptors(command),
		done:        make(chan struct{}),
	}
	session.main = main
	m.mu.Lock()
	session.oomKills = m.oomKills
	m.mu.Unlock()
	if err := m.admit(main); err != nil {
		return nil, err
	}
	main.start(func() int { return image.command(&call{program: main, args: main.args, env: main.env}) })
	go session.end()
	return session, nil
}

// descriptors opens what the session's command has open.
func (s *Session) descriptors(command Command) map[int]*descriptor {
	output := func(number int) func(context.Context, []byte) error {
		return func(ctx context.Context, p []byte) error { return command.Output(ctx, number, p) }
	}
	if command.Terminal != nil {
		s.terminal = newTerminal(*command.Terminal, output(1), s.Signal)
		held := newDescriptor(s.terminal)
		return map[int]*descriptor{0: held, 1: held.hold(), 2: held.hold()}
	}
	stdin := newDescriptor(nullStream{})
	if command.Stdin {
		s.stdin = newPipe()
		stdin = newDescriptor(readEnd{s.stdin})
	}
	return map[int]*descriptor{
		0: stdin,
		1: newDescriptor(outputStream{output: output(1)}),
		2: newDescriptor(outputStream{output: output(2)}),
	}
}

// end ends the session when its command has ended.
func (s *Session) end() {
	<-s.main.done
	s.machine.mu.Lock()
	s.ending = true
	s.machine.mu.Unlock()
	s.Signal("KILL")
	s.running.Wait()
	if s.terminal != nil {
		s.terminal.hangUp()
	}
	if s.stdin != nil {
		s.stdin.closeReader()
	}
	s.status = s.main.status
	s.machine.mu.Lock()
	s.status.OutOfMemory = s.machine.oomKills > s.oomKills
	s.machine.mu.Unlock()
	close(s.done)
}

// Done is closed when no program of the session is left.
func (s *Session) Done() <-chan struct{} { return s.done }

// Status says how the session's command ended, once Done is closed.
func (s *Session) Status() Status { return s.status }

// Signal sends a signal, by name without SIG, to all programs of the session.
func (s *Session) Signal(name string) {
	for _, p := range s.machine.running(func(p *program) bool { return p.session == s }) {
		p.deliver(name)
	}
}

// Write gives the session input. It waits for room, and gives how much was
// taken when ctx ends first.
func (s *Session) Write(ctx context.Context, p []byte) (int, error) {
	switch {
	case s.terminal != nil:
		return s.terminal.press(ctx, p)
	case s.stdin != nil:
		return s.stdin.write(ctx, p)
	}
	return 0, errors.New("it has no stdin")
}

// CloseStdin ends the session's input: of a terminal as if its end key were pressed.
func (s *Session) CloseStdin(ctx context.Context) error {
	switch {
	case s.terminal != nil:
		_, err := s.terminal.press(ctx, []byte{keyEnd})
		return err
	case s.stdin != nil:
		s.stdin.closeWriter()
	}
	return nil
}

// Resize sets the size of the session's terminal.
func (s *Session) Resize(size WindowSize) error {
	if s.terminal == nil {
		return errors.New("it has no terminal")
	}
	s.terminal.resize(size)
	return nil
}

// admit gives a program a process id.
func (m *Machine) admit(p *program) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.session.ending || m.limit > 0 && len(m.programs) >= m.limit {
		return fmt.Errorf("fork: %w", syscall.EAGAIN)
	}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	m.lastPID++
	p.pid = m.lastPID
	m.programs[p.pid] = p
	p.session.running.Add(1)
	return nil
}

func (m *Machine) dismiss(p *program) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.programs, p.pid)
	p.session.running.Done()
}

// running gives the programs that are chosen.
func (m *Machine) running(choose func(*program) bool) []*program {
	m.mu.Lock()
	defer m.mu.Unlock()
	var chosen []*program
	for _, p := range m.programs {
		if choose(p) {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// outOfMemory kills a program that took more than there is.
func (m *Machine) outOfMemory(p *program) {
	m.mu.Lock()
	m.oomKills++
	m.mu.Unlock()
	p.deliver("KILL")
}
