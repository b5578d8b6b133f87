package hijack

import "sync"

// outbox is what the user has given as input and the process is not known to have.
// It is kept until it is, so that a new connection can send it again.
type outbox struct {
	mu     sync.Mutex
	change *sync.Cond // there is room, or the box was closed

	base   int64 // bytes before data: the process has them
	data   []byte
	sent   int64 // bytes before it were sent over the present connection
	ended  bool  // nothing follows data
	told   bool  // the end was sent over the present connection
	closed bool
	limit  int // bytes of data that may be under way
}

func newOutbox() *outbox {
	o := &outbox{limit: inputWindow}
	o.change = sync.NewCond(&o.mu)
	return o
}

// put takes input, and waits while there is no room for it. It reports false once
// the box is closed.
func (o *outbox) put(data []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(data) > 0 {
		for !o.closed && len(o.data) >= o.limit {
			o.change.Wait()
		}
		if o.closed {
			return false
		}
		n := min(len(data), o.limit-len(o.data))
		o.data = append(o.data, data[:n]...)
		data = data[n:]
	}
	return true
}

// end says that no input follows.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
}

// close lets go of who waits in put.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.change.Broadcast()
}

// resume begins a connection whose other end has the bytes before taken.
func (o *outbox) resume(taken int64, limit int) {
	o.drop(taken)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit = limit
	o.sent = o.base
	o.told = false
}

// acknowledged says how many bytes the process is known to have.
func (o *outbox) acknowledged() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.base
}

// drop forgets the bytes before taken.
func (o *outbox) drop(taken int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(taken-o.base, int64(len(o.data)))
	if n <= 0 {
		return
	}
	o.data = o.data[:copy(o.data, o.data[n:])]
	o.base += n
	o.sent = max(o.sent, o.base)
	o.change.Broadcast()
}

// next appends the frame that is to be sent next to buffer; false when there is none.
func (o *outbox) next(buffer []byte) (frame, []byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	unsent := o.data[o.sent-o.base:]
	if len(unsent) == 0 {
		if !o.ended || o.told {
			return frame{}, buffer, false
		}
		o.told = true
		return frame{kind: frameCloseStdin, offset: o.sent}, buffer, true
	}
	buffer = append(buffer[:0], unsent[:min(len(unsent), maxData)]...)
	f := frame{kind: frameInput, offset: o.sent, data: buffer}
	o.sent += int64(len(buffer))
	return f, buffer, true
}
