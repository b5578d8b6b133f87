package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"midge/runtime"
	"midge/runtime/archive"
	"midge/runtime/runtimetest/machine"
)

// container is a machine with volumes mounted in it.
type container struct {
	worker  *Worker
	spec    runtime.ContainerSpec
	image   image
	env     []string // of the image and of the spec
	user    string
	files   *machine.FileSystem
	machine *machine.Machine
	mounts  []mount
	root    *machine.Tree // of files
	given   []given

	mu        sync.Mutex
	processes map[string]*process
	stopping  int           // how many Stops and Destroys are under way
	settled   chan struct{} // closed once none is
	destroyed bool
}

// mount is a volume at a path of the spec.
type mount struct {
	path     string // as it stands in the spec
	cacheKey string // "" when it is no cache
	volume   *volume
}

var validName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func (w *Worker) newContainer(ctx context.Context, spec runtime.ContainerSpec) (*container, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	if err := w.fail(CreateContainer, spec.Handle); err != nil {
		return nil, err
	}
	image, err := w.findImage(ctx, spec.Image, spec.Progress)
	if err != nil {
		return nil, err
	}
	c := &container{
		worker: w, spec: spec, image: image, processes: map[string]*process{},
		files: machine.NewFileSystem(image.root), root: image.root,
		env:  append(slices.Clone(image.env), spec.Env...),
		user: spec.User,
	}
	if c.user == "" {
		c.user = image.user
	}
	if c.user == "" {
		c.user = "root"
	}
	if err := c.files.MakeDevices(); err != nil {
		return nil, fmt.Errorf("make /dev of container %q: %w", spec.Handle, err)
	}
	if _, err := c.files.LookupUser(c.user); err != nil {
		return nil, &runtime.SpecError{Message: "the container's user cannot be", Err: err}
	}
	if err := c.files.MkdirAll(spec.Dir); err != nil {
		return nil, &runtime.SpecError{Message: "the working directory cannot be made", Err: err}
	}
	if err := c.mountAll(ctx); err != nil {
		return nil, err
	}
	hostname := spec.Hostname
	if hostname == "" {
		hostname = spec.Handle
	}
	c.machine = machine.New(machine.Config{
		Files: c.files, Hostname: hostname, Memory: spec.Limits.Memory, Programs: int(spec.Limits.Pids),
	})
	c.rememberGiven()
	return c, nil
}

// checkSpec refuses what no container can be.
func checkSpec(spec runtime.ContainerSpec) error {
	if !validName.MatchString(spec.Handle) {
		return &runtime.SpecError{Message: fmt.Sprintf("container handle %q is not 1 to 64 of a-z, 0-9 and '-'", spec.Handle)}
	}
	if !path.IsAbs(spec.Dir) {
		return &runtime.SpecError{Message: fmt.Sprintf("working directory %q is not absolute", spec.Dir)}
	}
	return nil
}

// mountAll mounts the spec's inputs, outputs and caches, those above others first.
func (c *container) mountAll(ctx context.Context) error {
	for i, input := range c.spec.Inputs {
		tree, err := c.worker.copyArtifact(ctx, input.Artifact)
		if err != nil {
			return fmt.Errorf("mount input %q: %w", input.Path, err)
		}
		made := c.volume("input", i, input.Path, tree)
		made.parent = input.Artifact.Handle()
		c.mounts = append(c.mounts, mount{input.Path, "", made})
	}
	for i, output := range c.spec.Outputs {
		c.mounts = append(c.mounts, mount{output.Path, "", c.volume("output", i, output.Path, c.worker.store.NewTree())})
	}
	for i, cache := range c.spec.Caches {
		c.mounts = append(c.mounts, mount{cache.Path, cache.Key, c.volume("cache", i, cache.Path, c.worker.cacheTree(cache.Key))})
	}
	outermost := slices.Clone(c.mounts)
	slices.SortStableFunc(outermost, func(a, b mount) int { return strings.Compare(a.volume.path, b.volume.path) })
	for i, mounted := range outermost {
		if i > 0 && outermost[i-1].volume.path == mounted.volume.path {
			return &runtime.SpecError{Message: fmt.Sprintf("two volumes are to be mounted at %q", mounted.path)}
		}
		if err := c.files.Mount(mounted.volume.path, mounted.volume.tree); err != nil {
			return &runtime.SpecError{Message: fmt.Sprintf("nothing can be mounted at %q", mounted.path), Err: err}
		}
	}
	return nil
}

