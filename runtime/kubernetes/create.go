package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"midge/agent/pod"
	"midge/runtime"
	"midge/trace"
)

// FindOrCreateContainer implements runtime.Worker.
func (w *Worker) FindOrCreateContainer(ctx context.Context, spec runtime.ContainerSpec) (_ runtime.Container, err error) {
	ctx, span := trace.StartSpan(ctx, "create container")
	defer func() { span.End(err) }()
	if err := w.checkSpec(spec); err != nil {
		return nil, err
	}
	done, err := w.beginCreating(ctx, spec.Handle)
	if err != nil {
		return nil, err
	}
	defer done()
	if found, err := w.findWhole(ctx, spec.Handle); found != nil || err != nil {
		return found, err
	}
	return w.create(ctx, spec)
}

// beginCreating waits until nobody else makes the container of that handle.
func (w *Worker) beginCreating(ctx context.Context, handle string) (done func(), err error) {
	for {
		w.mu.Lock()
		others := w.creating[handle]
		if others == nil {
			own := make(chan struct{})
			w.creating[handle] = own
			w.mu.Unlock()
			return func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				delete(w.creating, handle)
				close(own)
			}, nil
		}
		w.mu.Unlock()
		select {
		case <-others:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// findWhole gives the container of that handle, nil when there is none. One that a
// server left half made is removed.
func (w *Worker) findWhole(ctx context.Context, handle string) (runtime.Container, error) {
	found, err := w.findPod(ctx, handle)
	if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := w.container(found)
	if err != nil {
		return nil, err
	}
	switch found.Status.Phase {
	case corev1.PodRunning:
		state, err := c.client.State(ctx)
		if err != nil {
			return nil, c.explain(err)
		}
		if state.Ready {
			return c, nil
		}
	case corev1.PodSucceeded, corev1.PodFailed:
		return c, nil // which says why when something is asked of it
	}
	return nil, w.removePod(ctx, found.Name)
}

// create makes the container's pod, and has it started and filled. On an error nothing of it stays.
func (w *Worker) create(ctx context.Context, spec runtime.ContainerSpec) (runtime.Container, error) {
	img, err := w.imageOf(spec.Image)
	if err != nil {
		return nil, err
	}
	p, err := w.podOf(spec, img)
	if err != nil {
		return nil, err
	}
	c, err := w.start(ctx, spec, p, img)
	if err == nil {
		err = c.fill(ctx, spec)
	}
	if err == nil {
		return c, nil
	}
	return nil, errors.Join(err, w.removeUp(ctx, p.Name, img))
}

// podOf gives the pod of a container, as the templates have it.
func (w *Worker) podOf(spec runtime.ContainerSpec, img image) (*corev1.Pod, error) {
	volumes, err := w.volumesFor(spec)
	if err != nil {
		return nil, err
	}
	p, err := w.newPod(spec, newPodName(w.Name(), spec.Handle), img.reference, volumes)
	if err != nil {
		return nil, err
	}
	switch {
	case w.shares(volumes):
		w.share(p, spec)
	case w.keepsProgram(spec, volumes):
		w.keepProgram(p)
	}
	return w.placed(p, spec.Tags)
}

// start makes the pod and waits until it runs.
func (w *Worker) start(ctx context.Context, spec runtime.ContainerSpec, p *corev1.Pod, img image) (*container, error) {
	say := progress{tell: spec.Progress, timeout: w.options.StartTimeout}
	p, err := w.bringUp(ctx, spec.Handle, p, img, &say)
	if err != nil {
		return nil, err
	}
	c, err := w.container(p)
	if err != nil {
		return nil, err
	}
	if _, err := c.client.State(ctx); err != nil {
		return nil, c.explain(err)
	}
	if img.username != "" {
		// It is of no use any more.
		if err := w.removeSecret(ctx, p.Name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// bringUp makes the pod and waits until its container runs. One that its node does not take
// is made again, for the scheduler to find another node, and so is one whose node lacks
// the program that it begins with.
func (w *Worker) bringUp(ctx context.Context, handle string, p *corev1.Pod, img image, say *progress) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, w.options.StartTimeout, errStartTimeout)
	defer cancel()
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		up, err := w.bringUpOnce(ctx, handle, w.withKeptProgram(p), img, say)
		refused := (*PodError)(nil)
		lacks := errors.Is(err, errNoProgram)
		switch {
		case err == nil:
			w.learnProgram(up)
			return up, nil
		case lacks:
			w.kept.lack(time.Now())
		case errors.As(err, &refused) && refused.passes:
			say.waiting(err.Error())
		default:
			return nil, err
		}
		if err := w.removeUp(ctx, p.Name, img); err != nil {
			return nil, err
		}
		p.Name = newPodName(w.Name(), handle)
		if lacks {
			continue // with the program
		}
		select {
		case <-ctx.Done():
			return nil, say.ended(ctx)
		case <-time.After(wait):
		}
	}
}

func (w *Worker) bringUpOnce(ctx context.Context, handle string, p *corev1.Pod, img image, say *progress) (*corev1.Pod, error) {
	p, err := w.withSecret(ctx, handle, p, img, say)
	if err != nil {
		return nil, err
	}
	made, err := w.makePod(ctx, p, say)
	if err != nil {
		return nil, err
	}
	if err := w.ownSecret(ctx, made, img); err != nil {
		return nil, err
	}
	return w.await(ctx, handle, made, say)
}

// removeUp removes a pod, and the secret to pull its image with.
func (w *Worker) removeUp(ctx context.Context, name string, img image) error {
	ctx = context.WithoutCancel(ctx)
	err := w.removePod(ctx, name)
	if img.username != "" {
		err = errors.Join(err, w.removeSecret(ctx, name))
	}
	return err
}

// makePod makes a pod, again while what refuses it may pass.
func (w *Worker) makePod(ctx context.Context, p *corev1.Pod, say *progress) (made *corev1.Pod, err error) {
	ctx, span := trace.StartSpan(ctx, "create pod")
	defer func() { span.End(err) }()
	failed, tried := w.noteQuota(say.notYet)
	defer tried()
	err = w.requestFor(ctx, untilDone, failed, func(ctx context.Context) (err error) {
		made, err = w.client.Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // by a request whose answer was lost
			made, err = w.client.Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		}
		return err
	})
	switch {
	case err == nil:
		return made, nil
	case ctx.Err() != nil:
		return nil, say.ended(ctx)
	}
	return nil, w.explainCreate(err)
}

// fill brings what the container is to have into its pod.
func (c *container) fill(ctx context.Context, spec runtime.ContainerSpec) error {
	brought, err := c.fetch(ctx, spec)
	if err != nil {
		return fmt.Errorf("bring the inputs into pod %s: %w", c.pod, err)
	}
	var all sync.WaitGroup
	errs := make([]error, len(c.volumes))
	for number, v := range c.volumes {
		if !brought[number] {
			all.Go(func() { errs[number] = c.fillVolume(ctx, spec, number, v) })
		}
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	config := pod.Config{Dir: spec.Dir, Env: spec.Env, User: spec.User, Privileged: spec.Privileged}
	for _, v := range c.volumes {
		config.Volumes = append(config.Volumes, pod.Volume{Path: v.Target, Own: v.Kind != inputVolume})
	}
	if err := c.client.Configure(ctx, config); err != nil {
		return c.explain(err)
	}
	return nil
}

func (c *container) fillVolume(ctx context.Context, spec runtime.ContainerSpec, number int, v volume) (err error) {
	switch v.Kind {
	case inputVolume:
		ctx, span := trace.StartSpan(ctx, "stream input", trace.Digest(v.Parent))
		defer func() { span.End(err) }()
		if err := c.streamArtifact(ctx, number, artifactAt(spec, v.Path)); err != nil {
			return fmt.Errorf("bring input %q: %w", v.Path, err)
		}
	case cacheVolume:
		if err := c.bringCache(ctx, number, v.Key); err != nil {
			return fmt.Errorf("bring cache %q: %w", v.Path, err)
		}
	}
	return nil
}

func artifactAt(spec runtime.ContainerSpec, path string) runtime.Artifact {
	for _, input := range spec.Inputs {
		if input.Path == path {
			return input.Artifact
		}
	}
	return nil
}

// attempts is how often a stream is sent that is cut on its way.
const attempts = 5

// streamArtifact sends all of an artifact into a volume, from the start when it is cut.
func (c *container) streamArtifact(ctx context.Context, number int, artifact runtime.Artifact) error {
	for attempt := 1; ; attempt++ {
		stream, err := artifact.StreamOut(ctx, ".")
		if err != nil {
			return err
		}
		err = errors.Join(c.client.StreamIn(ctx, number, ".", stream), stream.Close())
		if cut := (*pod.CutError)(nil); !errors.As(err, &cut) || attempt == attempts {
			return err
		}
	}
}

// removePod removes a pod and what goes with it. One that is gone is no error.
func (w *Worker) removePod(ctx context.Context, name string) error {
	err := w.request(ctx, func(ctx context.Context) error {
		return w.client.Pods(w.options.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete pod %s: %w", name, explainRequest(err))
	}
	w.mu.Lock()
	client := w.clients[name]
	w.mu.Unlock()
	if client != nil {
		// At once, and not when the kubelet gets to it. That it is told the other way is no matter.
		_ = w.attempt(ctx, client.Quit)
	}
	w.forget(name)
	return nil
}
