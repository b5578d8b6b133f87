package kubernetes

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"midge/agent/pod"
)

// A node tells that a container runs when it looks at its containers next, about once a
// second. A pod may be reached before that. To ask costs the cluster something: so it is
// asked a few times, and only while few pods start.
const (
	reachAttempts = 4
	reachAfter    = 150 * time.Millisecond // and twice as long after each attempt
	fewStarting   = 4
)

// errReached is the cause of a context that ended because the pod was reached.
var errReached = errors.New("the pod was reached")

func isReached(ctx context.Context) bool { return context.Cause(ctx) == errReached }

// A reaching tries to reach a pod whose container is being started.
type reaching struct {
	try     func(ctx context.Context) (reached bool)
	reached context.CancelCauseFunc
	ended   chan struct{} // nil when it was not begun
}

// reachSoon gives a context that ends with errReached when try says that the pod is
// reached, after begin was called. Who calls it calls stop.
func reachSoon(ctx context.Context, try func(ctx context.Context) bool) (context.Context, *reaching) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &reaching{try: try, reached: cancel}
}

// begin begins to try. A second call changes nothing.
func (r *reaching) begin(ctx context.Context) {
	if r.ended != nil {
		return
	}
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		wait := reachAfter
		for range reachAttempts {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if r.try(ctx) {
				r.reached(errReached)
				return
			}
			wait *= 2
		}
	}()
}

// stop ends what begin has begun.
func (r *reaching) stop() {
	r.reached(context.Canceled)
	if r.ended != nil {
		<-r.ended
	}
}

// starting counts the containers that are being made.
func (w *Worker) starting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.creating)
}

// reachOnce tries to reach a pod that nobody has reached yet, and tells whether it was.
// The client for it is then the one that all use.
func (w *Worker) reachOnce(ctx context.Context, handle, name, program string) bool {
	var reached atomic.Bool
	client := pod.NewClient(func(ctx context.Context) (net.Conn, error) {
		if !reached.Load() {
			return w.execSoon(ctx, name, taskContainer, []string{program, pod.ModeConnect, pod.Dir})
		}
		return w.dialer(handle, name, program)(ctx)
	})
	if _, err := client.State(ctx); err != nil {
		client.Close()
		return false
	}
	reached.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clients[name] != nil {
		client.Close()
		return true
	}
	w.clients[name] = client
	return true
}