func (c *container) volume(kind string, i int, name string, tree *machine.Tree) *volume {
	return &volume{
		worker: c.worker, handle: fmt.Sprintf("%s-%s-%d", c.spec.Handle, kind, i), kind: "container",
		container: c.spec.Handle, path: c.absolute(name), tree: tree,
	}
}

// absolute gives the path inside of one that may be relative to the working directory.
func (c *container) absolute(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(c.spec.Dir, name)
}

// cacheTree gives a copy of what a key holds, which is nothing at first.
func (w *Worker) cacheTree(key string) *machine.Tree {
	w.mu.Lock()
	defer w.mu.Unlock()
	if kept, ok := w.caches[key]; ok {
		return kept.tree.Copy()
	}
	return w.store.NewTree()
}

// copyArtifact gives a tree of its own with what an artifact holds.
func (w *Worker) copyArtifact(ctx context.Context, artifact runtime.Artifact) (*machine.Tree, error) {
	if found, ok := artifact.(interface{ of(*Worker) (*volume, bool) }); ok {
		if own, ok := found.of(w); ok {
			if err := own.there(ctx); err != nil {
				return nil, err
			}
			return own.tree.Copy(), nil
		}
	}
	stream, err := artifact.StreamOut(ctx, ".")
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	tree := w.store.NewTree()
	if err := archive.ExtractTree(ctx, stream, tree, archive.Options{}); err != nil {
		return nil, err
	}
	return tree, nil
}

func (c *container) Handle() string { return c.spec.Handle }

func (c *container) Run(ctx context.Context, spec runtime.ProcessSpec) (runtime.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !validName.MatchString(spec.ID) {
		return nil, &runtime.SpecError{Message: fmt.Sprintf("process id %q is not 1 to 64 of a-z, 0-9 and '-'", spec.ID)}
	}
	if err := c.worker.fail(StartProcess, c.spec.Handle+"/"+spec.ID); err != nil {
		return nil, err
	}
	command, err := c.command(spec)
	if err != nil {
		return nil, err
	}
	if err := c.lockSettled(ctx); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	if c.destroyed {
		return nil, &runtime.NotFoundError{Kind: "container", Name: c.spec.Handle}
	}
	if _, ok := c.processes[spec.ID]; ok {
		return nil, fmt.Errorf("run process %q in container %q: a process of that id was run already", spec.ID, c.spec.Handle)
	}
	started, err := startProcess(c, spec, command)
	if err != nil {
		return nil, err
	}
	c.processes[spec.ID] = started
	return started, nil
}

