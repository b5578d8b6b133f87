package spool

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// A Reader reads a spool from a sequence number on. It is for one goroutine at a time.
type Reader struct {
	dir  string
	next int64 // the sequence number that is read next
	end  int64 // what is from it on may not be there yet

	segment *os.File
	offset  int64 // in segment, of what buffer begins with
	buffer  []byte
	start   int   // of what is left in buffer
	at      int64 // the sequence number of what is left in buffer
	sure    int64 // what is in buffer from it on may have been written over since
	full    bool  // buffer was filled when it was read into last
}

// Open gives a reader of the spool in dir. What is no longer kept is passed over.
func Open(dir string, from int64) (*Reader, error) {
	r := &Reader{dir: dir, next: max(from, 0), end: math.MaxInt64}
	if err := r.seek(); err != nil {
		return nil, err
	}
	return r, nil
}

// Limit has Next give only what is before end, which is as far as the writer has come.
// Without it there must be none any more, or one that keeps everything.
func (r *Reader) Limit(end int64) { r.end = end }

// Sequence is the sequence number of the next byte to be read.
func (r *Reader) Sequence() int64 { return r.next }

// Next gives what follows, or io.EOF when there is nothing more yet. Record.Data is
// valid until the next call.
func (r *Reader) Next() (Record, error) {
	for r.next < r.end {
		record, err := r.readRecord()
		if err == nil {
			if end := record.Sequence + int64(len(record.Data)); end <= r.next {
				continue
			}
			// A reader may begin in the middle of a record.
			if skip := r.next - record.Sequence; skip > 0 {
				record.Data = record.Data[skip:]
				record.Sequence = r.next
			}
			r.next = record.Sequence + int64(len(record.Data))
			return record, nil
		}
		if !errors.Is(err, io.EOF) {
			return Record{}, err
		}
		if more, err := r.nextSegment(); err != nil {
			return Record{}, err
		} else if !more {
			return Record{}, io.EOF
		}
	}
	return Record{}, io.EOF
}

// Close closes the reader's file.
func (r *Reader) Close() error {
	if r.segment == nil {
		return nil
	}
	return r.segment.Close()
}

// readRecord gives the segment's next record, or io.EOF when it is not there as a whole.
func (r *Reader) readRecord() (Record, error) {
	if r.at >= r.sure {
		r.buffer = r.buffer[:r.start]
	}
	if err := r.fill(headerSize); err != nil {
		return Record{}, err
	}
	record, length, err := parseHeader(r.buffer[r.start:])
	if err != nil {
		return Record{}, fmt.Errorf("%s at %d: %w", r.segment.Name(), r.offset+int64(r.start), err)
	}
	if err := r.fill(headerSize + length); err != nil {
		return Record{}, err
	}
	record.Data = r.buffer[r.start+headerSize : r.start+headerSize+length]
	r.start += headerSize + length
	r.at = record.Sequence + int64(length)
	return record, nil
}

// How much is read at once: less at first, more of a spool that has much.
const (
	readAhead    = 64 << 10
	maxReadAhead = 512 << 10
)

// fill reads until n bytes are in the buffer, and gives io.EOF when there are fewer.
func (r *Reader) fill(n int) error {
	if len(r.buffer)-r.start >= n {
		return nil
	}
	r.offset += int64(r.start)
	have := copy(r.buffer, r.buffer[r.start:])
	r.start = 0
	want := max(n, readAhead)
	if r.full {
		want = max(want, min(2*cap(r.buffer), maxReadAhead))
	}
	if cap(r.buffer) < want {
		grown := make([]byte, have, want)
		copy(grown, r.buffer[:have])
		r.buffer = grown
	}
	for have < n {
		read, err := r.segment.ReadAt(r.buffer[have:cap(r.buffer)], r.offset+int64(have))
		have += read
		if err != nil && (!errors.Is(err, io.EOF) || have < n) {
			r.buffer = r.buffer[:have]
			return err
		}
	}
	r.buffer = r.buffer[:have]
	r.full = have == cap(r.buffer)
	r.sure = r.end
	return nil
}

// nextSegment goes on to the segment that follows, when there is one.
func (r *Reader) nextSegment() (bool, error) {
	// That the next one exists tells that this one is complete, but it may have
	// been completed after its end was read.
	segment, err := openSegment(r.dir, r.next)
	if err != nil {
		return false, err
	}
	if segment != nil && !r.isCurrent(segment) {
		r.use(segment, r.next)
		return true, nil
	}
	if segment != nil {
		segment.Close()
	}
	return r.skipTrimmed()
}

// isCurrent tells whether the segment is the one being read: an empty one begins
// and ends at the same sequence number.
func (r *Reader) isCurrent(segment *os.File) bool { return segment.Name() == r.segment.Name() }

// skipTrimmed goes on to the first segment that is kept when the one that should
// follow was removed.
func (r *Reader) skipTrimmed() (bool, error) {
	firsts, err := segments(r.dir)
	if err != nil || len(firsts) == 0 || firsts[0] <= r.next {
		return false, err
	}
	return true, r.seek()
}

// seek opens the segment that holds r.next, or the first one that is kept.
func (r *Reader) seek() error {
	for {
		firsts, err := segments(r.dir)
		if err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		if len(firsts) == 0 {
			return fmt.Errorf("read spool: %s holds no output", r.dir)
		}
		first := firsts[0]
		for _, f := range firsts {
			if f <= r.next {
				first = f
			}
		}
		segment, err := openSegment(r.dir, first)
		if err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		if segment == nil { // trimmed meanwhile
			continue
		}
		if r.segment != nil {
			r.segment.Close()
		}
		r.segment = nil
		r.use(segment, first)
		r.next = max(r.next, first)
		return nil
	}
}

func (r *Reader) use(segment *os.File, first int64) {
	if r.segment != nil {
		r.segment.Close()
	}
	r.segment, r.offset, r.buffer, r.start, r.at = segment, 0, r.buffer[:0], 0, first
}
