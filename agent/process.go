package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"midge/agent/pid1"
	"midge/agent/record"
	"midge/agent/spool"
	"midge/api"
	"midge/usage"
)

// Streams of a process's output, as they are in the spool.
const (
	Stdout uint8 = 1
	Stderr uint8 = 2
)

// A process is a process as its supervisor has it: its streams, its spool, those
// who follow it, and its end.
type process struct {
	spec    Process
	dir     string
	started time.Time
	// oomKills is what the container's cgroup had counted before the process.
	oomKills int64
	// diskUsed is what the container took on the disk when it was killed for that.
	diskUsed atomic.Uint64

	outputs []output
	pumping chan struct{} // closed once pumps has all that read them
	pumps   sync.WaitGroup
	input   *processInput // nil when it takes none
	master  *os.File      // of its terminal, nil when it has none

	sampling *sampling     // of what the container uses meanwhile, nil for none
	used     *unix.Rusage  // by the process itself, nil when that is not known
	ended    chan struct{} // closed once its exit status is on disk

	mu        sync.Mutex
	spool     *spool.Writer
	spoolErr  error
	exited    bool // it has ended, and what it wrote is being read to the end
	finished  bool // ended is closed
	followers map[*follower]struct{}
	read      int64 // up to where those who no longer follow have read
	room      *sync.Cond
}

// An output is a stream that the process writes.
type output struct {
	stream uint8
	file   *os.File // the end to read
}

// exitBytes is more than the record of an exit takes.
const exitBytes = 4096

// newProcess makes a process's directory and spool.
func newProcess(containerDir string, spec Process) (*process, error) {
	dir, err := processPath(containerDir, spec.ID)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, os.ErrExist) {
		return nil, &Error{Kind: ErrorExists, Message: fmt.Sprintf("the container has had a process %q already", spec.ID)}
	} else if err != nil {
		return nil, err
	}
	p := &process{
		spec:      spec,
		dir:       dir,
		pumping:   make(chan struct{}),
		ended:     make(chan struct{}),
		followers: make(map[*follower]struct{}),
	}
	p.room = sync.NewCond(&p.mu)
	if err := record.Write(filepath.Join(dir, specFile), spec); err != nil {
		return nil, errors.Join(err, p.discard())
	}
	// How it ends is known also when it, or another, has filled the disk.
	if err := record.Reserve(filepath.Join(dir, exitFile), exitBytes); err != nil {
		return nil, errors.Join(err, p.discard())
	}
	if p.spool, err = spool.Create(filepath.Join(dir, spoolDir), spec.Scrollback); err != nil {
		return nil, errors.Join(err, p.discard())
	}
	return p, nil
}

// discard removes a process that was not started; its id is free again.
func (p *process) discard() error {
	if p.spool != nil {
		p.spool.Close()
	}
	return os.RemoveAll(p.dir)
}

// start has the first process start it.
func (p *process) start(first *pid1.First, s pid1.Start) error {
	theirs, err := p.openStreams()
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	if err != nil {
		p.closeStreams()
		return err
	}
	p.started = time.Now()
	_, master, err := first.Start(s, theirs...)
	if err != nil {
		p.closeStreams()
		return err
	}
	if master != nil {
		if err := p.useTerminal(master); err != nil {
			return errors.Join(err, first.Signal(p.spec.ID, unix.SIGKILL))
		}
	}
	return nil
}

// openStreams makes the pipes of a process without a terminal, and gives the ends
// that are the process's.
func (p *process) openStreams() (theirs []*os.File, err error) {
	if p.spec.TTY != nil {
		return nil, nil
	}
	if p.spec.Stdin {
		read, write, err := pipe()
		if err != nil {
			return theirs, err
		}
		theirs = append(theirs, read)
		if write, err = pollable(write); err != nil {
			return theirs, err
		}
		p.input = &processInput{file: write}
	}
	for _, stream := range []uint8{Stdout, Stderr} {
		read, write, err := pipe()
		if err != nil {
			return theirs, err
		}
		theirs = append(theirs, write)
		if read, err = pollable(read); err != nil {
			return theirs, err
		}
		p.outputs = append(p.outputs, output{stream: stream, file: read})
	}
	return theirs, nil
}

func (p *process) useTerminal(master *os.File) error {
	master, err := pollable(master)
	if err != nil {
		return err
	}
	p.master = master
	p.input = &processInput{file: master, terminal: true}
	p.outputs = []output{{stream: Stdout, file: master}}
	return nil
}

func (p *process) closeStreams() {
	for _, o := range p.outputs {
		o.file.Close()
	}
	if p.input != nil {
		p.input.close()
	}
}

// pipe gives a pipe whose ends block, as the programs that get one expect.
func pipe() (read, write *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// widen gives a pipe room for more than the system's 64 KiB, so that its two ends wait
// for each other less often. Where that may not be it stays as it is, as does what is no pipe.
func widen(pipe *os.File) {
	if raw, err := pipe.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 2*largeBuffer) })
	}
}

