package eventlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// The tail is what followers at the end of a log read from memory.
const (
	tailBytes  = 256 << 10
	tailEvents = 1024
)

// Log is the log of one build. Its methods may be called from many goroutines.
type Log struct {
	*log
	release func() error
}

// log is what all who have opened a log share.
type log struct {
	dir         string
	segmentSize int64
	users       int // under the store's mutex

	// write serialises writing; it is taken before mu, which is never held over a
	// system call.
	write   sync.Mutex
	file    *os.File // of the last segment, nil until something is written
	size    int64    // bytes of whole records in it
	created bool     // a file was made since the last sync
	dirty   bool     // something was written since the last sync
	buffer  []byte

	mu       sync.Mutex
	segments []segment // grows only
	next     int64
	ended    bool
	removed  bool
	marks    map[string]int64
	tail     []Event // the latest events, up to next
	ends     []place // where each of tail ends
	bytes    int     // of data in tail
	changed  chan struct{}
}

// place is a position between two records.
type place struct {
	segment int // index in segments
	offset  int64
}

func openLog(dir string, segmentSize int64) (*log, error) {
	l := &log{dir: dir, segmentSize: segmentSize, marks: make(map[string]int64)}
	segments, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	for len(segments) > 0 {
		last := segments[len(segments)-1]
		b, err := os.ReadFile(last.path)
		if err != nil {
			return nil, err
		}
		state, err := scanSegment(b, last.first)
		if errors.Is(err, errShort) || errors.Is(err, errDamaged) {
			// A crash while the segment was begun: no event of it was ever shown.
			if err := os.Remove(last.path); err != nil {
				return nil, err
			}
			segments = segments[:len(segments)-1]
			continue
		}
		if err != nil {
			return nil, err
		}
		if state.size < int64(len(b)) {
			if err := os.Truncate(last.path, state.size); err != nil {
				return nil, err
			}
		}
		l.segments, l.next, l.size, l.marks, l.ended = segments, state.next, state.size, state.marks, state.ended
		break
	}
	return l, nil
}

// Append adds events at the end of the log and gives the number of the first. It
// adds all of them or none, and keeps their Data, which must not change any more. A log that has ended takes events too: who reads it
// afterwards finds them.
func (l *log) Append(events ...Event) (int64, error) {
	l.write.Lock()
	defer l.write.Unlock()
	return l.add(events, false, func() error { return nil })
}

// Finish adds a last event and ends the log: a follower that has read it gets io.EOF
// next. Once the event is on disk, power failure or not, but before any follower
// sees it, commit is called. When that fails nothing was added.
func (l *log) Finish(event Event, commit func() error) error {
	l.write.Lock()
	defer l.write.Unlock()
	_, err := l.add([]Event{event}, true, func() error {
		if err := l.sync(); err != nil {
			return err
		}
		return commit()
	})
	return err
}

// add writes events, and the end after them, calls commit and then shows them to
// followers. On any error the log is as it was.
func (l *log) add(events []Event, end bool, commit func() error) (int64, error) {
	first, err := l.writable()
	if err != nil {
		return 0, fmt.Errorf("write an event: %w", err)
	}
	begin := l.size == 0 || l.size >= l.segmentSize
	added, err := l.encode(events, first, end, begin)
	if err != nil {
		return 0, fmt.Errorf("write an event: %w", err)
	}
	undo, err := l.writeOut(first, begin)
	if err == nil {
		err = commit()
	}
	if err != nil {
		undo()
		return 0, fmt.Errorf("write an event: %w", err)
	}
	l.size += int64(len(l.buffer))
	if cap(l.buffer) > tailBytes {
		l.buffer = nil
	}
	l.publish(added, begin)
	return first, nil
}

// writable gives the number of the next event, if there can be one.
func (l *log) writable() (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return 0, ErrRemoved
	}
	return l.next, nil
}

// addition is what one call of add brings.
type addition struct {
	first  int64
	events []Event
	ends   []int64 // offsets after each event
	ended  bool
}

// encode puts into l.buffer what is to be written, a segment's head first when one
// is begun.
func (l *log) encode(events []Event, first int64, end, begin bool) (addition, error) {
	added := addition{first: first, events: make([]Event, len(events)), ends: make([]int64, len(events)), ended: end}
	base := l.size
	l.buffer = l.buffer[:0]
	var err error
	if begin {
		base = 0
		if l.buffer, err = l.head(first); err != nil {
			return addition{}, err
		}
	}
	for i, event := range events {
		event.ID = first + int64(i)
		r := record{kind: recordEvent, number: event.ID, event: event}
		if l.buffer, err = r.appendTo(l.buffer); err != nil {
			return addition{}, err
		}
		added.events[i] = event
		added.ends[i] = base + int64(len(l.buffer))
	}
	if end {
		r := record{kind: recordEnd, number: first + int64(len(events))}
		l.buffer, err = r.appendTo(l.buffer)
	}
	return added, err
}