// lockSettled locks the container when it is not being stopped.
func (c *container) lockSettled(ctx context.Context) error {
	for {
		c.mu.Lock()
		if c.stopping == 0 {
			return nil
		}
		settled := c.settled
		c.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// command gives what a process spec runs on the container's machine.
func (c *container) command(spec runtime.ProcessSpec) (machine.Command, error) {
	user := spec.User
	if user == "" {
		user = c.user
	}
	found, err := c.files.LookupUser(user)
	if err != nil {
		return machine.Command{}, &runtime.SpecError{Message: "the process cannot be run", Err: err}
	}
	dir := c.spec.Dir
	if spec.Dir != "" {
		dir = c.absolute(spec.Dir)
	}
	info, err := c.files.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return machine.Command{}, &runtime.SpecError{Message: fmt.Sprintf("working directory %q cannot be used", dir), Err: err}
	}
	env := c.environment(spec, found)
	if spec.Toolbox {
		return machine.Command{}, &runtime.ExecutableError{Path: spec.Path, Reason: "this worker has no toolbox"}
	}
	name, args := c.image.command(spec)
	executable, err := c.executable(name, dir, env)
	if err != nil {
		return machine.Command{}, err
	}
	command := machine.Command{Path: executable, Args: args, Env: env, Dir: dir, User: found, Stdin: spec.Stdin}
	if spec.TTY != nil {
		command.Terminal = &machine.WindowSize{Columns: spec.TTY.Columns, Rows: spec.TTY.Rows}
	}
	return command, nil
}

// environment gives a process's environment: what its user and terminal make of
// it, then the image's, the container's and its own.
func (c *container) environment(spec runtime.ProcessSpec, user machine.User) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + user.Home}
	if user.Name != "" {
		env = append(env, "USER="+user.Name)
	}
	if spec.TTY != nil {
		env = append(env, "TERM=xterm")
	}
	return machine.Environment(slices.Concat(env, c.env, spec.Env))
}

func (c *container) Attach(ctx context.Context, id string) (runtime.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.processes[id]; ok && !c.destroyed {
		return found, nil
	}
	return nil, &runtime.NotFoundError{Kind: "process", Name: id}
}

func (c *container) Processes(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.destroyed {
		return nil, &runtime.NotFoundError{Kind: "container", Name: c.spec.Handle}
	}
	return slices.Collect(maps.Keys(c.processes)), nil
}

func (c *container) Volume(ctx context.Context, name string) (runtime.Volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	destroyed := c.destroyed
	c.mu.Unlock()
	for _, mounted := range c.mounts {
		if mounted.path == name && !destroyed {
			return c.worker.connected(mounted.volume), nil
		}
	}
	return nil, &runtime.NotFoundError{Kind: "volume", Name: name}
}

func (c *container) KeepCaches(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.destroyed {
		return &runtime.NotFoundError{Kind: "container", Name: c.spec.Handle}
	}
	for _, mounted := range c.mounts {
		if mounted.cacheKey != "" {
			c.worker.keepCache(mounted.cacheKey, mounted.volume.tree)
		}
	}
	return nil
}

// DiskUsed implements runtime.Weighed, memory being the disk.
func (c *container) DiskUsed(context.Context) (uint64, error) {
	used := c.root.Written()
	for _, m := range c.mounts {
		used += m.volume.tree.Written()
	}
	return used, nil
}

func (c *container) taskRuns() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	task, ok := c.processes[runtime.TaskProcessID]
	return ok && task.running()
}

func (c *container) Stop(ctx context.Context, grace time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.destroyed {
		return &runtime.NotFoundError{Kind: "container", Name: c.spec.Handle}
	}
	return c.end(ctx, grace)
}

// end ends all processes, and none is started meanwhile. The container is
// locked, but not while it waits.
func (c *container) end(ctx context.Context, grace time.Duration) error {
	if c.stopping++; c.stopping == 1 {
		c.settled = make(chan struct{})
	}
	processes := slices.Collect(maps.Values(c.processes))
	c.mu.Unlock()
	err := endProcesses(ctx, processes, grace)
	c.mu.Lock()
	if c.stopping--; c.stopping == 0 {
		close(c.settled)
	}
	return err
}

func endProcesses(ctx context.Context, processes []*process, grace time.Duration) error {
	patience := time.NewTimer(grace)
	defer patience.Stop()
	for _, signal := range []string{"TERM", "KILL"} {
		if signal == "TERM" && grace <= 0 {
			continue
		}
		for _, process := range processes {
			process.session.Signal(signal)
		}
		expired := patience.C
		if signal == "KILL" {
			expired = nil
		}
	waiting:
		for _, process := range processes {
			select {
			case <-process.ended:
			case <-expired:
				break waiting
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (c *container) Destroy(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.destroyed {
		return nil
	}
	if err := c.end(ctx, 0); err != nil {
		return err
	}
	c.destroyed = true
	c.worker.forget(c)
	return nil
}
