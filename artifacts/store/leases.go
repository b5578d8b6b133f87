package store

import (
	"sync"
	"time"

	"midge/artifacts"
)

// leases are the trees that must stay though no row may name them: those being
// read, made into a directory or committed, and those that were so a moment ago,
// for their row may not be written yet.
type leases struct {
	grace time.Duration

	mu    sync.Mutex
	held  map[artifacts.Digest]int
	until map[artifacts.Digest]time.Time
	// touched gathers, during a collection, every tree that is leased at some
	// moment of it; nil when there is none.
	touched map[artifacts.Digest]struct{}
}

func (l *leases) init(grace time.Duration) {
	l.grace = grace
	l.held = make(map[artifacts.Digest]int)
	l.until = make(map[artifacts.Digest]time.Time)
}

// hold keeps a tree until release is called, and for the grace after.
func (l *leases) hold(root artifacts.Digest) (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[root]++
	l.touch(root)
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.held[root]--; l.held[root] == 0 {
			delete(l.held, root)
		}
		l.until[root] = time.Now().Add(l.grace)
	})
}

// gather adds a tree to those leased during the collection that runs, if one does.
func (l *leases) gather(root artifacts.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touch(root)
}

func (l *leases) touch(root artifacts.Digest) {
	if l.touched != nil {
		l.touched[root] = struct{}{}
	}
}

// begin starts to gather, with what is leased now.
func (l *leases) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = make(map[artifacts.Digest]struct{})
	for root := range l.held {
		l.touch(root)
	}
	for root, until := range l.until {
		if time.Now().Before(until) {
			l.touch(root)
		} else {
			delete(l.until, root)
		}
	}
}

// take gives what was gathered since begin or the last take.
func (l *leases) take() []artifacts.Digest {
	l.mu.Lock()
	defer l.mu.Unlock()
	roots := make([]artifacts.Digest, 0, len(l.touched))
	for root := range l.touched {
		roots = append(roots, root)
	}
	clear(l.touched)
	return roots
}

// untouched reports whether nothing was gathered since the last take.
func (l *leases) untouched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.touched) == 0
}

func (l *leases) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = nil
}
