package engine

// Load tells how many builds have their turn, and how many wait for it.
func (e *Engine) Load() (active, waiting int) {
	e.turns.mu.Lock()
	defer e.turns.mu.Unlock()
	return e.turns.active, len(e.turns.queue)
}
