package waterfall

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// fewest is how many siblings alike are drawn as one.
const fewest = 5

// foldAlike puts one node in the place of many siblings that are called the same and
// ended the same.
func (t *tree) foldAlike() {
	t.roots = foldSiblings(nil, t.roots)
	for n := range t.all() {
		n.children = foldSiblings(n, n.children)
	}
}

func foldSiblings(parent *node, siblings []*node) []*node {
	type likeness struct {
		name   string
		failed bool
	}
	of := func(n *node) likeness { return likeness{n.name, n.failed > 0} }
	counts := map[likeness]int{}
	for _, n := range siblings {
		if n.kind == oneSpan {
			counts[of(n)]++
		}
	}
	folds := map[likeness]*node{}
	var kept []*node
	for _, n := range siblings {
		if n.kind != oneSpan || counts[of(n)] < fewest {
			kept = append(kept, n)
			continue
		}
		fold := folds[of(n)]
		if fold == nil {
			fold = &node{kind: alike, parent: parent, from: n.from, to: n.to, message: n.message}
			folds[of(n)] = fold
			kept = append(kept, fold)
		}
		fold.add(n)
		fold.name = fmt.Sprintf("%s x%d", n.name, fold.count)
	}
	return kept
}

// add makes a node stand for another too.
func (n *node) add(other *node) {
	n.count += other.count
	n.sum += other.sum
	n.failed += other.failed
	n.critical = n.critical || other.critical
	n.from = earlier(n.from, other.from)
	if other.to.After(n.to) {
		n.to = other.to
	}
	if len(other.parts) > 0 {
		n.parts = append(n.parts, other.parts...)
	} else {
		n.parts = append(n.parts, interval{other.from, other.to})
	}
}

// foldUntil folds the shortest spans of the trace until it has at most so many rows,
// those that failed last. Below every span there is one row for what was folded there.
func (t *tree) foldUntil(rows int) {
	var weights []time.Duration
	count := 0
	for n := range t.all() {
		count++
		weights = append(weights, n.weight())
	}
	if count <= rows {
		return
	}
	slices.Sort(weights)
	// The more weight is asked for the fewer rows stay: find the least that is enough.
	i, _ := slices.BinarySearchFunc(weights, rows, func(least time.Duration, rows int) int {
		if t.rowsFrom(least) <= rows {
			return 1
		}
		return -1
	})
	least := weights[min(i, len(weights)-1)]
	t.roots = foldLight(nil, t.roots, least)
}

// weight is what decides whether a node is shown: how long it took, and among those
// whether something of it failed.
func (n *node) weight() time.Duration {
	const failure = 365 * 24 * time.Hour
	if n.failed > 0 {
		return n.duration() + failure
	}
	return n.duration()
}

// rowsFrom counts the rows if only nodes of a weight were shown.
func (t *tree) rowsFrom(least time.Duration) int { return countRows(t.roots, least) }

func countRows(siblings []*node, least time.Duration) int {
	rows, light := 0, 0
	for _, n := range siblings {
		if n.weight() < least {
			if n.kind != gap {
				light = 1
			}
			continue
		}
		rows += 1 + countRows(n.children, least)
	}
	return rows + light
}

func foldLight(parent *node, siblings []*node, least time.Duration) []*node {
	var kept []*node
	var fold *node
	for _, n := range siblings {
		if n.weight() >= least {
			n.children = foldLight(n, n.children, least)
			kept = append(kept, n)
			continue
		}
		if n.kind == gap {
			continue // it stands for no span, and is not worth a row
		}
		if fold == nil {
			fold = &node{kind: rest, parent: parent, from: n.from, to: n.to}
			kept = append(kept, fold)
		}
		fold.add(n)
		below := n.below()
		fold.count += below
	}
	if fold != nil {
		fold.name = fmt.Sprintf("+ %d shorter", fold.count)
	}
	slices.SortStableFunc(kept, func(a, b *node) int { return cmp.Or(a.from.Compare(b.from)) })
	return kept
}

// below counts the spans below a node.
func (n *node) below() int {
	count := 0
	for _, child := range n.children {
		count += child.count + child.below()
	}
	return count
}
