package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// readBytes is how much a reader takes from a file at once, unless a single event
// is longer.
const readBytes = 64 << 10

// Reader reads a log from a position on. It is used by one goroutine at a time, and
// needs no closing: it holds no file between two calls.
type Reader struct {
	log    *log
	next   int64 // number of the event to read
	at     place // where it is, once known
	known  bool
	buffer []byte
	events []Event
}

// From gives a reader of the events numbered from and later. It may lie beyond the
// end: then the reader waits for that event.
func (l *log) From(from int64) *Reader {
	return &Reader{log: l, next: max(from, 0)}
}

// Next waits until there is at least one more event and gives those that are there,
// up to a bound. They are the caller's until its next call of Next, to be read only.
// After the last event of a log that has ended it gives io.EOF.
func (r *Reader) Next(ctx context.Context) ([]Event, error) {
	for {
		look := r.look()
		switch {
		case look.err != nil:
			return nil, look.err
		case len(look.events) > 0:
			return look.events, nil
		case look.changed == nil:
			return r.readFile(look.segments, look.end)
		}
		select {
		case <-look.changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look is what a reader finds in memory: events, or the end or an error, or a
// channel to wait on, or else segments to read from.
type look struct {
	events   []Event
	err      error
	changed  <-chan struct{}
	segments []segment
	end      int64 // number of the event after the last in segments
}

func (r *Reader) look() look {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return look{err: ErrRemoved}
	}
	if r.next >= l.next {
		if l.ended {
			return look{err: io.EOF}
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		return look{changed: l.changed}
	}
	skip := r.next - (l.next - int64(len(l.tail)))
	if skip < 0 {
		return look{segments: l.segments, end: l.next}
	}
	r.next, r.at, r.known = l.next, l.ends[len(l.ends)-1], true
	return look{events: l.tail[skip:len(l.tail):len(l.tail)]}
}

// readFile reads events that are no longer in memory, all from one segment.
func (r *Reader) readFile(segments []segment, end int64) ([]Event, error) {
	if !r.known {
		r.at, r.known = place{segment: findSegment(segments, r.next)}, true
	}
	if r.at.segment+1 < len(segments) && r.next == segments[r.at.segment+1].first {
		r.at = place{segment: r.at.segment + 1}
	}
	path := segments[r.at.segment].path
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrRemoved
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r.events = r.events[:0]
	for len(r.events) == 0 {
		if err := r.fill(file); err != nil {
			return nil, fmt.Errorf("read event %d from %s: %w", r.next, path, err)
		}
		if err := r.parse(segments[r.at.segment].first, end); err != nil {
			return nil, fmt.Errorf("read event %d from %s: %w", r.next, path, err)
		}
	}
	return r.events, nil
}

// findSegment gives the index of the segment that has an event.
func findSegment(segments []segment, number int64) int {
	i := len(segments) - 1
	for i > 0 && segments[i].first > number {
		i--
	}
	return i
}

// fill reads at least one whole record, or head, into the buffer.
func (r *Reader) fill(file *os.File) error {
	if cap(r.buffer) != readBytes {
		r.buffer = make([]byte, readBytes)
	}
	b := r.buffer[:readBytes]
	for {
		n, err := file.ReadAt(b, r.at.offset)
		if err != nil && err != io.EOF {
			return err
		}
		r.buffer = b[:n]
		size, sizeErr := r.firstSize()
		switch {
		case sizeErr != nil:
			return sizeErr
		case size <= n:
			return nil
		case err == io.EOF:
			return errShort
		}
		b = make([]byte, size)
	}
}

// firstSize gives the size of what the buffer begins with.
func (r *Reader) firstSize() (int, error) {
	if r.at.offset > 0 {
		return recordSize(r.buffer)
	}
	if len(r.buffer) < len(segmentMagic) {
		return 0, errShort
	}
	n, err := recordSize(r.buffer[len(segmentMagic):])
	return len(segmentMagic) + n, err
}

// parse takes from the buffer the events from r.next up to end that are whole in it.
func (r *Reader) parse(first, end int64) error {
	b := r.buffer
	if r.at.offset == 0 {
		_, n, err := parseHead(b, first)
		if err != nil {
			return err
		}
		r.at.offset, b = int64(n), b[n:]
	}
	for r.next < end {
		parsed, n, err := parseRecord(b)
		if errors.Is(err, errShort) {
			break
		}
		if err != nil {
			return err
		}
		r.at.offset, b = r.at.offset+int64(n), b[n:]
		if parsed.kind == recordEvent && parsed.number == r.next {
			r.events = append(r.events, parsed.event)
			r.next++
		}
		if len(b) == 0 {
			break
		}
	}
	return nil
}
