package engine

// Load tells how many builds have their turn, and how many wait for it.
func (e *Engine) Load() (active, waiting int) {
	e.turns.mu.Lock()
	defer e.turns.mu.Unlock()
	return e.turns.active, len(e.turns.queue)
}

// Pause has builds wait that have not begun, for a reason that they say in their logs,
// until it is called with "". Those that have begun go on.
func (e *Engine) Pause(reason string) { e.turns.pause(reason) }
