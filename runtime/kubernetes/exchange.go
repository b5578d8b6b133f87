package kubernetes

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"midge/agent/pod"
	"midge/runtime"
	"midge/trace"
)

// Stored is an artifact whose tree is in a store, which has it by its content. Its
// handle is the tree's digest.
type Stored interface {
	runtime.Artifact

	// Objects serves the objects of this tree, and of no other: POST /fetch, as
	// package artifacts/transfer asks.
	Objects() http.Handler
}

var _ runtime.Taker = (*Worker)(nil)

// Takes implements runtime.Taker: pods get stored trees from the store.
func (w *Worker) Takes(artifact runtime.Artifact) bool {
	_, stored := artifact.(Stored)
	return stored
}

// A Gate lets pods in that exchange trees with this program by HTTP. Each has a token
// of its own, which is good for what is exchanged with it, and as long.
type Gate struct {
	mu   sync.Mutex
	open map[string]http.Handler
}

// NewGate makes a gate that nobody passes yet.
func NewGate() *Gate { return &Gate{open: make(map[string]http.Handler)} }

// let gives a path below the gate's own where a handler is served until close is called.
func (g *Gate) let(trees http.Handler) (path string, close func()) {
	token := rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[token] = trees
	return "/" + token, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.open, token)
	}
}

// ServeHTTP serves what has /TOKEN first in its path.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, rest, more := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	g.mu.Lock()
	trees := g.open[token]
	g.mu.Unlock()
	switch {
	case trees == nil:
		http.Error(w, "there is nothing here, or not any more", http.StatusNotFound)
	case !more && r.Method == http.MethodGet:
		w.WriteHeader(http.StatusNoContent) // so that a pod finds out that it reaches the gate
	default:
		http.StripPrefix(strings.TrimSuffix(r.URL.Path, "/"+rest), trees).ServeHTTP(w, r)
	}
}

// exchange has a container of a pod fetch and send trees, and gives their digests. An
// exchange that is cut is begun again: what has arrived is not moved twice.
func (w *Worker) exchange(ctx context.Context, handle, name, container string, order pod.Order, trees []http.Handler) (digests []string, err error) {
	ctx, span := trace.StartSpan(ctx, "exchange trees")
	defer func() { span.End(err) }()
	if w.options.ArtifactsURL != "" {
		path, close := w.options.Gate.let(pod.TreesHandler(trees))
		defer close()
		order.URL = w.options.ArtifactsURL + path
	}
	for attempt := 1; ; attempt++ {
		stream, err := w.dial(ctx, handle, name, container, pod.ModeExchange, pod.Dir)
		if err != nil {
			return nil, err
		}
		report, err := pod.Exchange(ctx, stream, order, trees)
		if report.Unreachable != "" {
			w.sayUnreachable(ctx, name, report.Unreachable)
		}
		if err == nil {
			span.Set(trace.Bytes(report.Bytes))
			return report.Digests, nil
		}
		if cut := (*pod.CutError)(nil); !errors.As(err, &cut) || attempt == attempts {
			return nil, err
		}
	}
}

// sayUnreachable says, once, that pods do not reach the URL they are told.
func (w *Worker) sayUnreachable(ctx context.Context, name, why string) {
	w.unreachable.Do(func() {
		w.options.Log.WarnContext(ctx, "a pod does not reach the server by the URL for artifacts, which go through the API server instead",
			"worker", w.Name(), "url", w.options.ArtifactsURL, "pod", name, "error", why)
	})
}

// sayWay says which way artifacts go, and what of them the nodes keep.
func (w *Worker) sayWay(ctx context.Context) {
	way := "through the API server"
	if w.options.ArtifactsURL != "" {
		way = w.options.ArtifactsURL
	}
	w.options.Log.InfoContext(ctx, "pods exchange artifacts with the server", "worker", w.Name(), "way", way, "cache", string(w.options.Cache))
}

// fetchInputs has a container of the pod fetch those inputs that are stored trees.
func (w *Worker) fetchInputs(ctx context.Context, spec runtime.ContainerSpec, name, container string, volumes []volume, order pod.Order) error {
	var trees []http.Handler
	for number, v := range volumes {
		if tree := storedInput(spec, v); tree != nil {
			order.Trees = append(order.Trees, pod.Tree{Volume: number, Digest: tree.Handle()})
			trees = append(trees, tree.Objects())
		}
	}
	if len(trees) == 0 {
		return nil
	}
	if _, err := w.exchange(ctx, spec.Handle, name, container, order, trees); err != nil {
		return fmt.Errorf("bring the inputs into pod %s: %w", name, err)
	}
	return nil
}

// storedInput gives the stored tree that a volume is to have, nil if it is none.
func storedInput(spec runtime.ContainerSpec, v volume) Stored {
	if v.Kind != inputVolume {
		return nil
	}
	tree, _ := artifactAt(spec, v.Path).(Stored)
	return tree
}

// Send sends the volume's tree to a store that lacks some of it, or all.
func (v *podVolume) Send(ctx context.Context, to http.Handler) (digest string, err error) {
	c := v.container
	order := pod.Order{Trees: []pod.Tree{{Volume: v.number}}}
	digests, err := c.worker.exchange(ctx, c.handle, c.pod, taskContainer, order, []http.Handler{to})
	if err != nil {
		return "", fmt.Errorf("send volume %s: %w", v.volume.Handle, err)
	}
	return digests[0], nil
}
