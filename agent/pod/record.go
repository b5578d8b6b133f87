package pod

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"midge/agent/spool"
)

// The answer to a request for output is records: a header, and as many bytes as that
// says. The last one says that the process has ended, or why no more comes; an answer
// that has no such record was cut.
const recordHeader = 24

// Values in place of a record's stream.
const (
	streamEnd    = 0
	streamFailed = 255
)

func appendRecord(b []byte, r spool.Record) []byte {
	b = append(b, r.Stream, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Data)))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Sequence))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixNano()))
	return append(b, r.Data...)
}

// appendLast appends the last record: err is what package agent's Output ended with.
func appendLast(b []byte, err error) []byte {
	if errors.Is(err, io.EOF) {
		return appendRecord(b, spool.Record{Stream: streamEnd})
	}
	text, err := json.Marshal(failureOf(err))
	if err != nil { // a failure always can be
		panic(fmt.Sprintf("pod: encode a failure: %v", err))
	}
	return appendRecord(b, spool.Record{Stream: streamFailed, Data: text})
}

// readRecord reads a record into buffer, which it gives back, grown if need be. After
// the last record it gives the error that this stands for. What the stream itself
// ends with is a *cutError.
func readRecord(r io.Reader, buffer []byte) (spool.Record, []byte, error) {
	var header [recordHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return spool.Record{}, buffer, &cutError{err}
	}
	length := binary.BigEndian.Uint32(header[4:])
	if length > spool.MaxRecord || header[1] != 0 || header[2] != 0 || header[3] != 0 {
		return spool.Record{}, buffer, errors.New("the pod sent output that is damaged")
	}
	if uint32(cap(buffer)) < length {
		buffer = make([]byte, length)
	}
	buffer = buffer[:length]
	if _, err := io.ReadFull(r, buffer); err != nil {
		return spool.Record{}, buffer, &cutError{err}
	}
	switch header[0] {
	case streamEnd:
		return spool.Record{}, buffer, io.EOF
	case streamFailed:
		var f failure
		if err := json.Unmarshal(buffer, &f); err != nil {
			return spool.Record{}, buffer, fmt.Errorf("decode why output ended: %w", err)
		}
		return spool.Record{}, buffer, f.err()
	}
	return spool.Record{
		Stream:   header[0],
		Sequence: int64(binary.BigEndian.Uint64(header[8:])),
		Time:     time.Unix(0, int64(binary.BigEndian.Uint64(header[16:]))),
		Data:     buffer,
	}, buffer, nil
}

// A cutError tells that a stream broke off.
type cutError struct{ err error }

func (e *cutError) Error() string { return "the stream from the pod was cut: " + e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }
