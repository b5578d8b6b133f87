package runc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"midge/agent"
	"midge/runtime"
	"midge/runtime/supervised"
	"midge/trace"
)

// A container is a runtime.Container.
type container struct {
	worker *Worker
	handle string
	dir    string
	client *agent.Client
}

func (w *Worker) container(handle string) *container {
	w.mu.Lock()
	defer w.mu.Unlock()
	client := w.clients[handle]
	if client == nil {
		client = agent.NewClient(w.containerDir(handle))
		w.clients[handle] = client
	}
	return &container{worker: w, handle: handle, dir: w.containerDir(handle), client: client}
}

func (c *container) Handle() string { return c.handle }

// process gives the process of that id, which was started.
func (c *container) process(id string) runtime.Process {
	return supervised.Process(c.client, id, c.explain)
}

func (c *container) Run(ctx context.Context, spec runtime.ProcessSpec) (_ runtime.Process, err error) {
	ctx, span := trace.StartSpan(ctx, "start process")
	defer func() { span.End(err) }()
	p := supervised.Spec(spec)
	if spec.Toolbox {
		if err := c.useToolbox(&p); err != nil {
			return nil, err
		}
	}
	err = c.whileUp(ctx, func() error { return c.client.Run(ctx, p) })
	if err != nil {
		return nil, err
	}
	return c.process(spec.ID), nil
}

// whileUp does what needs the container to be up, and starts it again when it is not.
func (c *container) whileUp(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		if !down(err) {
			return c.explain(err)
		}
		if err := c.revive(ctx); err != nil {
			return fmt.Errorf("start container %s again: %w", c.handle, err)
		}
	}
}

// revive brings a container up again that was stopped, or whose supervisor was killed.
func (c *container) revive(ctx context.Context) error {
	unlock := c.worker.changes.lock(c.handle)
	defer unlock()
	r, err := c.worker.readRecord(c.handle)
	if err != nil {
		return err
	}
	up, err := c.client.Running(ctx)
	if err != nil || up {
		return err
	}
	if r.Network == "" {
		return c.worker.launch(ctx, c.dir, r.Privileged, nil)
	}
	return c.reviveOnBridge(ctx, r)
}

// reviveOnBridge brings it up with a network namespace in place of the one that has
// ended with it.
func (c *container) reviveOnBridge(ctx context.Context, r containerRecord) error {
	w := c.worker
	if w.bridge == nil {
		return errors.New("it was made with the bridge network, which this server does not have")
	}
	if err := w.freeNetwork(ctx, r); err != nil {
		return err
	}
	namespace, err := w.bridge.Take(ctx)
	if err != nil {
		return err
	}
	r.Network = namespace.ID
	if err := w.writeRecord(r); err != nil {
		return errors.Join(err, releaseNetwork(ctx, namespace))
	}
	if err := w.launch(ctx, c.dir, r.Privileged, namespace); err != nil {
		return errors.Join(err, releaseNetwork(ctx, namespace))
	}
	return namespace.Leave()
}

func (c *container) Attach(_ context.Context, id string) (runtime.Process, error) {
	if _, err := c.client.Process(id); err != nil {
		return nil, c.explain(err)
	}
	return c.process(id), nil
}

func (c *container) Processes(context.Context) ([]string, error) {
	ids, err := c.client.Processes()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &runtime.NotFoundError{Kind: "container", Name: c.handle}
	}
	return ids, err
}

func (c *container) Stop(ctx context.Context, grace time.Duration) error {
	if err := c.halt(ctx, grace); err != nil {
		return fmt.Errorf("stop container %s: %w", c.handle, err)
	}
	return nil
}

// halt stops all processes, and ends a supervisor that does not do that in time: one that
// hangs keeps no container for ever.
func (c *container) halt(ctx context.Context, grace time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, grace+c.worker.options.StopTimeout)
	defer cancel()
	err := c.client.Stop(bounded, grace)
	// A connection has a deadline of its own, which may come before that of its context.
	late := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	if !late || ctx.Err() != nil {
		return err
	}
	unlock := c.worker.changes.lock(c.handle)
	defer unlock()
	_, err = agent.EndSupervisors(ctx, c.dir)
	return err
}

func (c *container) Destroy(ctx context.Context) (err error) {
	ctx, span := trace.StartSpan(ctx, "destroy container")
	defer func() { span.End(err) }()
	// Outside the lock: it ends a Stop that takes its time, and no one else's change.
	if err := c.halt(ctx, 0); err != nil {
		return fmt.Errorf("destroy container %s: %w", c.handle, err)
	}
	unlock := c.worker.changes.lock(c.handle)
	defer unlock()
	if err := c.worker.remove(ctx, c.handle); err != nil {
		return fmt.Errorf("destroy container %s: %w", c.handle, err)
	}
	return nil
}

// remove removes everything of a container, however much of it there is. It is
// called with the container locked.
func (w *Worker) remove(ctx context.Context, handle string) error {
	c := w.container(handle)
	if err := c.client.Stop(ctx, 0); err != nil {
		return err
	}
	r, err := w.readRecord(handle)
	if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) {
		err = w.endHalfMade(ctx, c.dir)
	}
	if err != nil {
		return err
	}
	config, err := c.config()
	if err != nil {
		return err
	}
	// A supervisor that was killed may have left what it made.
	if err := w.hierarchies.Cgroup(config.Cgroup).Remove(ctx); err != nil {
		return err
	}
	if err := w.freeNetwork(ctx, r); err != nil {
		return err
	}
	if err := w.freeProject(config.DiskProject); err != nil {
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return err
	}
	w.forget(handle)
	return w.removeVolumes(handle, r)
}

// config is that with which the container was made, by this server or an earlier one; of one
// that was not made yet it has the cgroup alone.
func (c *container) config() (agent.Config, error) {
	config, err := agent.ReadConfig(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return agent.Config{Cgroup: c.worker.cgroup(c.handle)}, nil
	}
	return config, err
}

// endHalfMade ends the supervisor of a container of which there is no more than dir: a
// server that was killed has begun to make it, and the supervisor may still go on with
// that, deaf to who would stop it.
func (w *Worker) endHalfMade(ctx context.Context, dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err := agent.EndSupervisors(ctx, dir)
	return err
}

// forget lets go of what a container that is gone had.
func (w *Worker) forget(handle string) {
	w.known.forget(handle)
	w.mu.Lock()
	client, releases := w.clients[handle], w.releases[handle]
	delete(w.clients, handle)
	delete(w.releases, handle)
	w.mu.Unlock()
	if client != nil {
		client.Close()
	}
	for _, release := range releases {
		release()
	}
}

// explain makes of what a supervisor says what package runtime promises.
func (c *container) explain(err error) error {
	return supervised.Explain(c.handle, err)
}
