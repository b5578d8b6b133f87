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

// Takes implements runtime.Taker: pods get stored trees from the store, and volumes of
// other pods from those.
func (w *Worker) Takes(artifact runtime.Artifact) bool {
	switch artifact.(type) {
	case Stored, *podVolume:
		return true
	default:
		return false
	}
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

// exchange has a container's pod fetch and send trees, and gives their digests. An
// exchange that is cut is begun again: what has arrived is not moved twice.
func (c *container) exchange(ctx context.Context, order pod.Order, trees []http.Handler) (digests []string, err error) {
	ctx, span := trace.StartSpan(ctx, "exchange trees")
	defer func() { span.End(err) }()
	w, in, program := c.worker, taskContainer, c.program
	if c.shares {
		in, program, order.Cache = cacheContainer, pod.Program, cachePath
		state, err := c.client.State(ctx)
		if err != nil {
			return nil, c.explain(err)
		}
		order.Owner = state.User
	}
	if w.options.ArtifactsURL != "" && len(trees) > 0 {
		path, close := w.options.Gate.let(pod.TreesHandler(trees))
		defer close()
		order.URL = w.options.ArtifactsURL + path
	}
	for attempt := 1; ; attempt++ {
		stream, err := w.dial(ctx, c.handle, c.pod, nil, in, program, pod.ModeExchange, pod.Dir)
		if err != nil {
			return nil, err
		}
		report, err := pod.Exchange(ctx, stream, order, trees)
		if report.Unreachable != "" {
			w.sayUnreachable(ctx, c.pod, report.Unreachable)
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

// fetch has a container's pod get what it is to have and others have by its content, or
// the cache has, and tells which volumes need nothing more.
func (c *container) fetch(ctx context.Context, spec runtime.ContainerSpec) (brought map[int]bool, err error) {
	var order pod.Order
	var trees []http.Handler
	brought = make(map[int]bool)
	for number, tree := range c.inputTrees(ctx, spec) {
		order.Trees = append(order.Trees, pod.Tree{Volume: number, Digest: tree.Handle()})
		trees = append(trees, tree.Objects())
		brought[number] = true
	}
	for number, v := range c.volumes {
		if v.Kind != cacheVolume || !c.shares {
			continue
		}
		name, err := c.worker.cacheNames.use(v.Key)
		if err != nil {
			return nil, err
		}
		if name != "" {
			order.Caches = append(order.Caches, pod.TaskCache{Volume: number, Name: name})
		}
		brought[number] = true
	}
	if len(order.Trees) == 0 && len(order.Caches) == 0 {
		return brought, nil
	}
	_, err = c.exchange(ctx, order, trees)
	return brought, err
}

// inputTrees gives the inputs that can be fetched by their content, by the numbers of
// their volumes.
func (c *container) inputTrees(ctx context.Context, spec runtime.ContainerSpec) map[int]Stored {
	var all sync.WaitGroup
	trees := make([]Stored, len(c.volumes))
	for number, v := range c.volumes {
		if v.Kind != inputVolume {
			continue
		}
		switch artifact := artifactAt(spec, v.Path).(type) {
		case Stored:
			trees[number] = artifact
		case *podVolume:
			all.Go(func() { trees[number] = artifact.offer(ctx) })
		}
	}
	all.Wait()
	found := make(map[int]Stored)
	for number, tree := range trees {
		if tree != nil {
			found[number] = tree
		}
	}
	return found
}

// Send sends the volume's tree to a store that lacks some of it, or all.
func (v *podVolume) Send(ctx context.Context, to http.Handler) (digest string, err error) {
	order := pod.Order{Trees: []pod.Tree{{Volume: v.number}}}
	digests, err := v.container.exchange(ctx, order, []http.Handler{to})
	if err != nil {
		return "", fmt.Errorf("send volume %s: %w", v.volume.Handle, err)
	}
	return digests[0], nil
}
