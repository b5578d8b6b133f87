package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// EventData is what an event says: one of the event structs of this package.
type EventData interface {
	// kind gives the event's kind and its version.
	kind() (kind, version string)
}

func (StatusEvent) kind() (string, string) { return EventStatus, EventStatusVersion }
func (InitializeTaskEvent) kind() (string, string) {
	return EventInitializeTask, EventInitializeTaskVersion
}
func (SelectedWorkerEvent) kind() (string, string) {
	return EventSelectedWorker, EventSelectedWorkerVersion
}
func (StartTaskEvent) kind() (string, string)  { return EventStartTask, EventStartTaskVersion }
func (LogEvent) kind() (string, string)        { return EventLog, EventLogVersion }
func (FinishTaskEvent) kind() (string, string) { return EventFinishTask, EventFinishTaskVersion }
func (ErrorEvent) kind() (string, string)      { return EventError, EventErrorVersion }
func (WaitingEvent) kind() (string, string)    { return EventWaiting, EventMidgeVersion }
func (HoldEvent) kind() (string, string)       { return EventHold, EventMidgeVersion }
func (HijackEvent) kind() (string, string)     { return EventHijack, EventMidgeVersion }
func (CauseEvent) kind() (string, string)      { return EventCause, EventMidgeVersion }
func (StepUsage) kind() (string, string)       { return EventUsage, EventMidgeVersion }
func (SystemUsage) kind() (string, string)     { return EventSystem, EventMidgeVersion }

// NewEvent puts data in its envelope. The ID is left to the log that it is added to.
func NewEvent(data EventData) Event {
	kind, version := data.kind()
	encoded, err := json.Marshal(data)
	if err != nil {
		// The event structs hold strings, numbers and lists of them.
		panic(fmt.Sprintf("api: encode a %s event: %v", kind, err))
	}
	return Event{Data: encoded, Event: kind, Version: version}
}

// UnknownEventError tells that an event is of a kind or major version that this
// midge does not know. A follower passes over it.
type UnknownEventError struct{ Kind, Version string }

func (e *UnknownEventError) Error() string {
	return fmt.Sprintf("events of the kind %q in version %q are not known here", e.Kind, e.Version)
}

// Decode gives what the event says, as one of the event structs (not a pointer
// to it). A kind or major version that is not known is an *UnknownEventError.
func (e Event) Decode() (EventData, error) {
	switch e.Event {
	case EventStatus:
		return decodeEvent[StatusEvent](e)
	case EventInitializeTask:
		return decodeEvent[InitializeTaskEvent](e)
	case EventSelectedWorker:
		return decodeEvent[SelectedWorkerEvent](e)
	case EventStartTask:
		return decodeEvent[StartTaskEvent](e)
	case EventLog:
		return decodeEvent[LogEvent](e)
	case EventFinishTask:
		return decodeEvent[FinishTaskEvent](e)
	case EventError:
		return decodeEvent[ErrorEvent](e)
	case EventWaiting:
		return decodeEvent[WaitingEvent](e)
	case EventHold:
		return decodeEvent[HoldEvent](e)
	case EventHijack:
		return decodeEvent[HijackEvent](e)
	case EventCause:
		return decodeEvent[CauseEvent](e)
	case EventUsage:
		return decodeEvent[StepUsage](e)
	case EventSystem:
		return decodeEvent[SystemUsage](e)
	}
	return nil, &UnknownEventError{e.Event, e.Version}
}

func decodeEvent[T EventData](e Event) (EventData, error) {
	var data T
	_, version := data.kind()
	if majorVersion(e.Version) != majorVersion(version) {
		return nil, &UnknownEventError{e.Event, e.Version}
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return nil, fmt.Errorf("read the %s event %s: %w", e.Event, e.ID, err)
	}
	return data, nil
}

func majorVersion(version string) string {
	major, _, _ := strings.Cut(version, ".")
	return major
}

// NewLogEvent makes the event of a piece of output. The bytes it is given are not kept
// unless they are no UTF-8: then they are the event's.
func NewLogEvent(time int64, origin Origin, output []byte) LogEvent {
	event := LogEvent{Time: time, Origin: origin}
	if utf8.Valid(output) {
		event.Payload = string(output)
		return event
	}
	// One replacement for each byte, as encoding/json has it.
	event.Payload = string([]rune(string(output)))
	event.Bytes = output
	return event
}

// Output gives the bytes that the task wrote.
func (e LogEvent) Output() []byte {
	if e.Bytes != nil {
		return e.Bytes
	}
	return []byte(e.Payload)
}
