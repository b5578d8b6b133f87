package pid1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"midge/agent/frame"
)

// Main is the first process, and no other. It returns when the supervisor has closed its end
// of the socket, or when the socket fails; the caller exits, and all of the container ends.
func Main(socket *os.File) error {
	// All that there is in a container may be ended by it, and nothing elsewhere.
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("a container's first process has the number 1, and this one has %d: it is not in a container of its own", pid)
	}
	return run(socket, false)
}

// MainShared is Main in a container that others put processes into as well, from
// outside: those have no parent in it, and are let be with all that they start.
func MainShared(socket *os.File) error { return run(socket, true) }

func run(socket *os.File, shared bool) error {
	// Without this what runs in the container could trace this process, and take its socket.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid tracing: %w", err)
	}
	ignoreSignals()
	conn, err := frame.FileConn(socket)
	if err != nil {
		return fmt.Errorf("reach the container's supervisor: %w", err)
	}
	defer conn.Close()

	m := &first{conn: conn, shared: shared, running: make(map[int]*process)}
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		for range children {
			m.reap()
		}
	}()
	defer func() {
		signal.Stop(children)
		close(children)
		<-reaped
		m.mu.Lock()
		m.stopEnding()
		m.mu.Unlock()
		m.repeating.Wait()
	}()

	if err := conn.Send(frameReady, nil); err != nil {
		return err
	}
	for {
		f, err := conn.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = m.handle(f)
		for _, file := range f.Files {
			file.Close()
		}
		if err != nil {
			return err
		}
	}
}

// ignoreSignals keeps what runs in the container from ending its first process. Go
// would end the program for most signals that are not asked for. They are taken and
// dropped, and not ignored, for what is ignored stays so in the processes started.
func ignoreSignals() {
	signal.Notify(make(chan os.Signal, 1))
}

// first is the state of the first process.
type first struct {
	conn   *frame.Conn
	shared bool // others put processes into the container, too

	// mu is held from before a process is started until that is told, so that one
	// that ends at once is known, and its end told after its start.
	mu      sync.Mutex
	running map[int]*process // by pid
	ending  *ending          // nil but between frameEndAll and frameNone

	repeating sync.WaitGroup // for what endAll has started
}

type process struct {
	id      string
	endTree bool
}

func (m *first) handle(f frame.Frame) error {
	switch f.Type {
	case frameStart:
		s, err := decode[Start](f.Payload)
		if err != nil {
			return err
		}
		return m.start(s, f.Files)
	case frameSignal:
		s, err := decode[signalProcess](f.Payload)
		if err != nil {
			return err
		}
		m.signal(s)
		return nil
	case frameEndAll:
		s, err := decode[signalProcess](f.Payload)
		if err != nil {
			return err
		}
		m.endAll(syscall.Signal(s.Signal))
		return nil
	default:
		return fmt.Errorf("supervisor sent a frame of type %q, which is not known", f.Type)
	}
}

func (m *first) start(s Start, stdio []*os.File) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	pid, master, err := start(s, stdio)
	if err != nil {
		failure := &Failure{}
		if !errors.As(err, &failure) {
			failure = &Failure{Kind: FailedSystem, Message: err.Error()}
		}
		failure.ID = s.ID
		return m.conn.Send(frameFailed, encode(failure))
	}
	m.running[pid] = &process{id: s.ID, endTree: s.EndTree}
	if m.ending != nil { // which it comes too late for
		_ = unix.Kill(-pid, m.ending.signal)
	}
	reply := encode(started{ID: s.ID, PID: pid})
	if master == nil {
		return m.conn.Send(frameStarted, reply)
	}
	defer master.Close()
	return m.conn.Send(frameStarted, reply, master)
}

// signal signals a process's group, if it is running.
func (m *first) signal(s signalProcess) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for pid, p := range m.running {
		if p.id == s.ID {
			// One that has just ended is no error.
			_ = unix.Kill(-pid, syscall.Signal(s.Signal))
		}
	}
}

// reap takes the status of every child that has ended, and tells of those that the
// supervisor asked for.
func (m *first) reap() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		var status unix.WaitStatus
		var used unix.Rusage
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, &used)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.ECHILD) && m.ending != nil {
			m.stopEnding()
			// A supervisor that is gone is found out by Main.
			_ = m.conn.Send(frameNone, nil)
		}
		if err != nil || pid == 0 {
			return
		}
		p, ok := m.running[pid]
		if !ok || !(status.Exited() || status.Signaled()) {
			continue
		}
		delete(m.running, pid)
		if p.endTree {
			m.endRest()
		}
		exit := Exit{ID: p.id, Code: status.ExitStatus(), Used: &used}
		if status.Signaled() {
			exit.Signal = int(status.Signal())
			exit.Code = 128 + exit.Signal
		}
		_ = m.conn.Send(frameExited, encode(exit))
	}
}
