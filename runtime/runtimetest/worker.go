// Package runtimetest has a runtime in memory, for tests of what uses one, and
// the conformance suite that every runtime passes.
//
// NewWorker makes a runtime.Worker whose containers are machines in memory: what
// they run are shell scripts and the commands of package machine, on a file
// system of their own. Nothing is mocked: processes have output, signals,
// terminals and exit statuses, volumes are copied on write, caches are kept. What
// a worker holds lives as long as the value does, so that a test hands it from
// one server to the next to see the second find what the first left.
//
// Run is the suite: a test for every promise in the comments of package runtime.
package runtimetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"midge/runtime"
	"midge/runtime/runtimetest/machine"
)

// Operation is what a worker is about to do when it asks Config.Fail.
type Operation string

const (
	CreateContainer Operation = "create container"
	StartProcess    Operation = "start process" // the name is container/process
	CreateVolume    Operation = "create volume"
	StreamIn        Operation = "stream in"
	StreamOut       Operation = "stream out"
)

// Config says what a worker in memory is. The zero value is one that any task of
// linux runs on.
type Config struct {
	Name           string // "memory" when empty
	Platform       string // "linux" when empty
	Architecture   string
	OptionalTags   []string
	Tags           []string
	Team           string
	MaxActiveTasks int

	// Remote has the worker say that it does not see the directories of this machine.
	Remote bool
	// Network, when not nil, is what its volumes stream over to other workers.
	Network *Network

	// Images are the images of the only registry, by repository. Nil has every
	// repository hold the image that the host has too: see machine.Store.NewImage.
	Images map[string]Image
	// Rootfs are the trees that rootfs_uri may name, by directory. Nil lets it
	// name any directory, with the image that the host has.
	Rootfs map[string]runtime.Artifact

	// Fail, when not nil, is asked before an operation on what has that name; an
	// error makes the operation fail with it, and leave nothing behind.
	Fail func(operation Operation, name string) error
}

// Image is an image of a registry.
type Image struct {
	Root runtime.Artifact // nil: as the host's
	Env  []string
	User string
	// Entrypoint and Cmd are what a process without a path runs: the first before
	// its arguments or, without any, before Cmd.
	Entrypoint, Cmd []string
}

// A Worker is a runtime in memory.
type Worker struct {
	config  Config
	started time.Time
	store   *machine.Store
	image   *machine.Tree

	mu         sync.Mutex
	containers map[string]*container
	creating   map[string]chan struct{} // closed once a container of that handle is there, or is not
	volumes    map[string]*volume
	caches     map[string]*volume // by key
}

// NewWorker makes a worker without containers.
func NewWorker(config Config) *Worker {
	if config.Name == "" {
		config.Name = "memory"
	}
	if config.Platform == "" {
		config.Platform = "linux"
	}
	store := &machine.Store{}
	return &Worker{
		config: config, started: time.Now(), store: store, image: store.NewImage(),
		containers: map[string]*container{}, creating: map[string]chan struct{}{},
		volumes: map[string]*volume{}, caches: map[string]*volume{},
	}
}

func (w *Worker) Name() string { return w.config.Name }

func (w *Worker) Info(ctx context.Context) (runtime.WorkerInfo, error) {
	if err := ctx.Err(); err != nil {
		return runtime.WorkerInfo{}, err
	}
	w.mu.Lock()
	containers := slices.Collect(maps.Values(w.containers))
	info := runtime.WorkerInfo{
		Runtime: "memory", Platform: w.config.Platform, Architecture: w.config.Architecture,
		Tags: w.config.Tags, OptionalTags: w.config.OptionalTags, Team: w.config.Team,
		State: "running", StartTime: w.started, MaxActiveTasks: w.config.MaxActiveTasks, Remote: w.config.Remote,
		Containers: len(w.containers), Volumes: len(w.volumes) + len(w.caches),
	}
	w.mu.Unlock()
	for _, container := range containers {
		if container.taskRuns() {
			info.ActiveTasks++
		}
	}
	return info, nil
}

