package waterfall

import (
	"slices"
	"time"
)

// measure notes how long the whole of it took.
func (t *tree) measure() {
	bounds := t.bounds()
	t.wall = bounds.to.Sub(bounds.from)
}

// markCriticalPath marks the spans that the end of the trace waited for: from the end
// back, always that one of the siblings going on that was the last to end. Its length
// is that of those spans on it that have none below them.
func (t *tree) markCriticalPath() {
	for n := range t.all() {
		n.reach = n.to
		for above := n.parent; above != nil && above.reach.Before(n.to); above = above.parent {
			above.reach = n.to
		}
	}
	// Of a server's spans alone a request that watched the build is beside it, and
	// nothing waited for that.
	roots := slices.DeleteFunc(slices.Clone(t.roots), func(n *node) bool { return n.onlyDetails() })
	if len(roots) == 0 {
		roots = t.roots
	}
	t.critical = markPath(roots, t.bounds().to)
}

// onlyDetails tells whether a node, and all below it, are for those alone who ask for all.
func (n *node) onlyDetails() bool {
	return n.details && !slices.ContainsFunc(n.children, func(child *node) bool { return !child.onlyDetails() })
}

// markPath marks the siblings on the critical path until end, and what is on it below
// them, and gives its length.
func markPath(siblings []*node, end time.Time) time.Duration {
	var length time.Duration
	byEnd := slices.Clone(siblings)
	slices.SortStableFunc(byEnd, func(a, b *node) int { return b.reach.Compare(a.reach) })
	for _, n := range byEnd {
		// One that began later was not waited for. One that went on beyond what
		// waited for it counts for as long as that waited.
		if !n.from.Before(end) {
			continue
		}
		until := earlier(n.reach, end)
		n.critical = true
		if len(n.children) == 0 {
			length += until.Sub(n.from)
		} else {
			length += markPath(n.children, until)
		}
		end = n.from
	}
	return length
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// covered gives the time of a node in which one of its children was going on, in
// parts that do not touch.
func (n *node) covered() []interval {
	var covered []interval
	for _, child := range n.children {
		part := interval{within(child.from, n), within(child.to, n)}
		if len(covered) > 0 && !part.from.After(covered[len(covered)-1].to) {
			last := &covered[len(covered)-1]
			if part.to.After(last.to) {
				last.to = part.to
			}
			continue
		}
		covered = append(covered, part)
	}
	return covered
}

// own gives how long a node took without those below it.
func (n *node) own() time.Duration {
	own := n.duration()
	for _, part := range n.covered() {
		own -= part.to.Sub(part.from)
	}
	return own
}

// addGaps adds a row for each time of 100 ms, or of a twentieth of the whole, in which
// a span went on and none of those below it did.
func (t *tree) addGaps() {
	const long = 100 * time.Millisecond
	least := min(long, t.wall/20)
	for n := range t.all() {
		if n.kind != oneSpan || len(n.children) == 0 {
			continue
		}
		for _, missing := range n.gaps() {
			if length := missing.to.Sub(missing.from); length >= least && length > 0 {
				n.children = append(n.children, &node{kind: gap, name: "(gap)", parent: n, from: missing.from, to: missing.to})
			}
		}
		slices.SortStableFunc(n.children, func(a, b *node) int { return a.from.Compare(b.from) })
	}
}

// gaps gives the time of a node that is not covered.
func (n *node) gaps() []interval {
	var gaps []interval
	at := n.from
	for _, part := range n.covered() {
		if part.from.After(at) {
			gaps = append(gaps, interval{at, part.from})
		}
		at = part.to
	}
	if n.to.After(at) {
		gaps = append(gaps, interval{at, n.to})
	}
	return gaps
}
