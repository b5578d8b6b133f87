// Package pid1 is the first process of a container, and how its supervisor outside
// talks to it.
//
// The first process starts the task and every hijacked process when it is asked to,
// so that all of them are its children: it reaps them, and what they leave behind,
// and tells how each ended. It lives until the supervisor tells it to go, or is
// gone; then the kernel ends everything in the container with it. What runs in the
// container can neither end it nor look into it.
//
// It knows nothing of images, mounts or limits: those are made before it starts.
package pid1

import (
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"
)

// Descriptor is where the first process finds its end of the socket pair.
const Descriptor = 3

// Types of the frames between the supervisor and the first process.
const (
	frameReady   = 'r' // first process: it is there
	frameStart   = 's' // supervisor: Start, with the files that become standard input, output and error
	frameStarted = 'p' // first process: started, with the terminal's master if there is one
	frameFailed  = 'f' // first process: Failure
	frameSignal  = 'k' // supervisor: signalProcess
	frameEndAll  = 'e' // supervisor: send every process a signal
	frameNone    = 'n' // first process: after frameEndAll, no process is left
	frameExited  = 'x' // first process: Exit
)

// Start says what to start.
type Start struct {
	ID   string   `json:"id"`
	Path string   `json:"path"`
	Args []string `json:"args,omitempty"`
	// Env is the whole environment but for HOME, USER, PATH and TERM, which are
	// added when they are missing.
	Env []string `json:"env,omitempty"`
	// WorkingDir is made when it is not there; Dir, relative to it or absolute, is not.
	WorkingDir string `json:"working_dir"`
	Dir        string `json:"dir,omitempty"`
	// User is a name or a number, with or without a group behind a colon; "" is root.
	User string `json:"user,omitempty"`
	// Own are directories that are given to the user while they are root's.
	Own []string `json:"own,omitempty"`
	// Unprivileged takes from the process what a container that is not privileged lacks.
	Unprivileged bool  `json:"unprivileged,omitempty"`
	TTY          *Size `json:"tty,omitempty"`
	Stdin        bool  `json:"stdin,omitempty"`
	// EndTree ends, with the process, all that it has started.
	EndTree bool `json:"end_tree,omitempty"`
}

// Size is a terminal's size in characters.
type Size struct {
	Columns uint16 `json:"columns"`
	Rows    uint16 `json:"rows"`
}

// FailureKind says what a process could not be started for.
type FailureKind string

const (
	FailedExecutable FailureKind = "executable" // what to run is not there, or cannot be run
	FailedSpec       FailureKind = "spec"       // its directory or its user is not there
	FailedSystem     FailureKind = "system"     // anything else
)

// Failure tells why a process could not be started. Nothing is left of it.
type Failure struct {
	ID      string      `json:"id"`
	Kind    FailureKind `json:"kind"`
	Message string      `json:"message"`
	// Path and Found are about FailedExecutable: what was looked for, and whether something is there.
	Path  string `json:"path,omitempty"`
	Found bool   `json:"found,omitempty"`
}

func (f *Failure) Error() string { return f.Message }

// Exit tells how a process ended.
type Exit struct {
	ID string `json:"id"`
	// Code is what it gave to exit, or 128 and the signal's number.
	Code int `json:"code"`
	// Signal is the number of the signal that ended it, 0 when it exited.
	Signal int `json:"signal,omitempty"`
	// Used is what it and those below it that were waited for used, nil when it was
	// not waited for itself.
	Used *unix.Rusage `json:"used,omitempty"`
}

type started struct {
	ID  string `json:"id"`
	PID int    `json:"pid"` // in the container
}

type signalProcess struct {
	ID     string `json:"id,omitempty"`
	Signal int    `json:"signal"`
}

// encode is for the types above, which always can be.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("pid1: encode %T: %v", v, err))
	}
	return b
}

func decode[T any](payload []byte) (T, error) {
	var v T
	if err := json.Unmarshal(payload, &v); err != nil {
		return v, fmt.Errorf("decode %T: %w", v, err)
	}
	return v, nil
}