func (w *Worker) fail(operation Operation, name string) error {
	if w.config.Fail == nil {
		return nil
	}
	if err := w.config.Fail(operation, name); err != nil {
		return fmt.Errorf("%s %q: %w", operation, name, err)
	}
	return nil
}

func (w *Worker) FindOrCreateContainer(ctx context.Context, spec runtime.ContainerSpec) (runtime.Container, error) {
	for {
		w.mu.Lock()
		if found, ok := w.containers[spec.Handle]; ok {
			w.mu.Unlock()
			return found, nil
		}
		other, ok := w.creating[spec.Handle]
		if !ok {
			made := make(chan struct{})
			w.creating[spec.Handle] = made
			w.mu.Unlock()
			return w.createContainer(ctx, spec, made)
		}
		w.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// createContainer makes a container and closes made when that has been decided.
func (w *Worker) createContainer(ctx context.Context, spec runtime.ContainerSpec, made chan struct{}) (runtime.Container, error) {
	container, err := w.newContainer(ctx, spec)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.creating, spec.Handle)
	close(made)
	if err != nil {
		return nil, err
	}
	w.containers[spec.Handle] = container
	for _, mounted := range container.mounts {
		w.volumes[mounted.volume.handle] = mounted.volume
	}
	return container, nil
}

func (w *Worker) LookupContainer(ctx context.Context, handle string) (runtime.Container, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if found, ok := w.containers[handle]; ok {
		return found, nil
	}
	return nil, &runtime.NotFoundError{Kind: "container", Name: handle}
}

func (w *Worker) Containers(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.containers)), nil
}

func (w *Worker) CreateVolume(ctx context.Context, handle string) (runtime.Volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := w.fail(CreateVolume, handle); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.volumes[handle]; ok {
		return nil, fmt.Errorf("create volume %q: it exists already", handle)
	}
	made := &volume{worker: w, handle: handle, kind: "artifact", tree: w.store.NewTree()}
	w.volumes[handle] = made
	return w.connected(made), nil
}

// connected gives a volume as the worker's network makes it.
func (w *Worker) connected(v *volume) runtime.Volume {
	if w.config.Network == nil {
		return v
	}
	return networkVolume{v, w.config.Network}
}

func (w *Worker) LookupVolume(ctx context.Context, handle string) (runtime.Volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if found, ok := w.lookupVolume(handle); ok {
		return w.connected(found), nil
	}
	return nil, &runtime.NotFoundError{Kind: "volume", Name: handle}
}

func (w *Worker) lookupVolume(handle string) (*volume, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found, ok := w.volumes[handle]; ok {
		return found, true
	}
	for _, cache := range w.caches {
		if cache.handle == handle {
			return cache, true
		}
	}
	return nil, false
}

func (w *Worker) Volumes(ctx context.Context) ([]runtime.VolumeInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var infos []runtime.VolumeInfo
	for _, volume := range w.volumes {
		infos = append(infos, volume.info())
	}
	for key, cache := range w.caches {
		info := cache.info()
		info.CacheKey = key
		infos = append(infos, info)
	}
	return infos, nil
}

func (w *Worker) ClearCaches(ctx context.Context, prefix string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	cleared := 0
	for key := range w.caches {
		if strings.HasPrefix(key, prefix) {
			delete(w.caches, key)
			cleared++
		}
	}
	return cleared, nil
}

// keepCache makes a copy of a tree the content of a key.
func (w *Worker) keepCache(key string, tree *machine.Tree) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.caches[key] = &volume{worker: w, handle: cacheHandle(key), kind: "cache", tree: tree.Copy()}
}

// forget drops a container that was destroyed, and its volumes.
func (w *Worker) forget(c *container) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.containers, c.spec.Handle)
	for _, mounted := range c.mounts {
		delete(w.volumes, mounted.volume.handle)
	}
}

func (w *Worker) forgetVolume(v *volume) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.volumes[v.handle] == v {
		delete(w.volumes, v.handle)
	}
	maps.DeleteFunc(w.caches, func(_ string, cache *volume) bool { return cache == v })
}