func (l *log) head(first int64) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return segmentHead(first, l.marks, l.ended)
}

// writeOut writes l.buffer to the end of the last segment, or to a new one, and
// gives what takes it back.
func (l *log) writeOut(first int64, begin bool) (undo func(), err error) {
	if begin {
		return l.beginSegment(first)
	}
	undo = func() {}
	if l.file == nil {
		l.file, err = os.OpenFile(l.segments[len(l.segments)-1].path, os.O_WRONLY, 0)
		if err != nil {
			return undo, err
		}
	}
	// A record that is left behind is overwritten by the next, or cut off when
	// the log is opened; so what truncating says does not matter.
	undo = func() { _ = l.file.Truncate(l.size) }
	_, err = l.file.WriteAt(l.buffer, l.size)
	l.dirty = true
	return undo, err
}

func (l *log) beginSegment(first int64) (undo func(), err error) {
	undo = func() {}
	if l.file != nil {
		if err := errors.Join(l.sync(), l.file.Close()); err != nil {
			return undo, err
		}
		l.file = nil
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return undo, err
	}
	file, err := os.OpenFile(segmentAt(l.dir, first).path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return undo, err
	}
	size := l.size
	undo = func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
		l.file, l.size = nil, size
	}
	l.file, l.size, l.dirty, l.created = file, 0, true, true
	_, err = file.Write(l.buffer)
	return undo, err
}

// publish shows followers what was written.
func (l *log) publish(added addition, begun bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if begun {
		l.segments = append(l.segments, segmentAt(l.dir, added.first))
	}
	l.next = added.first + int64(len(added.events))
	l.ended = l.ended || added.ended
	for i, event := range added.events {
		for _, mark := range event.Marks {
			l.marks[mark.Name] = mark.Value
		}
		l.tail = append(l.tail, event)
		l.ends = append(l.ends, place{segment: len(l.segments) - 1, offset: added.ends[i]})
		l.bytes += len(event.Data)
	}
	for len(l.tail) > tailEvents || l.bytes > tailBytes && len(l.tail) > 1 {
		l.bytes -= len(l.tail[0].Data)
		l.tail, l.ends = l.tail[1:], l.ends[1:]
	}
	l.wake()
}

// wake makes all who wait look again. The caller holds mu.
func (l *log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Next gives the number that the next event will have, which is how many there are.
func (l *log) Next() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Ended reports whether the log has ended.
func (l *log) Ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// Mark gives the latest value that was kept under a name.
func (l *log) Mark(name string) (value int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	value, ok = l.marks[name]
	return value, ok
}

// Sync returns when all that was appended before would outlive a power failure. It
// does not hold up the writer.
func (l *log) Sync() error {
	l.write.Lock()
	file, size, dirty, created := l.file, l.size, l.dirty, l.created
	l.write.Unlock()
	if !dirty || file == nil {
		return nil
	}
	err := l.syncFile(file, created)
	l.write.Lock()
	defer l.write.Unlock()
	if l.file != file {
		// Who has put another in its place has synced it before.
		return nil
	}
	if err == nil {
		l.created = false
		l.dirty = l.size != size
	}
	return err
}

// sync is Sync for who holds write.
func (l *log) sync() error {
	if !l.dirty || l.file == nil {
		return nil
	}
	if err := l.syncFile(l.file, l.created); err != nil {
		return err
	}
	l.dirty, l.created = false, false
	return nil
}

func (l *log) syncFile(file *os.File, created bool) error {
	err := file.Sync()
	if created {
		err = errors.Join(err, syncDir(l.dir), syncDir(filepath.Dir(l.dir)))
	}
	if err != nil {
		return fmt.Errorf("sync the event log: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close ends the use of the log, after a Sync. Closing twice is no error.
func (l *Log) Close() error { return l.release() }

func (l *log) close() error {
	l.write.Lock()
	defer l.write.Unlock()
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.sync(), l.file.Close())
	l.file = nil
	return err
}

// remove makes the log useless to all who have it open.
func (l *log) remove() {
	l.write.Lock()
	defer l.write.Unlock()
	l.dirty = false
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed = true
	l.wake()
}
