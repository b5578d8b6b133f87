// Package runc runs containers on this machine, through an OCI runtime: runc or crun.
//
// A Worker has a state directory, and everything it holds is there: a directory a
// container, a volume and a cache. What it is told is done when it returns, and on
// disk, so that a Worker opened on the same directory later finds it. Nothing of a
// container is in the machine's mount table: its mounts live in mount namespaces of
// its own and of its supervisor (package agent), and go with them.
//
// A container that could not be made, and one that was destroyed, leaves nothing: no
// directory, mount, cgroup or process, even when its supervisor, or the server in the
// midst of it, was killed.
package runc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"midge/agent"
	"midge/agent/quota"
	"midge/runtime"
	"midge/runtime/runc/delegation"
	"midge/runtime/runc/image"
	"midge/runtime/runc/network"
)

// Options are a Worker's settings.
type Options struct {
	// Name is the worker's, unique in its pool.
	Name string
	// StateDir is where it keeps everything. It is made when it is not there, and
	// is for one Worker at a time.
	StateDir string
	// Agent is the program midge-agent.
	Agent string
	// Runtime is the OCI runtime's program; "" takes runc, else crun, of PATH.
	Runtime string
	// AllowRootfs are the directories below which a rootfs_uri may lie.
	AllowRootfs []string
	// HostImage lets containers have the machine's own system directories.
	HostImage bool
	// Hide are directories that no container sees in the host image, besides StateDir.
	Hide []string
	// CopyInputs has inputs and images of unprivileged containers copied, and the
	// copies owned by the container's users, as is done anyway where the kernel does
	// not show files with other owners.
	CopyInputs bool
	// Network is "" for NetworkHost. For NetworkBridge, Bridge says how.
	Network Network
	Bridge  network.Options
	// Limits are those of containers that ask for none.
	Limits runtime.Limits

	// Toolbox is busybox, linked statically, whose commands sessions may have in images
	// that have none; "" is none.
	Toolbox string

	// StopTimeout is how long a supervisor may take to stop a container's processes when
	// their grace is over, before it is ended itself; 0 is a minute.
	StopTimeout time.Duration

	Tags           []string
	Team           string
	MaxActiveTasks int
}

// A Worker is a runtime.Worker of this machine.
type Worker struct {
	options       Options
	runtime       string // path of the OCI runtime
	started       time.Time
	stage         string // where supervisors mount what containers are made of
	users         *userNamespace
	ordinary      bool                  // this process is root of a user namespace only
	delegation    delegation.Delegation // of an ordinary user's
	undelegated   error                 // why there is none, for an ordinary user
	hierarchies   agent.Hierarchies
	images        *image.Store
	bridge        *network.Pool // nil unless it is used
	host          *hostImage    // nil when it is off
	toolbox       string        // a directory of commands, "" for none
	quotas        bool          // the state directory's file system has project quotas
	newProject    sync.Mutex    // held while a project is chosen
	caches        *cacheStore
	known         knownRecords
	changes       keyedMutex // by container handle
	volumeChanges keyedMutex // by volume handle

	closed sync.Once

	scoping sync.Mutex        // held while a scope is made; it guards these
	scoped  bool              // containers need a scope
	scope   *delegation.Scope // of those that are made now

	mu            sync.Mutex
	cgroupParent  string                   // in which cgroups of containers are made, "" for none
	cgroupParents []string                 // in which they may be
	clients       map[string]*agent.Client // by container handle
	volumeUses    map[string]int           // of LocalPath, by volume handle
	releases      map[string][]func()      // of the artifacts that a container's inputs lie in, by its handle
}

var _ runtime.Collector = (*Worker)(nil)

