package hijack

import "sync"

// pendingInput is what a client has sent and the process has not taken. What comes
// in small pieces goes out in one.
type pendingInput struct {
	mu     sync.Mutex
	offset int64 // of the first byte of data
	data   []byte
	closed bool // nothing follows data
	spare  []byte
	ready  chan struct{} // holds one when there is something to take
}

// newPendingInput begins after the bytes that the process has already.
func newPendingInput(offset int64) *pendingInput {
	return &pendingInput{offset: offset, ready: make(chan struct{}, 1)}
}

// add takes input that was sent. What is there already is passed over; a gap, and
// more than may be under way, is an error.
func (p *pendingInput) add(offset int64, data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.offset + int64(len(p.data))
	if offset > end {
		return malformed("input begins at %d, and only %d bytes came before", offset, end)
	}
	if known := end - offset; known < int64(len(data)) {
		data = data[known:]
	} else {
		return nil
	}
	if p.closed {
		return malformed("input comes after its end at %d", end)
	}
	if len(p.data)+len(data) > inputWindow {
		return malformed("more than %d bytes of input are under way", inputWindow)
	}
	p.data = append(p.data, data...)
	p.wake()
	return nil
}

// end says that no input follows the one before offset.
func (p *pendingInput) end(offset int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end := p.offset + int64(len(p.data)); offset > end {
		return malformed("input ends at %d, and only %d bytes came before", offset, end)
	}
	p.closed = true
	p.wake()
	return nil
}

func (p *pendingInput) wake() {
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

// take gives all there is, which is good until the next call. Closed tells that it
// is the last.
func (p *pendingInput) take() (offset int64, data []byte, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	offset, data, closed = p.offset, p.data, p.closed
	p.offset += int64(len(data))
	p.data, p.spare = p.spare[:0], data
	return offset, data, closed
}
