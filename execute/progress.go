package execute

import (
	"errors"

	"midge/api"
)

// ErrAbortedEarly tells that an execution was aborted before it had a build.
var ErrAbortedEarly = errors.New("aborted before the build was created")

// Progress is one of Sending, Sent, Created, Happened, Aborting, Receiving and Received.
// It is told from one goroutine at a time, though not always from the same.
type Progress interface{ progress() }

// Sending tells how far an input is on its way.
type Sending struct {
	Input string
	// Bytes have been read of the input's files so far; Total is how many they are.
	Bytes, Total int64
}

// Sent tells that an input is with the server.
type Sent struct {
	Input    string
	Artifact api.Artifact
	Files    int   // how many the input has
	Bytes    int64 // how long they are together
	Wire     int64 // how many bytes went over the wire for them
}

// Created tells that the build exists.
type Created struct {
	Build api.Build
	URL   string // of the page about it
}

// Happened tells of one event of the build.
type Happened struct {
	Event api.Event
	Data  api.EventData // what it says
}

// Aborting tells that the server is being asked to abort the build.
type Aborting struct{ BuildID int }

// Receiving tells how far an output is on its way home. How much is to come is not known.
type Receiving struct {
	Output string
	Bytes  int64 // that came over the wire so far
}

// Received tells that an output is in its directory.
type Received struct {
	Output    string
	Directory string
	Artifact  api.Artifact
	Wire      int64 // how many bytes came over the wire for it
}

func (Sending) progress()   {}
func (Sent) progress()      {}
func (Created) progress()   {}
func (Happened) progress()  {}
func (Aborting) progress()  {}
func (Receiving) progress() {}
func (Received) progress()  {}
