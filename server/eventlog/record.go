package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A record is
//
//	length of body   4 bytes, little endian
//	CRC-32C of body  4 bytes, little endian
//	body             kind byte, number (uvarint), then by kind
//
//	'h' head: marks, then 1 when the log has ended
//	'e' event: marks, kind, version, and the rest is data
//	'z' end: nothing
//
// where marks are how many (uvarint), then of each its name and value (varint), and
// a name or other text is its length (uvarint) and its bytes. The number is
// the event's, and of the other kinds that of the event which comes next.
const (
	recordHead  = 'h'
	recordEvent = 'e'
	recordEnd   = 'z'

	recordFrame = 8
	// maxBody bounds what a damaged length can make a reader allocate.
	maxBody = 16 << 20
)

var (
	crcTable = crc32.MakeTable(crc32.Castagnoli)

	// errShort tells that the bytes end before the record does.
	errShort = errors.New("the record is cut short")
	// errDamaged tells that the bytes are no record.
	errDamaged = errors.New("the record is damaged")
)

// record is one record, read. What it holds are parts of the bytes it was read from.
type record struct {
	kind   byte
	number int64
	event  Event  // of recordEvent
	marks  []Mark // of recordHead
	ended  bool   // of recordHead
}

func (r *record) appendTo(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, recordFrame)...)
	b = append(b, r.kind)
	b = binary.AppendUvarint(b, uint64(r.number))
	switch r.kind {
	case recordHead:
		b = appendMarks(b, r.marks)
		b = append(b, flag(r.ended))
	case recordEvent:
		b = appendMarks(b, r.event.Marks)
		b = appendText(b, r.event.Kind)
		b = appendText(b, r.event.Version)
		b = append(b, r.event.Data...)
	}
	body := b[start+recordFrame:]
	if len(body) > maxBody {
		return nil, fmt.Errorf("an event of %d bytes is more than the %d bytes that a log takes", len(body), maxBody)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(body, crcTable))
	return b, nil
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendMarks(b []byte, marks []Mark) []byte {
	b = binary.AppendUvarint(b, uint64(len(marks)))
	for _, mark := range marks {
		b = binary.AppendVarint(appendText(b, mark.Name), mark.Value)
	}
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// recordSize gives how many bytes the record at the beginning of b takes, frame
// included, without reading more of it than its frame.
func recordSize(b []byte) (int, error) {
	if len(b) < recordFrame {
		return 0, errShort
	}
	n := binary.LittleEndian.Uint32(b)
	if n < 2 || n > maxBody {
		return 0, errDamaged
	}
	return recordFrame + int(n), nil
}

// parseRecord reads the record at the beginning of b and says how long it is.
func parseRecord(b []byte) (record, int, error) {
	size, err := recordSize(b)
	if err != nil {
		return record{}, 0, err
	}
	if len(b) < size {
		return record{}, 0, errShort
	}
	body := b[recordFrame:size:size]
	if crc32.Checksum(body, crcTable) != binary.LittleEndian.Uint32(b[4:]) {
		return record{}, 0, errDamaged
	}
	f := fields{rest: body[1:]}
	r := record{kind: body[0], number: int64(f.uvarint())}
	switch r.kind {
	case recordHead:
		r.marks = f.marks()
		r.ended = f.byte() == 1
	case recordEvent:
		r.event = Event{ID: r.number, Marks: f.marks(), Kind: f.text(), Version: f.text()}
		r.event.Data, f.rest = f.rest, nil
	case recordEnd:
	default:
		return record{}, 0, errDamaged
	}
	if f.damaged || len(f.rest) > 0 || r.number < 0 {
		return record{}, 0, errDamaged
	}
	return r, size, nil
}

// fields reads the fields of a body one after the other; damaged is set at the
// first that is not there.
type fields struct {
	rest    []byte
	damaged bool
}

func (f *fields) fail() {
	f.damaged = true
	f.rest = nil
}

func (f *fields) byte() byte {
	if len(f.rest) == 0 {
		f.fail()
		return 0
	}
	b := f.rest[0]
	f.rest = f.rest[1:]
	return b
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.fail()
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.rest)
	if n <= 0 {
		f.fail()
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) text() string {
	n := f.uvarint()
	if n > uint64(len(f.rest)) {
		f.fail()
		return ""
	}
	text := string(f.rest[:n])
	f.rest = f.rest[n:]
	return text
}

func (f *fields) marks() []Mark {
	var marks []Mark
	for n := f.uvarint(); n > 0 && !f.damaged; n-- {
		marks = append(marks, Mark{Name: f.text(), Value: f.varint()})
	}
	return marks
}
