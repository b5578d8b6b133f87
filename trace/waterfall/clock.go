package waterfall

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/terminal"
)

// shift is what a clock may be off, as one request tells it: the server's part lies
// within the client's, so that what is to be added to the server's clock is from
// least to most.
type shift struct{ least, most time.Duration }

func (s shift) width() time.Duration { return s.most - s.least }

// correctClocks brings the spans of all processes to the clock of the one at the
// top, as far as requests between them tell how their clocks differ.
func (t *tree) correctClocks() {
	if len(t.roots) == 0 {
		return
	}
	shifts := t.shifts()
	corrections := map[string]time.Duration{processOf(t.roots[0]): 0}
	// A process may be reached by way of another; with n of them n rounds reach all.
	for range shifts {
		for _, pair := range slices.SortedFunc(maps.Keys(shifts), comparePairs) {
			known, ok := corrections[pair.client]
			if _, done := corrections[pair.server]; !ok || done {
				continue
			}
			corrections[pair.server] = known + correction(shifts[pair])
		}
	}
	t.apply(corrections)
	t.note(corrections)
}

// processPair is a process that asked and one that was asked.
type processPair struct{ client, server string }

func comparePairs(a, b processPair) int {
	return cmp.Or(cmp.Compare(a.client, b.client), cmp.Compare(a.server, b.server))
}

// shifts gives what every request between processes tells of their clocks.
func (t *tree) shifts() map[processPair][]shift {
	shifts := map[processPair][]shift{}
	for n := range t.all() {
		if n.parent == nil || n.span.Kind != oteltrace.SpanKindServer || n.parent.span.Kind != oteltrace.SpanKindClient {
			continue
		}
		pair := processPair{processOf(n.parent), processOf(n)}
		s := shift{least: n.parent.from.Sub(n.from), most: n.parent.to.Sub(n.to)}
		// A client that went away before the answer was complete tells nothing.
		if pair.client != pair.server && s.least <= s.most {
			shifts[pair] = append(shifts[pair], s)
		}
	}
	return shifts
}

// correction gives what is to be added to a clock: nothing if that may be right, else
// the middle of what all requests allow, or of what the most exact of them does.
func correction(shifts []shift) time.Duration {
	all := shifts[0]
	exact := shifts[0]
	for _, s := range shifts {
		all = shift{max(all.least, s.least), min(all.most, s.most)}
		if s.width() < exact.width() {
			exact = s
		}
	}
	if all.least > all.most {
		all = exact
	}
	if all.least <= 0 && all.most >= 0 {
		return 0
	}
	return all.least + all.width()/2
}

// processOf names the process that a span was recorded in. What a task sent goes by
// the clock of the span that ran it.
func processOf(n *node) string {
	for n.task && n.parent != nil {
		n = n.parent
	}
	for _, key := range []attribute.Key{semconv.ServiceInstanceIDKey, semconv.ServiceNameKey} {
		if value, ok := n.span.Resource.Attribute(key); ok {
			return value.AsString()
		}
	}
	return ""
}

func (t *tree) apply(corrections map[string]time.Duration) {
	for n := range t.all() {
		by := corrections[processOf(n)]
		n.from, n.to = n.from.Add(by), n.to.Add(by)
	}
	t.sort()
}

// note says which clocks were corrected.
func (t *tree) note(corrections map[string]time.Duration) {
	names := map[string]string{}
	for n := range t.all() {
		if !n.task {
			names[processOf(n)] = serviceOf(n)
		}
	}
	for _, process := range slices.Sorted(maps.Keys(corrections)) {
		by := corrections[process]
		if by == 0 {
			continue
		}
		direction := "behind"
		if by < 0 {
			direction = "ahead"
		}
		t.clockNotes = append(t.clockNotes, fmt.Sprintf("the clock of %s is %s %s, which is corrected here", names[process], formatWords(by.Abs()), direction))
	}
}

func serviceOf(n *node) string {
	if name, ok := n.span.Resource.Attribute(semconv.ServiceNameKey); ok {
		return terminal.Line(name.AsString())
	}
	return "another process"
}
