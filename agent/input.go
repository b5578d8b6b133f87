package agent

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// endOfTransmission is what ends the input of one who reads a terminal's lines.
const endOfTransmission = 0x04

// A processInput is where a process's input goes. Bytes are counted, so that one
// who does not know how much of it arrived may write it again.
type processInput struct {
	file     *os.File
	terminal bool

	mu       sync.Mutex
	received int64
	midLine  bool // the last byte did not end a line
	closed   bool // by closeStdin
	ended    bool // the process has
}

var errEnded = &Error{Kind: ErrorSpec, Message: "input for a process that has ended"}

// write gives the process what of data it has not been given, and says how many
// bytes that makes in all. offset is the number of input bytes before data. It
// waits until the process takes them.
func (in *processInput) write(offset int64, data []byte) (int64, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if offset > in.received {
		return in.received, &Error{Kind: ErrorSpec, Message: fmt.Sprintf("input at offset %d, and only %d bytes have arrived", offset, in.received)}
	}
	known := in.received - offset
	if known >= int64(len(data)) {
		return in.received, nil
	}
	if in.closed {
		return in.received, &Error{Kind: ErrorSpec, Message: "input for a process whose input was closed"}
	}
	if in.ended {
		return in.received, errEnded
	}
	n, err := in.file.Write(data[known:])
	in.received += int64(n)
	if n > 0 {
		in.midLine = data[known+int64(n)-1] != '\n'
	}
	switch {
	case errors.Is(err, os.ErrClosed):
		return in.received, errEnded
	case errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EIO):
		// Nobody reads it any more. To who writes that is no different from a
		// process that took it and did not care.
		in.received = max(in.received, offset+int64(len(data)))
		return in.received, nil
	}
	return in.received, err
}

// closeStdin tells the process that no input follows.
func (in *processInput) closeStdin() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || in.ended {
		return nil
	}
	in.closed = true
	if !in.terminal {
		return in.file.Close()
	}
	end := []byte{endOfTransmission}
	if in.midLine { // the first one only ends the line
		end = append(end, endOfTransmission)
	}
	_, err := in.file.Write(end)
	if errors.Is(err, unix.EIO) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// close ends the input of a process that has ended; who is waiting in write is let go.
func (in *processInput) close() {
	in.file.Close()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
}
