package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"midge/agent/pid1"
)

// Supervise is the supervisor of the container in dir, where its configuration
// lies, and which has the namespaces. It tells ready once, as JSON of an *Error or null, whether the container is
// up, closes it, and returns when the container is down.
func Supervise(ctx context.Context, dir string, namespaces Namespaces, ready *os.File) error {
	s, err := startSupervisor(ctx, dir, namespaces)
	// Whoever started the supervisor may be gone; the container is there all the same.
	_ = json.NewEncoder(ready).Encode(errorOf(err))
	ready.Close()
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// A supervisor is what the process of that name is.
type supervisor struct {
	dir        string
	namespaces Namespaces
	config     Config
	cgroup     Cgroup

	lock      *os.File
	listener  *net.UnixListener
	container *ociContainer // nil when the supervisor is inside
	inside    bool          // it is the container's first process itself
	first     *pid1.First

	conns sync.WaitGroup
	// starting is held for reading while a process is started.
	starting sync.RWMutex

	mu        sync.Mutex
	open      map[*net.UnixConn]struct{}
	processes map[string]*process
	listeners map[string]*net.TCPListener // by the process that they are for
	stopping  bool

	// stop has the time by which the container is to be down, from those who ask.
	stop chan time.Time
	// down is closed when nothing of the container runs and all exits are recorded.
	down chan struct{}
}

// startSupervisor brings the container up. On an error nothing of it is left but
// what was in its directory before.
func startSupervisor(ctx context.Context, dir string, namespaces Namespaces) (*supervisor, error) {
	// Paths of sockets are short, those of directories need not be.
	if err := os.Chdir(dir); err != nil {
		return nil, fmt.Errorf("use the directory of a container: %w", err)
	}
	lock, err := lockContainer(dir)
	if err != nil {
		return nil, err
	}
	s := newSupervisor(dir, lock)
	s.namespaces = namespaces
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.close(ctx), lock.Close())
	}
	return s, nil
}

func newSupervisor(dir string, lock *os.File) *supervisor {
	return &supervisor{
		dir:       dir,
		lock:      lock,
		open:      make(map[*net.UnixConn]struct{}),
		processes: make(map[string]*process),
		listeners: make(map[string]*net.TCPListener),
		stop:      make(chan time.Time),
		down:      make(chan struct{}),
	}
}

func (s *supervisor) start(ctx context.Context) (err error) {
	if s.config, err = ReadConfig(s.dir); err != nil {
		return err
	}
	hierarchies, err := FindHierarchies()
	if err != nil {
		return err
	}
	s.cgroup = hierarchies.Cgroup(s.config.Cgroup)
	// A supervisor that was killed may have left a container.
	if err := s.cgroup.Remove(ctx); err != nil {
		return err
	}
	if s.listener, err = listen(); err != nil {
		return err
	}
	return s.createContainer(ctx)
}

// listen listens on the socket in the working directory.
func listen() (*net.UnixListener, error) {
	// One that is there is of a supervisor that was killed: this one has the lock.
	if err := os.Remove(socketFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketFile, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for the server: %w", err)
	}
	return listener, os.Chmod(socketFile, 0o600)
}

func (s *supervisor) createContainer(ctx context.Context) error {
	if err := makeMounts(s.config, s.namespaces, nil); err != nil {
		return err
	}
	if s.namespaces.Network != nil {
		if err := useNetwork(s.namespaces.Network, NetworkPath(s.config.Stage)); err != nil {
			return err
		}
	}
	if err := checkMountPoints(s.config.Rootfs, s.config.MountPoints); err != nil {
		return err
	}
	conn, inherited, err := pid1.SocketPair()
	if err != nil {
		return err
	}
	s.first = pid1.Supervise(conn, s.processEnded)
	s.container, err = createContainer(ctx, s.dir, s.config, inherited)
	inherited.Close()
	if err != nil {
		return err
	}
	select {
	case <-s.first.Ready():
		return nil
	case <-s.first.Gone():
		return fmt.Errorf("start the container's first process: %w", pid1.ErrGone)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run serves until the container is down.
func (s *supervisor) run(ctx context.Context) error {
	go s.accept()
	unwatch := s.watchDisk(ctx)
	defer unwatch()
	var deadline time.Time
	select {
	case deadline = <-s.stop:
	case <-ctx.Done():
		deadline = time.Now()
	case <-s.first.Gone():
	}
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.endProcesses(ctx, deadline)
	err := s.close(ctx)
	s.finish()
	return err
}

// endProcesses ends what runs in the container: by SIGTERM, and by SIGKILL when
// the deadline has passed. It may be brought forward meanwhile.
func (s *supervisor) endProcesses(ctx context.Context, deadline time.Time) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	none, err := s.first.EndAll(unix.SIGTERM)
	for err == nil {
		select {
		case <-none:
			return
		case <-s.first.Gone():
			return
		case sooner := <-s.stop:
			if sooner.Before(deadline) {
				deadline = sooner
				timer.Reset(time.Until(deadline))
			}
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		none, err = s.first.EndAll(unix.SIGKILL)
		if err != nil {
			return
		}
		select {
		case <-none:
		case <-s.first.Gone():
		}
		return
	}
}

// close takes the container down: nothing of it runs after that, and it has
// no cgroup.
func (s *supervisor) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if s.first != nil {
		s.first.Close()
	}
	if s.container != nil {
		s.container.kill()
		<-s.first.Gone()
	}
	s.recordRest()
	s.closeListeners()
	var err error
	if !s.inside {
		err = s.cgroup.Remove(ctx)
	}
	close(s.down)
	return err
}

// recordRest records the end of the processes that ended with the first one, and so untold.
func (s *supervisor) recordRest() {
	s.starting.Lock()
	defer s.starting.Unlock()
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.processes))
	s.mu.Unlock()
	for _, p := range all {
		s.record(p, pid1.Exit{Code: 128 + int(unix.SIGKILL), Signal: int(unix.SIGKILL)})
	}
	for _, p := range all {
		<-p.ended
	}
}

