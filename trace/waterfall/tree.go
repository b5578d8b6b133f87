package waterfall

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/terminal"
	"midge/trace"
	"midge/trace/otlp"
)

// tree is a trace on its way to a picture.
type tree struct {
	id    oteltrace.TraceID
	roots []*node

	wall, critical time.Duration
	clockNotes     []string
}

// kind is what a node stands for.
type kind uint8

const (
	oneSpan kind = iota
	gap          // time of its parent in which nothing below that was going on
	alike        // siblings of the same name
	rest         // siblings that are too short to be shown
)

// node is a span, or what stands for some, or for none.
type node struct {
	kind     kind
	span     *otlp.Span // of oneSpan
	name     string
	parent   *node
	children []*node

	from, to time.Time
	reach    time.Time // when it or the last of those below it ended

	count  int           // the spans it stands for
	sum    time.Duration // of their durations
	failed int           // how many of them failed
	parts  []interval    // where they are, when they are several

	message  string // why it failed
	critical bool
	details  bool // only those who ask for all are to see it
	task     bool // a task sent it
}

// interval is a part of the time of a trace.
type interval struct{ from, to time.Time }

func (n *node) duration() time.Duration { return n.to.Sub(n.from) }

// newTree makes a tree of spans. Of spans with the same id it takes the first that no
// task sent. A span whose parent is not there comes below the span that ran its
// task, else to the top; so do those that are each other's parents.
func newTree(spans []otlp.Span) *tree {
	index := map[oteltrace.SpanID]*node{}
	var nodes []*node
	for i := range spans {
		if spans[i].End.IsZero() {
			continue
		}
		n := newNode(&spans[i])
		if other := index[spans[i].SpanID]; other == nil {
			nodes = append(nodes, n)
			index[spans[i].SpanID] = n
		} else if other.task && !n.task {
			*other = *n
		}
	}
	t := new(tree)
	for _, n := range nodes {
		t.place(n, index)
	}
	t.sort()
	if len(t.roots) > 0 {
		t.id = t.roots[0].span.TraceID
	}
	return t
}

func newNode(span *otlp.Span) *node {
	n := &node{span: span, name: terminal.Line(span.Name), from: span.Start, to: span.End, count: 1}
	if n.from.IsZero() || n.to.Before(n.from) {
		n.from = n.to
	}
	n.sum = n.duration()
	if span.Status == codes.Error {
		n.failed = 1
		n.message = terminal.Line(cmp.Or(span.Message, "it failed"))
	}
	_, n.task = span.Attribute(otlp.Origin)
	level, _ := span.Attribute(trace.LevelKey)
	n.details = level == trace.Debug.Value
	return n
}

// title is what a node is called in a picture. Builds are told apart by their numbers,
// which are no part of a span's name.
func (n *node) title() string {
	if n.kind == oneSpan && n.name == "build" && !n.task {
		if id, ok := n.span.Attribute(trace.BuildKey); ok {
			return n.name + " " + terminal.Line(id.AsString())
		}
	}
	return n.name
}

// place puts a node below its parent, unless that is below it already.
func (t *tree) place(n *node, index map[oteltrace.SpanID]*node) {
	parent := index[n.span.ParentID]
	if parent == nil {
		parent = index[originOf(n.span)]
	}
	for above := parent; above != nil; above = above.parent {
		if above == n {
			parent = nil
			break
		}
	}
	n.parent = parent
	if parent == nil {
		t.roots = append(t.roots, n)
		return
	}
	parent.children = append(parent.children, n)
}

// originOf gives the span that ran the task that sent a span.
func originOf(span *otlp.Span) oteltrace.SpanID {
	value, ok := span.Attribute(otlp.Origin)
	if !ok {
		return oteltrace.SpanID{}
	}
	id, err := oteltrace.SpanIDFromHex(value.AsString())
	if err != nil {
		return oteltrace.SpanID{}
	}
	return id
}

// sort brings siblings into the order of time.
func (t *tree) sort() {
	byStart := func(a, b *node) int {
		return cmp.Or(a.from.Compare(b.from), b.to.Compare(a.to), cmp.Compare(a.name, b.name))
	}
	slices.SortStableFunc(t.roots, byStart)
	for n := range t.all() {
		slices.SortStableFunc(n.children, byStart)
	}
}

// all gives every node, parents before their children.
func (t *tree) all() iter.Seq[*node] {
	return func(yield func(*node) bool) {
		waiting := slices.Clone(t.roots)
		slices.Reverse(waiting)
		for len(waiting) > 0 {
			n := waiting[len(waiting)-1]
			waiting = waiting[:len(waiting)-1]
			if !yield(n) {
				return
			}
			for _, child := range slices.Backward(n.children) {
				waiting = append(waiting, child)
			}
		}
	}
}

// bounds gives when the trace began and ended.
func (t *tree) bounds() interval {
	var bounds interval
	for n := range t.all() {
		if bounds.to.IsZero() || n.from.Before(bounds.from) {
			bounds.from = n.from
		}
		if n.to.After(bounds.to) {
			bounds.to = n.to
		}
	}
	return bounds
}

// confineTasks brings what tasks sent into the time of the span that it is below,
// for a task can say anything.
func (t *tree) confineTasks() {
	for n := range t.all() {
		if n.task && n.parent != nil {
			n.from = within(n.from, n.parent)
			n.to = within(n.to, n.parent)
		}
	}
}

func within(moment time.Time, n *node) time.Time {
	if moment.Before(n.from) {
		return n.from
	}
	if moment.After(n.to) {
		return n.to
	}
	return moment
}

// hideDetails takes requests and statements out and puts what is below them in their
// place. A command that has nothing else below it keeps them.
func (t *tree) hideDetails() {
	shown := 0
	for n := range t.all() {
		if !n.details {
			shown++
		}
	}
	if shown <= 1 {
		return
	}
	t.roots = t.lift(nil, t.roots)
}

// lift gives what is to be shown of siblings.
func (t *tree) lift(parent *node, siblings []*node) []*node {
	var shown []*node
	for _, n := range siblings {
		if n.details {
			shown = append(shown, t.lift(parent, n.children)...)
			continue
		}
		n.parent = parent
		n.children = t.lift(n, n.children)
		shown = append(shown, n)
	}
	slices.SortStableFunc(shown, func(a, b *node) int { return a.from.Compare(b.from) })
	return shown
}