// pollable gives the file as one whose reads have deadlines, in place of f.
func pollable(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", f.Name(), err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("prepare %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// pump begins to read what the process writes.
func (p *process) pump() {
	for _, o := range p.outputs {
		p.pumps.Go(func() { p.pumpOne(o) })
	}
	close(p.pumping)
}

// Sizes of the buffer that output is read into: a process that fills the smaller one
// writes much, and gets the larger.
const (
	smallBuffer = 64 << 10
	largeBuffer = 256 << 10
)

func (p *process) pumpOne(o output) {
	buffer := make([]byte, smallBuffer)
	for {
		n, err := o.file.Read(buffer)
		if n > 0 {
			p.keep(o.stream, buffer[:n])
		}
		if n == smallBuffer && len(buffer) == smallBuffer {
			buffer = make([]byte, largeBuffer)
			widen(o.file)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.drain(o, buffer)
			return
		}
		if err != nil { // a terminal's last user leaves with EIO
			return
		}
	}
}

// drain reads what is there, when the process has ended: what it left behind may
// hold the stream open for ever.
func (p *process) drain(o output, buffer []byte) {
	raw, err := o.file.SyscallConn()
	if err != nil {
		return
	}
	if err := o.file.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	for {
		var n int
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			n, readErr = unix.Read(int(fd), buffer)
			return true
		})
		if errors.Is(readErr, unix.EINTR) {
			continue
		}
		if err != nil || readErr != nil || n == 0 {
			return
		}
		p.keep(o.stream, buffer[:n])
	}
}

// keep spools output, once there is room for it, and tells those who follow.
func (p *process) keep(stream uint8, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.spec.Scrollback > 0 && !p.exited && p.spool.End()-p.readByAny() >= p.spec.Scrollback {
		p.room.Wait()
	}
	if p.spoolErr != nil {
		return
	}
	if err := p.spool.Write(stream, time.Now(), data); err != nil {
		slog.Error("output is lost", "process", p.spec.ID, "error", err)
		p.spoolErr = err
		return
	}
	if p.spec.Scrollback > 0 {
		before := min(p.readByAny()-p.spec.Scrollback/2, p.spool.End()-p.spec.Scrollback)
		if err := p.spool.Trim(before, p.readByAll()); err != nil {
			slog.Error("output that is no longer needed stays", "process", p.spec.ID, "error", err)
		}
	}
	for f := range p.followers {
		f.wake()
	}
}

// readByAny is up to where somebody has read: the process need not wait for others.
func (p *process) readByAny() int64 {
	most := p.read
	for f := range p.followers {
		most = max(most, min(f.read, p.spool.End()))
	}
	return most
}

// readByAll is up to where everybody who reads has read.
func (p *process) readByAll() int64 {
	if len(p.followers) == 0 {
		return p.read
	}
	least := p.spool.End()
	for f := range p.followers {
		least = min(least, f.read)
	}
	return least
}

// end is called when the process has ended, and the first call counts. The rest of
// the output is read, and then the exit recorded, behind the caller's back.
func (p *process) end(exit Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited {
		return
	}
	p.exited = true
	p.room.Broadcast()
	go p.finish(exit)
}

func (p *process) hasExited() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

func (p *process) finish(exit Exit) {
	<-p.pumping
	// Before the end is on disk, after which the container may go.
	p.recordUsage(exit.Ended)
	for _, o := range p.outputs {
		// A file that has no deadlines is at its end already.
		_ = o.file.SetReadDeadline(time.Unix(0, 1))
	}
	p.pumps.Wait()
	p.closeStreams()

	p.mu.Lock()
	defer p.mu.Unlock()
	p.spool.Close()
	if p.spoolErr != nil {
		exit.Error = p.spoolErr.Error()
	}
	if err := record.WriteReserved(filepath.Join(p.dir, exitFile), exit); err != nil {
		slog.Error("exit status is lost", "process", p.spec.ID, "error", err)
	}
	p.finished = true
	close(p.ended)
	for f := range p.followers {
		f.wake()
	}
}

// recordUsage keeps what was used until now: by the container, or by the process
// itself. That it cannot is no reason for the process to have failed.
func (p *process) recordUsage(ended time.Time) {
	var used api.ResourceUsage
	switch {
	case p.sampling != nil:
		used = p.sampling.finish()
	case p.used != nil:
		used = usage.Processes(ended, p.used)
	default:
		return
	}
	if err := record.Write(filepath.Join(p.dir, usageFile), used); err != nil {
		slog.Error("what a process used is lost", "process", p.spec.ID, "error", err)
	}
}

func (p *process) resize(size pid1.Size) error {
	if p.master == nil {
		return &Error{Kind: ErrorSpec, Message: fmt.Sprintf("process %q has no terminal", p.spec.ID)}
	}
	raw, err := p.master.SyscallConn()
	if err != nil {
		return err
	}
	var ioctlErr error
	err = raw.Control(func(fd uintptr) {
		ioctlErr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: size.Columns, Row: size.Rows})
	})
	if errors.Is(err, os.ErrClosed) { // the process has ended, and nobody looks at it any more
		return nil
	}
	return errors.Join(err, ioctlErr)
}
