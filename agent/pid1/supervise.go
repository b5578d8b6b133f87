package pid1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"midge/agent/frame"
)

// ErrGone tells that the first process is no more, and so nothing in the container is.
var ErrGone = errors.New("the container's first process has ended")

// SocketPair gives both ends of the socket that the supervisor and the first
// process share: its own end, and the one for the first process to inherit.
func SocketPair() (own *frame.Conn, inherited *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	inherited = os.NewFile(uintptr(fds[1]), "first process's socket")
	own, err = frame.FileConn(os.NewFile(uintptr(fds[0]), "supervisor's socket"))
	if err != nil {
		inherited.Close()
		return nil, nil, err
	}
	return own, inherited, nil
}

// A First is the first process as its supervisor sees it. All methods may be
// called from many goroutines.
type First struct {
	conn   *frame.Conn
	onExit func(Exit)

	ready chan struct{} // closed when it has said that it is there
	gone  chan struct{} // closed when it is no more

	starting sync.Mutex       // held while a start is under way
	started  chan startResult // what became of it

	mu   sync.Mutex
	none []chan struct{} // closed at the next frameNone
}

type startResult struct {
	pid    int
	master *os.File
	err    error
}

// Supervise takes over the supervisor's end of the socket. onExit is called for
// each process that ends, from one goroutine, which is done when Gone is closed.
func Supervise(conn *frame.Conn, onExit func(Exit)) *First {
	p := &First{
		conn:    conn,
		onExit:  onExit,
		ready:   make(chan struct{}),
		gone:    make(chan struct{}),
		started: make(chan startResult, 1),
	}
	go p.receive()
	return p
}

// Ready is closed once the first process runs.
func (p *First) Ready() <-chan struct{} { return p.ready }

// Gone is closed once the first process has ended.
func (p *First) Gone() <-chan struct{} { return p.gone }

// Close tells the first process to go, and everything in the container with it.
func (p *First) Close() error { return p.conn.Close() }

// Start starts a process and gives its number in the container and, when it has a
// terminal, the terminal's master, which is the caller's. stdio stay the caller's.
// What could not be started is a *Failure.
func (p *First) Start(s Start, stdio ...*os.File) (pid int, master *os.File, err error) {
	p.starting.Lock()
	defer p.starting.Unlock()
	if err := p.conn.Send(frameStart, encode(s), stdio...); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	select {
	case r := <-p.started:
		return r.pid, r.master, r.err
	case <-p.gone:
		return 0, nil, ErrGone
	}
}

// Signal signals the process's group. One that has ended is no error.
func (p *First) Signal(id string, s syscall.Signal) error {
	return p.conn.Send(frameSignal, encode(signalProcess{ID: id, Signal: int(s)}))
}

// EndAll sends a signal to all processes, once to each, and until none is left to those
// that are started meanwhile, but by who catches it. The channel is closed once none is left.
func (p *First) EndAll(s syscall.Signal) (<-chan struct{}, error) {
	none := make(chan struct{})
	p.mu.Lock()
	p.none = append(p.none, none)
	p.mu.Unlock()
	return none, p.conn.Send(frameEndAll, encode(signalProcess{Signal: int(s)}))
}

func (p *First) receive() {
	defer close(p.gone)
	for {
		f, err := p.conn.Receive()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = p.handle(f)
		}
		if err != nil {
			// It speaks nonsense, or is going: either way no more can be learnt from it.
			p.conn.Close()
			return
		}
	}
}

func (p *First) handle(f frame.Frame) error {
	switch f.Type {
	case frameReady:
		close(p.ready)
	case frameStarted:
		s, err := decode[started](f.Payload)
		if err != nil {
			return err
		}
		result := startResult{pid: s.PID}
		if len(f.Files) > 0 {
			result.master = f.Files[0]
		}
		p.started <- result
	case frameFailed:
		failure, err := decode[Failure](f.Payload)
		if err != nil {
			return err
		}
		p.started <- startResult{err: &failure}
	case frameExited:
		exit, err := decode[Exit](f.Payload)
		if err != nil {
			return err
		}
		p.onExit(exit)
	case frameNone:
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, none := range p.none {
			close(none)
		}
		p.none = nil
	default:
		return fmt.Errorf("first process sent a frame of type %q, which is not known", f.Type)
	}
	return nil
}
