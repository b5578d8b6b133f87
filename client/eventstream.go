package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxFrameBytes bounds one frame of an event stream.
const maxFrameBytes = 8 << 20

// errFrameTooLong tells that a frame of an event stream has no end in sight.
var errFrameTooLong = errors.New("an event is longer than 8 MiB")

// frame is one message of a server-sent event stream. Its slices are valid until the
// next call of next.
type frame struct {
	id    []byte
	event []byte
	data  []byte
}

// frameReader reads server-sent events as the HTML standard defines them. A frame that
// the stream ends in the middle of is not given.
type frameReader struct {
	lines *bufio.Reader
	long  []byte // a line that did not fit the reader's buffer
	frame frame
	size  int
}

func newFrameReader(stream io.Reader) *frameReader {
	return &frameReader{lines: bufio.NewReaderSize(stream, 64<<10)}
}

// next gives the next frame that has data or a name; io.EOF at the end.
func (r *frameReader) next() (frame, error) {
	r.frame.id, r.frame.event, r.frame.data = r.frame.id[:0], r.frame.event[:0], r.frame.data[:0]
	r.size = 0
	for {
		line, err := r.line()
		if err != nil {
			return frame{}, err
		}
		if len(line) == 0 {
			if len(r.frame.data) == 0 && len(r.frame.event) == 0 {
				continue // a comment that keeps the connection alive
			}
			return r.frame, nil
		}
		r.field(line)
	}
}

// field takes in one line of a frame.
func (r *frameReader) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(name) {
	case "id":
		r.frame.id = append(r.frame.id[:0], value...)
	case "event":
		r.frame.event = append(r.frame.event[:0], value...)
	case "data":
		if len(r.frame.data) > 0 {
			r.frame.data = append(r.frame.data, '\n')
		}
		r.frame.data = append(r.frame.data, value...)
	}
}

// line gives the next line without its end.
func (r *frameReader) line() ([]byte, error) {
	line, err := r.lines.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		r.long = r.long[:0]
		for err == bufio.ErrBufferFull && r.size+len(r.long) <= maxFrameBytes {
			r.long = append(r.long, line...)
			line, err = r.lines.ReadSlice('\n')
		}
		r.long = append(r.long, line...)
		line = r.long
	}
	if r.size += len(line); r.size > maxFrameBytes {
		return nil, errFrameTooLong
	}
	if err != nil {
		return nil, err
	}
	line = line[:len(line)-1]
	return bytes.TrimSuffix(line, []byte{'\r'}), nil
}
