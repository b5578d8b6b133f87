package engine

import (
	"fmt"
	"slices"
	"sync"
)

// turns lets builds run a bounded number at a time, in the order in which they came.
type turns struct {
	limit int // 0: no bound

	mu     sync.Mutex
	paused string // why nobody gets a turn; "" when they do
	active int
	queue  []*turn
	moved  chan struct{} // closed at the next move of the queue, nil while nobody looks
}

// turn is one build's.
type turn struct {
	turns *turns
	has   bool // it is counted as active
}

// join takes the last place in the queue, or its turn at once when that is free.
func (t *turns) join() *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	joined := &turn{turns: t}
	t.queue = append(t.queue, joined)
	t.advance()
	return joined
}

// take takes a turn whatever the bound.
func (t *turns) take() *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active++
	return &turn{turns: t, has: true}
}

// pause gives no more turns, for that reason, or gives them again when it is "".
func (t *turns) pause(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused != reason {
		t.paused = reason
		t.advance()
	}
}

// advance gives turns to those who are next. The caller holds mu.
func (t *turns) advance() {
	for t.paused == "" && len(t.queue) > 0 && (t.limit == 0 || t.active < t.limit) {
		t.queue[0].has = true
		t.queue = t.queue[1:]
		t.active++
	}
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// ahead reports whether the turn has come, and if not how many are before it and
// what is closed when that, or whether turns are given, may have changed.
func (t *turn) ahead() (come bool, ahead int, moved <-chan struct{}) {
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	if t.has {
		return true, 0, nil
	}
	if t.turns.moved == nil {
		t.turns.moved = make(chan struct{})
	}
	return false, slices.Index(t.turns.queue, t), t.turns.moved
}

// reason says why the turn has not come.
func (t *turn) reason() string {
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	switch {
	case t.turns.paused != "":
		return t.turns.paused
	case t.turns.limit == 1:
		return "the server runs one build at a time: this one waits its turn"
	}
	return fmt.Sprintf("the server runs %d builds at once: this one waits its turn", t.turns.limit)
}

// leave gives the turn, or the place in the queue, to the next.
func (t *turn) leave() {
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	if t.has {
		t.has = false
		t.turns.active--
	} else {
		t.turns.queue = slices.DeleteFunc(t.turns.queue, func(other *turn) bool { return other == t })
	}
	t.turns.advance()
}
