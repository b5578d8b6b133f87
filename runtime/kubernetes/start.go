package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"midge/trace"
)

// errStartTimeout is the cause of a context that ended because a pod took too long.
var errStartTimeout = errors.New("the pod did not start in time")

// progress tells what a pod waits for while it starts.
type progress struct {
	tell    func(line string) // may be nil
	timeout time.Duration
	last    string
}

// waiting tells what is waited for, once.
func (p *progress) waiting(reason string) {
	if reason == "" || reason == p.last {
		return
	}
	p.last = reason
	if p.tell != nil {
		p.tell(reason)
	}
}

// notYet tells that the cluster does not take what is to be made.
func (p *progress) notYet(err error) {
	p.waiting("the cluster takes no pod yet: " + oneLine(err.Error()))
}

// ended gives why no longer is waited.
func (p *progress) ended(ctx context.Context) error {
	if context.Cause(ctx) != errStartTimeout {
		return ctx.Err()
	}
	if p.last == "" {
		return fmt.Errorf("the pod did not start within %s, and the cluster does not say why", p.timeout)
	}
	return fmt.Errorf("the pod did not start within %s: %s", p.timeout, p.last)
}

// phase is how far a pod has come, each a span of its own.
type phase string

const (
	phaseScheduling   phase = "schedule pod"
	phasePulling      phase = "pull image"
	phaseInitializing phase = "bring midge-agent"
	phaseStarting     phase = "start container"
	phaseRunning      phase = ""
)

// await waits until a pod's container runs. What the pod cannot recover from is an error
// at once.
func (w *Worker) await(ctx context.Context, handle string, p *corev1.Pod, say *progress) (_ *corev1.Pod, err error) {
	spans := phases{ctx: ctx}
	defer func() { spans.end(err) }()
	watching := podWatch{worker: w}
	defer watching.stop()
	name, program := p.Name, programOf(p)
	ctx, reaching := reachSoon(ctx, func(ctx context.Context) bool { return w.reachOnce(ctx, handle, name, program) })
	defer reaching.stop()
	for {
		at, reason, err := observe(p)
		if err != nil {
			return nil, err
		}
		spans.enter(at)
		if at == phaseRunning {
			return p, nil
		}
		if at == phaseStarting && reason == "" && w.starting() <= fewStarting {
			reaching.begin(ctx)
		}
		say.waiting(reason)
		next, err := w.awaitChange(ctx, &watching, p, say)
		switch {
		case err == nil:
			p = next
		case isReached(ctx):
			return p, nil
		case ctx.Err() != nil:
			return nil, say.ended(ctx)
		default:
			return nil, err
		}
	}
}

// phases has a span for what a pod is at.
type phases struct {
	ctx  context.Context
	at   phase
	span trace.Span
}

func (s *phases) enter(at phase) {
	if at == s.at {
		return
	}
	s.end(nil)
	s.at = at
	if at != phaseRunning {
		_, s.span = trace.StartSpan(s.ctx, string(at))
	}
}

func (s *phases) end(err error) {
	if s.at != phaseRunning {
		s.span.End(err)
	}
}

// awaitChange gives a pod when it is another than before.
func (w *Worker) awaitChange(ctx context.Context, watching *podWatch, before *corev1.Pod, say *progress) (*corev1.Pod, error) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		if p := watching.next(ctx, before); p != nil {
			return p, nil
		}
		// The watch has ended, or begins too long ago, cannot be had now, or has told nothing.
		p, err := w.getPod(ctx, before.Name)
		switch {
		case err == nil && p.ResourceVersion != before.ResourceVersion:
			watching.stop() // which may have yet to tell of what was before
			return p, nil
		case apierrors.IsNotFound(err):
			return nil, &PodError{Pod: before.Name, Message: fmt.Sprintf("pod %s was deleted while it started", before.Name)}
		case err != nil && !passes(err):
			return nil, fmt.Errorf("look at pod %s: %w", before.Name, explainRequest(err))
		case err != nil && ctx.Err() == nil:
			say.waiting("the cluster does not say how the pod is: " + oneLine(err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (w *Worker) getPod(ctx context.Context, name string) (*corev1.Pod, error) {
	var p *corev1.Pod
	err := w.attempt(ctx, func(ctx context.Context) (err error) {
		p, err = w.client.Pods(w.options.Namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	return p, err
}