// finish answers what was asked before the container went down, and takes no more.
func (s *supervisor) finish() {
	// Whoever cannot connect any more may start another supervisor, for which the
	// lock must be free by then, and the socket's name not be taken from it later.
	s.lock.Close()
	s.listener.SetUnlinkOnClose(false)
	s.listener.Close()
	s.mu.Lock()
	for c := range s.open {
		// One that takes no answer is not waited for.
		_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_ = c.CloseRead()
	}
	s.mu.Unlock()
	s.conns.Wait()
}

// processEnded is called by the first process's goroutine.
func (s *supervisor) processEnded(exit pid1.Exit) {
	s.mu.Lock()
	p := s.processes[exit.ID]
	s.mu.Unlock()
	if p != nil {
		s.record(p, exit)
	}
}

func (s *supervisor) record(p *process, exit pid1.Exit) {
	kills, err := s.cgroup.OOMKills()
	if err != nil {
		slog.Error("whether a process was killed for memory is not known", "error", err)
	}
	p.used = exit.Used
	p.end(Exit{
		Code:      exit.Code,
		Signal:    exit.Signal,
		OOMKilled: kills > p.oomKills,
		DiskUsed:  cmp.Or(p.diskUsed.Load(), s.atQuota()),
		Started:   p.started,
		Ended:     time.Now(),
	})
	s.closeListener(p.spec.ID)
}

// firstPID is the number of a process that is in the container's cgroup and network.
func (s *supervisor) firstPID() int {
	if s.inside {
		return os.Getpid()
	}
	return s.container.pid
}

var errStopping = &Error{Kind: ErrorGone, Message: "the container was being stopped"}

// runProcess starts a process as the server asked. When the container is going it
// waits until that is down, so that it can be started again.
func (s *supervisor) runProcess(spec Process) error {
	err := s.startProcess(spec)
	if e := errorOf(err); e != nil && e.Kind == ErrorGone {
		<-s.down
	}
	return err
}

// openRoot opens the container's root directory as its processes see it, with all that
// is mounted there. When the container is going it waits until that is down.
func (s *supervisor) openRoot() ([]*os.File, error) {
	root, err := s.tryOpenRoot()
	if e := errorOf(err); e != nil && e.Kind == ErrorGone {
		<-s.down
	}
	if err != nil {
		return nil, err
	}
	return []*os.File{root}, nil
}

func (s *supervisor) tryOpenRoot() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Until the container is being stopped the first process's number is its own.
	if s.stopping {
		return nil, errStopping
	}
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", s.firstPID()), unix.O_PATH|unix.O_DIRECTORY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errStopping
	}
	return root, err
}

func (s *supervisor) startProcess(spec Process) error {
	s.starting.RLock()
	defer s.starting.RUnlock()
	p, err := newProcess(s.dir, spec)
	if err != nil {
		return err
	}
	if p.oomKills, err = s.cgroup.OOMKills(); err != nil {
		return errors.Join(err, p.discard())
	}
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return errors.Join(errStopping, p.discard())
	}
	s.processes[spec.ID] = p
	s.mu.Unlock()
	if spec.Sample { // while the process is being started, so that a short one need not wait for it
		p.sampling = startSampling(s.firstPID(), s.inside || s.config.Cgroup != "")
	}
	err = p.start(s.first, s.config.start(spec))
	if err != nil {
		s.mu.Lock()
		delete(s.processes, spec.ID)
		s.mu.Unlock()
		if p.sampling != nil {
			p.sampling.finish()
		}
		s.closeListener(spec.ID)
		return errors.Join(err, p.discard())
	}
	p.pump()
	return nil
}

// command is what a process runs: what it says, or what the image does.
func (c Config) command(p Process) (path string, args []string) {
	if p.Path != "" {
		return p.Path, p.Args
	}
	args = p.Args
	if len(args) == 0 {
		args = c.Arguments
	}
	argv := slices.Concat(c.Entrypoint, args)
	if len(argv) == 0 {
		return "", nil
	}
	return argv[0], argv[1:]
}

// start is what the first process is asked to start.
func (c Config) start(p Process) pid1.Start {
	path, args := c.command(p)
	return pid1.Start{
		ID:           p.ID,
		Path:         path,
		Args:         args,
		Env:          slices.Concat(c.Env, p.Env),
		WorkingDir:   c.WorkingDir,
		Dir:          p.Dir,
		User:         cmp.Or(p.User, c.User),
		Own:          c.Own,
		Unprivileged: c.Privileged && !p.Privileged,
		TTY:          p.TTY,
		Stdin:        p.Stdin,
		EndTree:      p.EndTree,
	}
}

// lookUp gives a process that this supervisor has started.
func (s *supervisor) lookUp(id string) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.processes[id]
	if p == nil {
		return nil, &Error{Kind: ErrorNotFound, Message: fmt.Sprintf("process %q not found", id)}
	}
	return p, nil
}

// stopBy asks for the container to be down by then, and waits until it is.
func (s *supervisor) stopBy(deadline time.Time) {
	select {
	case s.stop <- deadline:
	case <-s.down:
	}
	<-s.down
}
