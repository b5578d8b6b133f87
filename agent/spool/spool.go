// Package spool keeps what a process writes: on disk, in order, numbered and
// timed, for one writer and any number of readers in any process.
//
// A spool is a directory of segments. A segment is a file of records, named by the
// sequence number of its first byte; a record is a header and a piece of output.
// A segment is written in order, and no longer once the next one exists, so a reader
// needs no lock. Of a spool that keeps everything it may use what it finds, and a record
// that is not whole yet is not there yet; what a writer that was killed left behind reads
// the same way. A bounded one writes over what nobody needs: while it is written, a
// reader has to be told how far that has come.
//
// The package knows nothing of processes. That more has come, or that nothing will
// come any more, a reader learns elsewhere.
package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxRecord is how many bytes of output a record may hold.
const MaxRecord = 1 << 20

const (
	headerSize    = 24
	magic         = 0xa7
	segmentSuffix = ".output"
	spareName     = "spare"
	// segmentSize is when a spool that keeps everything begins a new segment. A
	// reader that starts in the middle reads the headers of one segment, not of all.
	segmentSize = 16 << 20
	// A bounded spool frees itself of whole segments, so they are smaller than its bound.
	minSegmentSize = 64 << 10
)

// A Record is a piece of output.
type Record struct {
	Stream   uint8
	Sequence int64 // of the first byte of Data
	Time     time.Time
	Data     []byte
}

// appendHeader appends r's header, for r.Data to follow.
func appendHeader(b []byte, r Record) []byte {
	b = append(b, magic, r.Stream, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Data)))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Sequence))
	return binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixNano()))
}

// parseHeader gives the record without its data, and how long that is.
func parseHeader(b []byte) (r Record, length int, err error) {
	n := binary.BigEndian.Uint32(b[4:])
	if b[0] != magic || b[2] != 0 || b[3] != 0 || n == 0 || n > MaxRecord {
		return Record{}, 0, errors.New("spool is damaged: what should be a record's header is none")
	}
	r = Record{
		Stream:   b[1],
		Sequence: int64(binary.BigEndian.Uint64(b[8:])),
		Time:     time.Unix(0, int64(binary.BigEndian.Uint64(b[16:]))),
	}
	return r, int(n), nil
}

func segmentName(first int64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// segments lists the first sequence numbers of a spool's segments, lowest first.
func segments(dir string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var firsts []int64
	for _, entry := range entries {
		digits, ok := strings.CutSuffix(entry.Name(), segmentSuffix)
		if !ok {
			continue
		}
		first, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || first < 0 {
			continue
		}
		firsts = append(firsts, first)
	}
	slices.Sort(firsts)
	return firsts, nil
}

// openSegment opens the segment that begins at first, or gives nil when there is none.
func openSegment(dir string, first int64) (*os.File, error) {
	f, err := os.Open(filepath.Join(dir, segmentName(first)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}
