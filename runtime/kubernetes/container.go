package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"midge/agent/pod"
	"midge/runtime"
	"midge/runtime/supervised"
	"midge/trace"
)

// A container is a runtime.Container: a pod.
type container struct {
	worker  *Worker
	handle  string
	pod     string
	program string // the path of midge-agent in the task's container
	client  *pod.Client
	volumes []volume
	shares  bool // its pod has the cache
}

func (w *Worker) container(p *corev1.Pod) (*container, error) {
	c := &container{worker: w, handle: p.Annotations[annotationContainer], pod: p.Name, program: programOf(p), shares: hasCache(p)}
	if err := json.Unmarshal([]byte(p.Annotations[annotationVolumes]), &c.volumes); err != nil {
		return nil, fmt.Errorf("pod %s does not say what its volumes are: %w", p.Name, err)
	}
	c.client = w.podClient(c.handle, c.pod, c.program)
	return c, nil
}

func (c *container) Handle() string { return c.handle }

// process gives the process of that id, which was started.
func (c *container) process(id string) runtime.Process {
	return supervised.Process(processes{c.client, c}, id, c.explain)
}

func (c *container) Run(ctx context.Context, spec runtime.ProcessSpec) (_ runtime.Process, err error) {
	ctx, span := trace.StartSpan(ctx, "start process")
	defer func() { span.End(err) }()
	if spec.ID == runtime.TaskProcessID && spec.Path == "" {
		return nil, &runtime.SpecError{Message: fmt.Sprintf(
			"worker %q is a cluster, which does not know what an image runs of itself: say by run.path what to run", c.worker.Name())}
	}
	if err := c.client.Run(ctx, supervised.Spec(spec)); err != nil {
		return nil, c.explain(err)
	}
	return c.process(spec.ID), nil
}

func (c *container) Attach(ctx context.Context, id string) (runtime.Process, error) {
	if _, err := c.client.Process(ctx, id); err != nil && !isLogged(id, err) {
		return nil, c.explain(err)
	}
	return c.process(id), nil
}

func (c *container) Processes(ctx context.Context) ([]string, error) {
	ids, err := c.client.Processes(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	return ids, nil
}

func (c *container) Stop(ctx context.Context, grace time.Duration) error {
	if err := c.client.Stop(ctx, grace); err != nil {
		return fmt.Errorf("stop container %s: %w", c.handle, c.explain(err))
	}
	return nil
}

func (c *container) Destroy(ctx context.Context) (err error) {
	ctx, span := trace.StartSpan(ctx, "destroy container")
	defer func() { span.End(err) }()
	if err := c.worker.removePod(ctx, c.pod); err != nil {
		return fmt.Errorf("destroy container %s: %w", c.handle, err)
	}
	return nil
}

// Volume implements runtime.Container.
func (c *container) Volume(ctx context.Context, path string) (runtime.Volume, error) {
	if _, err := c.worker.findPod(ctx, c.handle); err != nil {
		return nil, err
	}
	for number, v := range c.volumes {
		if v.Kind != workVolume && (v.Path == path || v.Target == path) {
			return &podVolume{container: c, number: number, volume: v}, nil
		}
	}
	return nil, &runtime.NotFoundError{Kind: "volume", Name: path}
}

// explain makes of what a pod says what package runtime promises.
func (c *container) explain(err error) error {
	if errors.Is(err, pod.ErrClosed) {
		return &runtime.NotFoundError{Kind: "container", Name: c.handle}
	}
	return supervised.Explain(c.handle, err)
}
