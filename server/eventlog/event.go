package eventlog

import (
	"encoding/json"
	"strconv"
)

// Event is one event of a log.
type Event struct {
	// ID is the event's number in its log. Append sets it.
	ID int64
	// Kind and Version say what Data is; api.EventLog and the like.
	Kind    string
	Version string
	// Data is the event's JSON, on one line.
	Data json.RawMessage
	// Marks are kept with the event and are no part of what followers are shown.
	Marks []Mark
}

// Mark is a number that is kept under a name, the latest of a name counting.
type Mark struct {
	Name  string
	Value int64
}

// AppendEnvelope appends to b the event in the envelope that goes over the wire, as
// api.Event describes it.
func (e Event) AppendEnvelope(b []byte) []byte {
	b = append(b, `{"data":`...)
	b = append(b, e.Data...)
	b = append(b, `,"event":`...)
	b = strconv.AppendQuote(b, e.Kind)
	b = append(b, `,"version":`...)
	b = strconv.AppendQuote(b, e.Version)
	b = append(b, `,"event_id":"`...)
	b = strconv.AppendInt(b, e.ID, 10)
	return append(b, `"}`...)
}
