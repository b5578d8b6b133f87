package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Writer appends to a spool. It is for one goroutine at a time.
type Writer struct {
	dir         string
	segmentSize int64

	firsts  []int64 // of the segments that are kept
	current *os.File
	written int64 // bytes of current
	longer  bool  // current may have more, of what it was before
	spare   bool  // there is a file to write over for the next segment
	end     int64
	header  []byte
}

// Create makes the directory, which must not exist, and in it an empty spool. A
// spool that keeps everything has scrollback 0; one that is bounded frees space by
// Trim in steps of about a quarter of it.
func Create(dir string, scrollback int64) (*Writer, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create spool: %w", err)
	}
	size := int64(segmentSize)
	if scrollback > 0 {
		size = min(size, max(minSegmentSize, scrollback/4))
	}
	w := &Writer{dir: dir, segmentSize: size}
	if err := w.nextSegment(); err != nil {
		return nil, err
	}
	return w, nil
}

// End is the sequence number after the last byte.
func (w *Writer) End() int64 { return w.end }

// Write appends a record. Of a record that could not be written as a whole
// nothing counts.
func (w *Writer) Write(stream uint8, at time.Time, data []byte) error {
	if len(data) == 0 || len(data) > MaxRecord {
		return fmt.Errorf("write spool: a record of %d bytes, not 1 to %d", len(data), MaxRecord)
	}
	if w.written >= w.segmentSize {
		if err := w.nextSegment(); err != nil {
			return err
		}
	}
	w.header = appendHeader(w.header[:0], Record{Stream: stream, Sequence: w.end, Time: at, Data: data})
	if err := w.writeRecord(data); err != nil {
		return fmt.Errorf("write spool: %w", err)
	}
	w.written += int64(len(w.header) + len(data))
	w.end += int64(len(data))
	return nil
}

// writeRecord writes the header and the data at their place. They are not appended, so
// that the next record covers one that was cut short.
func (w *Writer) writeRecord(data []byte) error {
	pieces := [][]byte{w.header, data}
	at := w.written
	for len(pieces) > 0 {
		n, err := unix.Pwritev(int(w.current.Fd()), pieces, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "write", Path: w.current.Name(), Err: err}
		}
		at += int64(n)
		for len(pieces) > 0 && n >= len(pieces[0]) {
			n -= len(pieces[0])
			pieces = pieces[1:]
		}
		if len(pieces) > 0 {
			pieces[0] = pieces[0][n:]
		}
	}
	return nil
}

// Trim removes the segments that hold nothing from before on. Readers that have one
// open read it to its end. Every reader that there is has read to read: what is of no
// use to any is written over by a later segment, which costs less than a new file.
func (w *Writer) Trim(before, read int64) error {
	for len(w.firsts) > 1 && w.firsts[1] <= before {
		if err := w.dropFirst(read); err != nil {
			return fmt.Errorf("trim spool: %w", err)
		}
		w.firsts = w.firsts[1:]
	}
	return nil
}

func (w *Writer) dropFirst(read int64) error {
	name := filepath.Join(w.dir, segmentName(w.firsts[0]))
	// A reader at the beginning of the second may have the first open still.
	if w.spare || len(w.firsts) < 3 || w.firsts[2] > read {
		return os.Remove(name)
	}
	w.spare = true
	return os.Rename(name, filepath.Join(w.dir, spareName))
}

// Close closes the spool's file; the spool stays.
func (w *Writer) Close() error { return errors.Join(w.cut(), w.current.Close()) }

// cut ends the current segment where it was written to.
func (w *Writer) cut() error {
	if !w.longer {
		return nil
	}
	w.longer = false
	return w.current.Truncate(w.written)
}

// nextSegment begins a segment. The one before is at its end when the next is there.
func (w *Writer) nextSegment() error {
	if w.current != nil {
		if err := w.cut(); err != nil {
			return fmt.Errorf("end spool segment: %w", err)
		}
	}
	f, err := w.openNext()
	if err != nil {
		return fmt.Errorf("begin spool segment: %w", err)
	}
	if w.current != nil {
		if err := w.current.Close(); err != nil {
			f.Close()
			return fmt.Errorf("end spool segment: %w", err)
		}
	}
	w.longer, w.spare = w.spare, false
	w.current, w.written = f, 0
	w.firsts = append(w.firsts, w.end)
	return nil
}

func (w *Writer) openNext() (*os.File, error) {
	name := filepath.Join(w.dir, segmentName(w.end))
	if !w.spare {
		return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err := os.Rename(filepath.Join(w.dir, spareName), name); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_WRONLY, 0)
}