// New opens the worker of a state directory. The error says what is missing on this
// machine. As root of a user namespace, see package rootless, there is no bridge network,
// and control groups, so limits and figures of use, only where some are delegated, see
// package delegation.
func New(ctx context.Context, options Options) (*Worker, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("containers need root, if only of a user namespace")
	}
	if options.Network == "" {
		options.Network = NetworkHost
	}
	options.StopTimeout = cmp.Or(options.StopTimeout, time.Minute)
	program, err := findRuntime(options.Runtime)
	if err != nil {
		return nil, err
	}
	if options.Agent, err = exec.LookPath(options.Agent); err != nil {
		return nil, fmt.Errorf("midge-agent is missing: it belongs beside midge-server: %w", err)
	}
	// The agent changes its directory before it uses what it is told.
	for _, path := range []*string{&options.Agent, &options.StateDir} {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, err
		}
	}
	w := &Worker{
		options:    options,
		ordinary:   !agent.InitialUserNamespace(),
		runtime:    program,
		started:    time.Now(),
		clients:    make(map[string]*agent.Client),
		volumeUses: make(map[string]int),
		releases:   make(map[string][]func()),
	}
	if err := w.open(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// open opens what the worker works with.
func (w *Worker) open(ctx context.Context) (err error) {
	options := w.options
	for _, dir := range []string{w.path("containers"), w.path("volumes")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the worker's state directory: %w", err)
		}
	}
	// First, as what is started before stays in the cgroup that is to be divided.
	if err := w.openCgroups(ctx); err != nil {
		return err
	}
	if w.stage, err = findStage(options.StateDir, options.Agent, w.runtime); err != nil {
		return err
	}
	w.quotas = !w.ordinary && quota.Enforced(options.StateDir)
	if w.ordinary {
		if err := w.beOrdinary(); err != nil {
			return err
		}
	}
	if w.caches, err = openCacheStore(w.path("caches")); err != nil {
		return err
	}
	if w.images, err = image.Open(w.path("images"), image.Options{UserXattr: w.ordinary}); err != nil {
		return err
	}
	if err := w.holdImages(); err != nil {
		return err
	}
	// Builds that run wait for these, which wait for other programs.
	group, opening := errgroup.WithContext(ctx)
	group.Go(w.openUsers)
	if options.Network == NetworkBridge {
		group.Go(func() error { return w.openBridge(opening) })
	}
	if options.Toolbox != "" {
		group.Go(func() error {
			if err := w.openToolbox(opening, w.path("toolbox")); err != nil {
				return fmt.Errorf("make the toolbox of %s: %w", options.Toolbox, err)
			}
			return nil
		})
	}
	if options.HostImage {
		group.Go(func() error {
			if err := w.openHostImage(); err != nil {
				return fmt.Errorf("prepare the host image: %w", err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Prepare begins to make in advance what containers will need. Until then each waits for
// its own. It is called once at most.
func (w *Worker) Prepare() {
	if w.bridge != nil {
		w.bridge.Fill()
	}
}

// findRuntime gives the path of the OCI runtime.
func findRuntime(program string) (string, error) {
	if program != "" {
		path, err := exec.LookPath(program)
		if err != nil {
			return "", fmt.Errorf("the OCI runtime %s cannot be run: %w", program, err)
		}
		return filepath.Abs(path)
	}
	for _, name := range []string{"runc", "crun"} {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", errors.New("there is no OCI runtime on PATH: install runc (apt-get install runc) or crun")
}

// CheckRuntime tells whether the programs are there that make containers: an upgrade of the
// machine may have taken them away.
func (w *Worker) CheckRuntime(context.Context) error {
	for _, program := range []string{w.runtime, w.options.Agent} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("no container can be made, install the program again: %w", err)
		}
	}
	return nil
}

// Close lets go of what the worker has open. Containers and their processes go on.
// Later calls do nothing.
func (w *Worker) Close() { w.closed.Do(w.close) }

func (w *Worker) close() {
	w.mu.Lock()
	handles := make(map[string]bool)
	for handle := range w.clients {
		handles[handle] = true
	}
	for handle := range w.releases {
		handles[handle] = true
	}
	w.mu.Unlock()
	for handle := range handles {
		w.forget(handle)
	}
	if w.users != nil {
		w.users.file.Close()
	}
	w.scoping.Lock()
	if w.scope != nil {
		w.scope.Close()
	}
	w.scoping.Unlock()
	if w.bridge != nil {
		if err := w.closeBridge(); err != nil {
			slog.Error("the bridge network is left as it is", "worker", w.Name(), "error", err)
		}
	}
}

func (w *Worker) path(elements ...string) string {
	return filepath.Join(append([]string{w.options.StateDir}, elements...)...)
}

func (w *Worker) containerDir(handle string) string { return w.path("containers", handle) }

// Name implements runtime.Worker.
func (w *Worker) Name() string { return w.options.Name }

// Info implements runtime.Worker.
func (w *Worker) Info(ctx context.Context) (runtime.WorkerInfo, error) {
	handles, err := w.Containers(ctx)
	if err != nil {
		return runtime.WorkerInfo{}, err
	}
	active := 0
	for _, handle := range handles {
		running, err := w.runsTask(ctx, handle)
		if err != nil {
			return runtime.WorkerInfo{}, err
		}
		if running {
			active++
		}
	}
	volumes, err := w.Volumes(ctx)
	if err != nil {
		return runtime.WorkerInfo{}, err
	}
	return runtime.WorkerInfo{
		Runtime:        "runc",
		Platform:       "linux",
		Architecture:   goruntime.GOARCH,
		Tags:           w.options.Tags,
		Team:           w.options.Team,
		State:          "running",
		StartTime:      w.started,
		Containers:     len(handles),
		Volumes:        len(volumes),
		ActiveTasks:    active,
		MaxActiveTasks: w.options.MaxActiveTasks,
	}, nil
}

// runsTask tells whether a container's task runs.
func (w *Worker) runsTask(ctx context.Context, handle string) (bool, error) {
	c := w.container(handle)
	if _, err := c.client.Process(runtime.TaskProcessID); err != nil {
		return false, nil
	}
	ended, err := c.client.Ended(runtime.TaskProcessID)
	if err != nil || ended {
		return false, err
	}
	return c.client.Running(ctx)
}

// Containers implements runtime.Worker. Those that were being made when the server
// was killed are among them.
func (w *Worker) Containers(context.Context) ([]string, error) {
	return names(w.path("containers"))
}

// LookupContainer implements runtime.Worker.
func (w *Worker) LookupContainer(_ context.Context, handle string) (runtime.Container, error) {
	if !agent.ValidID(handle) {
		return nil, &runtime.NotFoundError{Kind: "container", Name: handle}
	}
	// One that is half made may be destroyed, and no more.
	if _, err := os.Stat(w.containerDir(handle)); errors.Is(err, fs.ErrNotExist) {
		return nil, &runtime.NotFoundError{Kind: "container", Name: handle}
	} else if err != nil {
		return nil, err
	}
	return w.container(handle), nil
}

// names lists a directory's entries.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	all := make([]string, 0, len(entries))
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all, nil
}

// A keyedMutex is a mutex for each key.
type keyedMutex struct {
	mu    sync.Mutex
	locks map[string]*countedMutex
}

type countedMutex struct {
	sync.Mutex
	users int
}

// lock locks the key's mutex and gives what unlocks it.
func (k *keyedMutex) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = make(map[string]*countedMutex)
	}
	l := k.locks[key]
	if l == nil {
		l = &countedMutex{}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.locks, key)
		}
	}
}
