package hijack

import (
	"encoding/binary"
	"fmt"
	"math"

	"midge/runtime"
)

// Subprotocol is the websocket subprotocol of our own wire. A client that does
// not offer it, or a server that does not take it, speaks fly's.
const Subprotocol = "midge.hijack.v1"

const (
	// maxData bounds the bytes of input in one frame, maxOutput those of output, of
	// which there may be much.
	maxData   = 64 << 10
	maxOutput = 256 << 10
	// maxMessage bounds a frame, its header included.
	maxMessage = 1 << 20
)

// frameKind says what a frame is; it is the first byte of its message.
type frameKind byte

const (
	frameStart      frameKind = 0x01 // client: run a command
	frameAttach     frameKind = 0x02 // client: go on with a session
	frameAttached   frameKind = 0x03 // server: the answer to both
	frameOutput     frameKind = 0x04 // server
	frameOutputAck  frameKind = 0x05 // client: has written the output before offset
	frameInput      frameKind = 0x06 // client
	frameInputAck   frameKind = 0x07 // server: the process has the input before offset
	frameCloseStdin frameKind = 0x08 // client: input ends at offset
	frameResize     frameKind = 0x09 // client
	frameSignal     frameKind = 0x0a // client: for the process group
	frameEnd        frameKind = 0x0b // client: hang up on the process
	frameExit       frameKind = 0x0c // server: how the process ended
	frameError      frameKind = 0x0d // server: why there is no session, or no longer
	frameLost       frameKind = 0x0e // server: count bytes of output from offset on are gone
	frameEndAck     frameKind = 0x0f // client: has been told of the end, and has written all output
	framePing       frameKind = 0x10 // both
	framePong       frameKind = 0x11 // both: the answer, with the same offset
)

// shape says what fields a kind of frame has after its first byte.
type shape struct {
	name   string
	stream bool // one byte: 1 is stdout, 2 is stderr
	offset bool // eight bytes, big-endian, never negative
	count  bool // the same
	size   bool // columns and rows, two bytes each, big-endian
	data   int  // the most bytes that may follow; 0: none
}

var shapes = map[frameKind]shape{
	frameStart:      {name: "start", data: maxMessage - 1},
	frameAttach:     {name: "attach", data: 4 << 10},
	frameAttached:   {name: "attached", data: maxMessage - 1},
	frameOutput:     {name: "output", stream: true, offset: true, data: maxOutput},
	frameOutputAck:  {name: "output-ack", offset: true},
	frameInput:      {name: "input", offset: true, data: maxData},
	frameInputAck:   {name: "input-ack", offset: true},
	frameCloseStdin: {name: "close-stdin", offset: true},
	frameResize:     {name: "resize", size: true},
	frameSignal:     {name: "signal", data: 16},
	frameEnd:        {name: "end"},
	frameExit:       {name: "exit", data: 4 << 10},
	frameError:      {name: "error", data: 64 << 10},
	frameLost:       {name: "lost", offset: true, count: true},
	frameEndAck:     {name: "end-ack"},
	framePing:       {name: "ping", offset: true},
	framePong:       {name: "pong", offset: true},
}

func (k frameKind) String() string {
	if s, ok := shapes[k]; ok {
		return s.name
	}
	return fmt.Sprintf("0x%02x", byte(k))
}

// frame is one message of our wire. Fields that its kind does not have are zero.
type frame struct {
	kind   frameKind
	stream runtime.Stream
	offset int64
	count  int64
	size   runtime.WindowSize
	data   []byte
}

// malformedError tells that a message is no frame.
type malformedError struct{ reason string }

func (e *malformedError) Error() string { return "malformed frame: " + e.reason }

func malformed(format string, args ...any) error {
	return &malformedError{fmt.Sprintf(format, args...)}
}

// appendTo appends the message of a frame.
func (f frame) appendTo(message []byte) []byte {
	s := shapes[f.kind]
	message = append(message, byte(f.kind))
	if s.stream {
		message = append(message, byte(f.stream))
	}
	if s.offset {
		message = binary.BigEndian.AppendUint64(message, uint64(f.offset))
	}
	if s.count {
		message = binary.BigEndian.AppendUint64(message, uint64(f.count))
	}
	if s.size {
		message = binary.BigEndian.AppendUint16(message, f.size.Columns)
		message = binary.BigEndian.AppendUint16(message, f.size.Rows)
	}
	return append(message, f.data...)
}

// parseFrame reads a message. Data is part of the message, not a copy.
func parseFrame(message []byte) (frame, error) {
	if len(message) == 0 {
		return frame{}, malformed("it is empty")
	}
	f := frame{kind: frameKind(message[0])}
	s, ok := shapes[f.kind]
	if !ok {
		return frame{}, malformed("its kind is %s, which version 1 does not have", f.kind)
	}
	rest := message[1:]
	take := func(n int) []byte {
		if len(rest) < n {
			rest = nil
			ok = false
			return make([]byte, n)
		}
		field := rest[:n]
		rest = rest[n:]
		return field
	}
	if s.stream {
		f.stream = runtime.Stream(take(1)[0])
	}
	if s.offset {
		f.offset = int64(binary.BigEndian.Uint64(take(8)))
	}
	if s.count {
		f.count = int64(binary.BigEndian.Uint64(take(8)))
	}
	if s.size {
		f.size.Columns = binary.BigEndian.Uint16(take(2))
		f.size.Rows = binary.BigEndian.Uint16(take(2))
	}
	switch {
	case !ok:
		return frame{}, malformed("its %s header is cut", s.name)
	case s.stream && f.stream != runtime.Stdout && f.stream != runtime.Stderr:
		return frame{}, malformed("its stream is %d, neither stdout nor stderr", f.stream)
	case f.offset < 0 || f.count < 0 || f.offset > math.MaxInt64-maxMessage-f.count:
		return frame{}, malformed("a number of its %s is out of range", s.name)
	case len(rest) > s.data:
		return frame{}, malformed("its %s has %d bytes of data, more than the %d there may be", s.name, len(rest), s.data)
	}
	if len(rest) > 0 {
		f.data = rest
	}
	return f, nil
}
