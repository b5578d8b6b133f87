package frame

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pair gives both ends of a connection.
func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*Conn
	for i, fd := range fds {
		if conns[i], err = FileConn(os.NewFile(uintptr(fd), "socket")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conns[i].Close() })
	}
	return conns[0], conns[1]
}

func TestFramesCarryBytesAndFiles(t *testing.T) {
	a, b := pair(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	large := bytes.Repeat([]byte("x"), 3<<20)
	sent := make(chan error, 1)
	go func() {
		defer write.Close()
		sent <- errors.Join(
			a.Send('1', nil),
			a.Send('2', []byte("with two files"), write, write),
			a.Send('3', large),
			a.Send('4', []byte("with one"), write),
		)
	}()
	for _, want := range []struct {
		typ     byte
		payload []byte
		files   int
	}{{'1', nil, 0}, {'2', []byte("with two files"), 2}, {'3', large, 0}, {'4', []byte("with one"), 1}} {
		f, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if f.Type != want.typ || !bytes.Equal(f.Payload, want.payload) || len(f.Files) != want.files {
			t.Errorf("received %q of %d bytes and %d files, want %q of %d and %d",
				f.Type, len(f.Payload), len(f.Files), want.typ, len(want.payload), want.files)
		}
		for _, file := range f.Files {
			if _, err := file.Write([]byte{want.typ}); err != nil {
				t.Error(err)
			}
			file.Close()
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(read); err != nil || string(got) != "224" {
		t.Errorf("through the files came %q (%v), want 224", got, err)
	}
}

func TestEndOfConnection(t *testing.T) {
	a, b := pair(t)
	a.Close()
	if _, err := b.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want EOF", err)
	}
	c, d := pair(t)
	if _, err := c.socket.Write([]byte{Version, 'x', 0, 0, 0, 0, 0, 9, 'c', 'u', 't'}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := d.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want unexpected EOF", err)
	}
}

func TestFilesThatNobodyTakesAreClosed(t *testing.T) {
	a, b := pair(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	// Of the frame that they belong to only the beginning arrives.
	if _, _, err := a.socket.WriteMsgUnix([]byte{Version}, unix.UnixRights(int(write.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	write.Close()
	a.Close()
	if _, err := b.Receive(); err == nil {
		t.Fatal("half a frame was received")
	}
	b.Close()
	if got, err := io.ReadAll(read); err != nil || len(got) != 0 {
		t.Errorf("read %q (%v)", got, err)
	}
}

func TestRefusedHeaders(t *testing.T) {
	for name, header := range map[string][headerSize]byte{
		"another version": {Version + 1, 'x'},
		"too many files":  {Version, 'x', MaxFiles + 1},
		"flags":           {Version, 'x', 0, 1},
		"too long":        {Version, 'x', 0, 0, 0xff},
	} {
		_, err := parseHeader(header)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if versionError := (*VersionError)(nil); errors.As(err, &versionError) != (header[0] != Version) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	a, _ := pair(t)
	if err := a.Send('x', make([]byte, MaxPayload+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("sending too much gave error %v", err)
	}
}

func TestFileConnRefusesOtherFiles(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FileConn(f); err == nil {
		t.Error("a file was taken for a socket")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tcp, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FileConn(tcp); err == nil || !strings.Contains(err.Error(), "tcp") {
		t.Errorf("a TCP socket gave error %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(appendHeader(nil, header{typ: 'q', files: 1, length: 3}), "abc"...))
	f.Add([]byte{Version, 'q', 0, 0, 0, 0xff, 0xff, 0xff, 'c', 'u', 't'})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, files, err := read(bytes.NewReader(b))
		if err != nil {
			return
		}
		again := append(appendHeader(nil, header{typ: frame.Type, files: files, length: len(frame.Payload)}), frame.Payload...)
		if !bytes.HasPrefix(b, again) {
			t.Errorf("%x was read as what is written %x", b, again)
		}
	})
}
