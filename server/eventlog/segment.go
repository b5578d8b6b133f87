package eventlog

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A log is cut into segments, files named after the first event in them. That is
// its index: to find an event no more than one segment is looked through. Each
// begins with segmentMagic and a head record, which repeats the marks of all
// segments before it, so that opening a log reads its last segment alone.
const (
	segmentPrefix = "events-"
	segmentMagic  = "midge events 1\n"
)

type segment struct {
	path  string
	first int64 // number of the first event
}

// listSegments gives the segments in dir in their order; none when dir is not there.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var segments []segment
	for _, entry := range entries {
		number, ours := strings.CutPrefix(entry.Name(), segmentPrefix)
		first, err := strconv.ParseInt(number, 10, 64)
		if ours && err == nil && first >= 0 {
			segments = append(segments, segment{path: filepath.Join(dir, entry.Name()), first: first})
		}
	}
	slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(a.first, b.first) })
	return segments, nil
}

func segmentAt(dir string, first int64) segment {
	return segment{path: filepath.Join(dir, segmentPrefix+strconv.FormatInt(first, 10)), first: first}
}

// segmentHead gives what a segment begins with.
func segmentHead(first int64, marks map[string]int64, ended bool) ([]byte, error) {
	head := record{kind: recordHead, number: first, ended: ended}
	for name, value := range marks {
		head.marks = append(head.marks, Mark{Name: name, Value: value})
	}
	return head.appendTo([]byte(segmentMagic))
}

// parseHead reads what a segment begins with and says how long it is.
func parseHead(b []byte, first int64) (record, int, error) {
	if len(b) < len(segmentMagic) {
		return record{}, 0, errShort
	}
	if string(b[:len(segmentMagic)]) != segmentMagic {
		return record{}, 0, errDamaged
	}
	head, n, err := parseRecord(b[len(segmentMagic):])
	if err != nil {
		return record{}, 0, err
	}
	if head.kind != recordHead || head.number != first {
		return record{}, 0, errDamaged
	}
	return head, len(segmentMagic) + n, nil
}

// segmentState is what a segment's records come to.
type segmentState struct {
	next  int64 // number of the event that comes next
	size  int64 // bytes of whole records
	marks map[string]int64
	ended bool
}

// scanSegment reads a segment up to its first record that is not whole. A segment
// whose very head is not whole is an error.
func scanSegment(b []byte, first int64) (segmentState, error) {
	head, n, err := parseHead(b, first)
	if err != nil {
		return segmentState{}, err
	}
	state := segmentState{next: first, size: int64(n), marks: make(map[string]int64), ended: head.ended}
	state.mark(head.marks)
	for b = b[n:]; len(b) > 0; b = b[n:] {
		var r record
		r, n, err = parseRecord(b)
		if err != nil || r.kind == recordHead || r.number != state.next {
			break
		}
		state.add(r, n)
	}
	return state, nil
}

func (s *segmentState) add(r record, size int) {
	s.size += int64(size)
	switch r.kind {
	case recordEnd:
		s.ended = true
	case recordEvent:
		s.next++
		s.mark(r.event.Marks)
	}
}

func (s *segmentState) mark(marks []Mark) {
	for _, mark := range marks {
		s.marks[mark.Name] = mark.Value
	}
}
