// Package frame carries messages, and open files, over unix stream sockets: between
// the server and a container's supervisor, and between the supervisor and the
// container's first process.
//
// Each end may be older than the other, for a supervisor outlives the server that
// started it; so every frame begins with the protocol's version, and an end that
// reads another version says so instead of guessing.
package frame

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Version is the protocol's version. It changes when a frame that an older end
// sends, or waits for, would be misread.
const Version = 1

const (
	headerSize = 8
	// MaxPayload is how many bytes a frame may carry.
	MaxPayload = 16 << 20
	// MaxFiles is how many open files a frame may carry.
	MaxFiles = 3
)

// A Frame is one message. What Type means is for the ends to agree on.
type Frame struct {
	Type    byte
	Payload []byte
	// Files are the receiver's to close.
	Files []*os.File
}

// VersionError tells that the other end speaks another version.
type VersionError struct{ Got byte }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the other end speaks version %d of the agent's protocol and this one version %d", e.Got, Version)
}

// A header is what a frame begins with.
type header struct {
	typ    byte
	files  int
	length int
}

func parseHeader(b [headerSize]byte) (header, error) {
	if b[0] != Version {
		return header{}, &VersionError{Got: b[0]}
	}
	h := header{typ: b[1], files: int(b[2]), length: int(binary.BigEndian.Uint32(b[4:]))}
	switch {
	case b[3] != 0:
		return header{}, fmt.Errorf("frame header has %#x where 0 belongs", b[3])
	case h.files > MaxFiles:
		return header{}, fmt.Errorf("frame of %d files is over the limit of %d", h.files, MaxFiles)
	case h.length > MaxPayload:
		return header{}, fmt.Errorf("frame of %d bytes is over the limit of %d", h.length, MaxPayload)
	}
	return h, nil
}

func appendHeader(b []byte, h header) []byte {
	b = append(b, Version, h.typ, byte(h.files), 0)
	return binary.BigEndian.AppendUint32(b, uint32(h.length))
}

// read reads one frame without its files, and says how many there are.
func read(r io.Reader) (Frame, int, error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Frame{}, 0, err
	}
	h, err := parseHeader(b)
	if err != nil {
		return Frame{}, 0, err
	}
	payload := make([]byte, h.length)
	if _, err := io.ReadFull(r, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, 0, err
	}
	return Frame{Type: h.typ, Payload: payload}, h.files, nil
}

// A Conn sends and receives frames. One goroutine may receive while many send.
type Conn struct {
	socket *net.UnixConn
	source *fileReader
	reader *bufio.Reader

	sending sync.Mutex
	out     []byte
}

// NewConn takes over the socket, which must be a stream socket.
func NewConn(socket *net.UnixConn) *Conn {
	source := &fileReader{socket: socket}
	return &Conn{socket: socket, source: source, reader: bufio.NewReaderSize(source, 4096)}
}

// FileConn makes a Conn of a socket that was inherited, and closes file.
func FileConn(file *os.File) (*Conn, error) {
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("use inherited socket: %w", err)
	}
	socket, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("inherited socket is a %s socket, not a unix socket", c.LocalAddr().Network())
	}
	return NewConn(socket), nil
}

// Send sends one frame. files stay the caller's.
func (c *Conn) Send(typ byte, payload []byte, files ...*os.File) error {
	if len(payload) > MaxPayload || len(files) > MaxFiles {
		return fmt.Errorf("frame of %d bytes and %d files is over the limit of %d and %d", len(payload), len(files), MaxPayload, MaxFiles)
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	c.out = appendHeader(c.out[:0], header{typ: typ, files: len(files), length: len(payload)})
	c.out = append(c.out, payload...)
	rest := c.out
	if len(files) > 0 {
		descriptors := make([]int, len(files))
		for i, f := range files {
			var err error
			if descriptors[i], err = descriptor(f); err != nil {
				return err
			}
		}
		n, _, err := c.socket.WriteMsgUnix(rest, unix.UnixRights(descriptors...), nil)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	_, err := c.socket.Write(rest)
	return err
}

// descriptor gives a file's number without making it blocking, as File.Fd may.
func descriptor(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	number := -1
	err = raw.Control(func(fd uintptr) { number = int(fd) })
	return number, err
}

// Receive waits for a frame. It gives io.EOF when the other end has closed between two frames.
func (c *Conn) Receive() (Frame, error) {
	f, files, err := read(c.reader)
	if err != nil {
		return Frame{}, err
	}
	f.Files, err = c.source.take(files)
	return f, err
}

// Close closes the socket, and the files that were received and not given out.
func (c *Conn) Close() error {
	err := c.socket.Close()
	c.source.close()
	return err
}

// A fileReader reads a socket and keeps the files that come along, in order.
type fileReader struct {
	socket *net.UnixConn

	mu     sync.Mutex
	files  []*os.File
	closed bool
}

func (r *fileReader) Read(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4*MaxFiles))
	n, oobn, flags, _, err := r.socket.ReadMsgUnix(p, oob)
	if err != nil {
		return 0, err
	}
	if oobn > 0 {
		if err := r.keep(oob[:oobn]); err != nil {
			return 0, err
		}
		if flags&unix.MSG_CTRUNC != 0 {
			return 0, errors.New("more files came along than a frame may carry")
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *fileReader) keep(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("parse control message: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, message := range messages {
		descriptors, err := unix.ParseUnixRights(&message)
		if err != nil {
			return fmt.Errorf("parse control message: %w", err)
		}
		for _, d := range descriptors {
			r.files = append(r.files, os.NewFile(uintptr(d), "received"))
		}
	}
	if r.closed {
		r.drop()
	}
	return nil
}

func (r *fileReader) take(n int) ([]*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > len(r.files) {
		return nil, fmt.Errorf("frame speaks of %d files and %d came along", n, len(r.files))
	}
	files := r.files[:n:n]
	r.files = r.files[n:]
	return files, nil
}

func (r *fileReader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.drop()
}

func (r *fileReader) drop() {
	for _, f := range r.files {
		f.Close()
	}
	r.files = nil
}
