package execute

import (
	"errors"

	"midge/api"
	"midge/artifacts/transfer"
)

// ErrAbortedEarly tells that an execution was aborted before it had a build.
var ErrAbortedEarly = errors.New("aborted before the build was created")

// Progress is one of Sending, Sent, Estimated, Created, Happened, Aborting, Receiving and
// Received. It is told from one goroutine at a time, though not always from the same.
type Progress interface{ progress() }

// Sending tells how far an input is on its way.
type Sending struct {
	Input string
	Files int64 // that were looked at so far
	// Bytes of Total have been sent, before compression. Total is 0 until it is known.
	Bytes, Total int64
}

// Sent tells that an input is with the server.
type Sent struct {
	Input    string
	Artifact api.Artifact
	Receipt  transfer.Receipt
}

// Estimated tells what of an input would be sent.
type Estimated struct {
	Input   string
	Receipt transfer.Receipt
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

// Receiving tells how far an output is on its way home.
type Receiving struct {
	Output string
	// Bytes of Total have come. Total is 0 while it is not known; it never is where the
	// server sends archives.
	Bytes, Total int64
}

// Received tells that an output is in its directory.
type Received struct {
	Output    string
	Directory string
	Artifact  api.Artifact
	Receipt   transfer.FetchReceipt
}

func (Sending) progress()   {}
func (Sent) progress()      {}
func (Estimated) progress() {}
func (Created) progress()   {}
func (Happened) progress()  {}
func (Aborting) progress()  {}
func (Receiving) progress() {}
func (Received) progress()  {}
