package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"sync"
)

// An offeredTree is what is in a volume of a pod, for other pods to fetch by its content.
type offeredTree struct {
	*podVolume
	digest string

	mu      sync.Mutex
	offered bool // the pod's first process serves it
}

// offer gives what is in the volume now as a tree, nil if it can be none: where a socket
// is in it, or somebody writes. Then it has to be streamed. In a cache that the pod shares
// the tree's objects are there afterwards.
func (v *podVolume) offer(ctx context.Context) Stored {
	t := &offeredTree{podVolume: v}
	var err error
	if v.container.shares {
		// Who has all of it is sent nothing.
		all := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
		t.digest, err = v.Send(ctx, all)
	} else {
		t.digest, err = v.container.client.Offer(ctx, v.number)
		t.offered = true
	}
	if err != nil {
		v.container.worker.options.Log.InfoContext(ctx, "a volume goes from pod to pod as an archive", "worker", v.container.worker.Name(),
			"volume", v.volume.Handle, "error", err)
		return nil
	}
	return t
}

// Handle gives the tree's digest.
func (t *offeredTree) Handle() string { return t.digest }

// Objects serves what pods lack that do not share a cache with the volume's.
func (t *offeredTree) Objects() http.Handler {
	objects := t.container.client.Offered(t.digest)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := t.serve(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		objects.ServeHTTP(w, r)
	})
}

// serve has the pod's first process serve the tree, when somebody lacks some of it.
func (t *offeredTree) serve(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.offered {
		return nil
	}
	digest, err := t.container.client.Offer(ctx, t.number)
	if err != nil {
		return fmt.Errorf("volume %s: %w", t.volume.Handle, t.container.explain(err))
	}
	if digest != t.digest {
		return fmt.Errorf("volume %s has changed while it was handed on", t.volume.Handle)
	}
	t.offered = true
	return nil
}

var _ Stored = (*offeredTree)(nil)
