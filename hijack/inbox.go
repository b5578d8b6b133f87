package hijack

import (
	"context"
	"io"
	"sync"

	"midge/runtime"
)

// inbox is the output that has arrived and is not written yet. It is taken in one
// place and written in another, so that a terminal which is stopped does not keep
// the connection from being read.
type inbox struct {
	mu     sync.Mutex
	change *sync.Cond

	segments []segment
	data     []byte
	spare    []byte
	idle     [][]byte // that adopt may give
	next     int64    // the sequence number after the last byte that arrived
	written  int64    // the same of the last byte that was written
	busy     bool     // what was taken is being written
	closed   bool
	failed   error // of writing
}

// segment is a run of bytes of one stream, or a line of ours between them.
type segment struct {
	stream runtime.Stream
	bytes  int
	// adopted is written instead, when it is not nil; it is part of buffer.
	adopted, buffer []byte
	// notice is shown instead, when it is not "".
	notice string
}

// largePiece is from how many bytes on a piece of output is adopted, and not copied.
const largePiece = 16 << 10

func newInbox() *inbox {
	in := &inbox{}
	in.change = sync.NewCond(&in.mu)
	return in
}

// position is the sequence number of the next byte that is needed.
func (in *inbox) position() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.next
}

// begin sets where the output of the first connection begins.
func (in *inbox) begin(sequence int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.next, in.written = sequence, sequence
}

// add takes output that has arrived, which is copied.
func (in *inbox) add(stream runtime.Stream, sequence int64, data []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.expect(sequence, len(data)); err != nil {
		return err
	}
	in.data = append(in.data, data...)
	if last := len(in.segments) - 1; last >= 0 && in.segments[last].stream == stream && in.segments[last].notice == "" && in.segments[last].adopted == nil {
		in.segments[last].bytes += len(data)
	} else {
		in.segments = append(in.segments, segment{stream: stream, bytes: len(data)})
	}
	in.change.Broadcast()
	return nil
}

// adopt takes output that has arrived, with the buffer that it is part of, for which it
// gives another.
func (in *inbox) adopt(stream runtime.Stream, sequence int64, data, buffer []byte) ([]byte, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.expect(sequence, len(data)); err != nil {
		return buffer, err
	}
	in.segments = append(in.segments, segment{stream: stream, adopted: data, buffer: buffer})
	in.change.Broadcast()
	last := len(in.idle) - 1
	if last < 0 {
		return make([]byte, 0, cap(buffer)), nil
	}
	idle := in.idle[last]
	in.idle = in.idle[:last]
	return idle, nil
}

// expect checks that output is what follows, and counts it as arrived.
func (in *inbox) expect(sequence int64, bytes int) error {
	if sequence != in.next {
		return malformed("output begins at %d, and %d is next", sequence, in.next)
	}
	if in.next-in.written+int64(bytes) > 8*maxWindow {
		return malformed("more than %d bytes of output are under way", 8*maxWindow)
	}
	in.next += int64(bytes)
	return nil
}

// skip passes over output that will not arrive.
func (in *inbox) skip(sequence int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.next = max(in.next, sequence)
}

// show puts a line of ours between the output.
func (in *inbox) show(notice string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.segments = append(in.segments, segment{notice: notice})
	in.change.Broadcast()
}

// acknowledgeable gives the sequence number up to which output was written.
func (in *inbox) acknowledgeable() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.written
}

// flush waits until all that has arrived is written, and gives the error of writing it.
func (in *inbox) flush(ctx context.Context) error {
	return in.await(ctx, func() bool { return len(in.segments) == 0 && !in.busy })
}

// awaitRoom waits until there is room for more output.
func (in *inbox) awaitRoom(ctx context.Context) error {
	return in.await(ctx, func() bool { return len(in.data) < maxWindow })
}

// await waits until a condition holds, or writing has failed.
func (in *inbox) await(ctx context.Context, holds func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.change.Broadcast()
	})
	defer stop()
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.failed == nil && !holds() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		in.change.Wait()
	}
	return in.failed
}

// close ends write once everything is written.
func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.change.Broadcast()
}

// writers are where what arrives goes to.
type writers struct{ stdout, stderr, notices io.Writer }

// write writes what arrives until the box is closed or writing fails. After each piece
// it calls wrote.
func (in *inbox) write(to writers, wrote func()) error {
	for {
		segments, data, end, ok := in.take()
		if !ok {
			return nil
		}
		err := to.write(segments, data)
		in.done(segments, end, err)
		if err != nil {
			return err
		}
		wrote()
	}
}

// take waits for output, and gives all there is, and the sequence number after it.
func (in *inbox) take() ([]segment, []byte, int64, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.segments) == 0 {
		if in.closed {
			return nil, nil, 0, false
		}
		in.change.Wait()
	}
	segments, data := in.segments, in.data
	in.segments, in.data, in.spare = nil, in.spare[:0], data
	in.busy = true
	return segments, data, in.next, true
}

func (in *inbox) done(segments []segment, end int64, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, s := range segments {
		if s.adopted != nil {
			in.idle = append(in.idle, s.buffer[:0])
		}
	}
	in.busy = false
	in.written = max(in.written, end)
	in.failed = err
	in.change.Broadcast()
}

func (w writers) write(segments []segment, data []byte) error {
	for _, s := range segments {
		to, bytes := w.stdout, data[:s.bytes]
		switch {
		case s.notice != "":
			to, bytes = w.notices, []byte(s.notice)
		case s.stream == runtime.Stderr:
			to = w.stderr
		}
		if s.adopted != nil {
			bytes = s.adopted
		}
		if _, err := to.Write(bytes); err != nil {
			return err
		}
		data = data[s.bytes:]
	}
	return nil
}
