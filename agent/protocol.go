package agent

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"midge/agent/pid1"
)

// Types of the frames on a supervisor's socket. A connection carries one request
// after the other, each answered before the next; a follow and a wait are the last
// of theirs.
const (
	frameRequest  = 'q' // client: request
	frameInput    = 'i' // client: input, answered like a request
	frameRead     = 'a' // client, while it follows: up to where it has read
	frameResponse = 'o' // supervisor: response
	frameProgress = 'g' // supervisor, to one that follows: progress
)

// Operations of a request.
const (
	opRun        = "run"
	opFollow     = "follow"
	opWait       = "wait"
	opCloseStdin = "close-stdin"
	opResize     = "resize"
	opSignal     = "signal"
	opListen     = "listen"
	opStop       = "stop"
	opRoot       = "root"
)

type request struct {
	Operation string        `json:"operation"`
	Process   string        `json:"process,omitempty"`
	Run       *Process      `json:"run,omitempty"`
	From      int64         `json:"from,omitempty"`
	Size      *pid1.Size    `json:"size,omitempty"`
	Signal    int           `json:"signal,omitempty"`
	Grace     time.Duration `json:"grace,omitempty"`
}

type response struct {
	Error *Error `json:"error,omitempty"`
	// Offset is how many bytes of input the process has been given.
	Offset int64 `json:"offset,omitempty"`

	// files come along with the answer, and are the receiver's to close.
	files []*os.File
}

// A Process says what to run.
type Process struct {
	ID   string   `json:"id"`
	Path string   `json:"path"`
	Args []string `json:"args,omitempty"`
	Dir  string   `json:"dir,omitempty"`
	// Env is added to the container's.
	Env []string `json:"env,omitempty"`
	// User is "" for the container's.
	User       string     `json:"user,omitempty"`
	Privileged bool       `json:"privileged,omitempty"`
	TTY        *pid1.Size `json:"tty,omitempty"`
	Stdin      bool       `json:"stdin,omitempty"`
	// Scrollback bounds the output that is kept, 0 keeps all. When that much was
	// written that nobody has read, the process waits.
	Scrollback int64 `json:"scrollback,omitempty"`
	// EndTree ends with the process all that it has started.
	EndTree bool `json:"end_tree,omitempty"`
	// Sample has kept what the container uses while the process runs.
	Sample bool `json:"sample,omitempty"`
}

// ErrorKind says what a request failed for.
type ErrorKind string

const (
	ErrorExecutable ErrorKind = ErrorKind(pid1.FailedExecutable)
	ErrorSpec       ErrorKind = ErrorKind(pid1.FailedSpec)
	ErrorSystem     ErrorKind = ErrorKind(pid1.FailedSystem)
	ErrorExists     ErrorKind = "exists"    // the process's id was used already
	ErrorNotFound   ErrorKind = "not-found" // there is no such process
	ErrorGone       ErrorKind = "gone"      // the container is down, or going
)

// An Error is why a supervisor did not do what it was asked to.
type Error struct {
	Kind    ErrorKind `json:"kind"`
	Message string    `json:"message"`
	// Path and Found are ErrorExecutable's: what was looked for, and whether something is there.
	Path  string `json:"path,omitempty"`
	Found bool   `json:"found,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// errorOf gives err as it goes over the socket, nil for nil.
func errorOf(err error) *Error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	if f := (*pid1.Failure)(nil); errors.As(err, &f) {
		return &Error{Kind: ErrorKind(f.Kind), Message: f.Message, Path: f.Path, Found: f.Found}
	}
	if errors.Is(err, pid1.ErrGone) {
		return &Error{Kind: ErrorGone, Message: err.Error()}
	}
	return &Error{Kind: ErrorSystem, Message: err.Error()}
}

// An Exit is how a process ended, as it is recorded on disk.
type Exit struct {
	// Code is what the process gave to exit, or 128 and the signal's number.
	Code int `json:"code"`
	// Signal is the number of the signal that ended it, 0 when it exited.
	Signal int `json:"signal,omitempty"`
	// OOMKilled tells that the kernel killed a process of the container for memory meanwhile.
	OOMKilled bool `json:"oom_killed,omitempty"`
	// DiskUsed is how many bytes the container took on the disk when the process was killed
	// because they were too many, or ended while no more could be written, else 0.
	DiskUsed uint64    `json:"disk_used,omitempty"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	// Error is why not all of the output was kept, "" when it was.
	Error string `json:"error,omitempty"`
}

// input is a piece of a process's input. It has a form of its own because a
// keystroke is one.
type input struct {
	process string
	offset  int64 // the number of input bytes before data
	data    []byte
}

func (in input) append(b []byte) []byte {
	b = append(b, byte(len(in.process)))
	b = append(b, in.process...)
	b = binary.BigEndian.AppendUint64(b, uint64(in.offset))
	return append(b, in.data...)
}

func parseInput(b []byte) (input, error) {
	if len(b) < 1 || len(b) < 1+int(b[0])+8 {
		return input{}, fmt.Errorf("a frame of input is cut after %d bytes", len(b))
	}
	n := 1 + int(b[0])
	in := input{process: string(b[1:n]), offset: int64(binary.BigEndian.Uint64(b[n:])), data: b[n+8:]}
	if in.offset < 0 {
		return input{}, errors.New("a frame of input has a negative offset")
	}
	return in, nil
}

// progress tells one that follows a process's output how far that has come.
type progress struct {
	end   int64 // the sequence number after the last byte on disk
	ended bool  // nothing will follow
}

func (p progress) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(p.end))
	if p.ended {
		return append(b, 1)
	}
	return append(b, 0)
}

func parseProgress(b []byte) (progress, error) {
	if len(b) != 9 || b[8] > 1 {
		return progress{}, errors.New("a frame of progress is damaged")
	}
	return progress{end: int64(binary.BigEndian.Uint64(b)), ended: b[8] == 1}, nil
}

func appendRead(b []byte, sequence int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(sequence))
}

func parseRead(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, errors.New("a frame of what was read is damaged")
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // the types above always can be
		panic(fmt.Sprintf("agent: encode %T: %v", v, err))
	}
	return b
}
