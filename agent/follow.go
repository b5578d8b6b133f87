package agent

// A follower is told how far a process's output has come.
type follower struct {
	process *process
	changed chan struct{} // has something in it when there is news
	read    int64         // up to where it has read
}

func (f *follower) wake() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// follow adds a follower that reads from a sequence number on.
func (p *process) follow(from int64) *follower {
	f := &follower{process: p, changed: make(chan struct{}, 1), read: from}
	f.wake()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.followers[f] = struct{}{}
	return f
}

// progress says how far the output has come.
func (f *follower) progress() progress {
	p := f.process
	p.mu.Lock()
	defer p.mu.Unlock()
	return progress{end: p.spool.End(), ended: p.finished}
}

// readTo notes up to where it has read.
func (f *follower) readTo(sequence int64) {
	p := f.process
	p.mu.Lock()
	defer p.mu.Unlock()
	f.read = max(f.read, sequence)
	p.room.Broadcast()
}

// leave ends the following.
func (f *follower) leave() {
	p := f.process
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.followers, f)
	p.read = max(p.read, min(f.read, p.spool.End()))
	p.room.Broadcast()
}
