package api

import "encoding/json"

// Event kinds and the version of each that midge writes. They are Concourse's.
const (
	EventStatus         = "status"
	EventInitializeTask = "initialize-task"
	EventSelectedWorker = "selected-worker"
	EventStartTask      = "start-task"
	EventLog            = "log"
	EventFinishTask     = "finish-task"
	EventError          = "error"

	EventStatusVersion         = "1.0"
	EventInitializeTaskVersion = "4.0"
	EventSelectedWorkerVersion = "1.0"
	EventStartTaskVersion      = "5.0"
	EventLogVersion            = "5.1"
	EventFinishTaskVersion     = "4.0"
	EventErrorVersion          = "4.1"
)

// Event kinds that only midge knows. A follower gets them when it asks with the
// header EventsHeader; to others they are left out, and the numbering keeps its gaps.
const (
	EventWaiting = "waiting" // the build or a step waits its turn
	EventHold    = "hold"    // a container was held or released
	EventHijack  = "hijack"  // a session began or ended
	EventUsage   = "usage"   // what a step used
	EventSystem  = "system"  // what the workers' machine did meanwhile
	EventCause   = "cause"   // why a step did not succeed

	// EventMidgeVersion is the version of all of them.
	EventMidgeVersion = "1.0"
)

// EventsHeader is the request header by which a follower asks for midge's own events.
const EventsHeader = "Midge-Events"

// Event is one entry of a build's log, in the envelope that goes over the wire.
type Event struct {
	Data    json.RawMessage `json:"data"`
	Event   string          `json:"event"`
	Version string          `json:"version"`
	ID      string          `json:"event_id"`
}

// Origin says which step of the plan an event comes from.
type Origin struct {
	ID     string `json:"id,omitempty"`
	Source string `json:"source,omitempty"`
}

const (
	SourceStdout = "stdout"
	SourceStderr = "stderr"
)

// StatusEvent tells that the build's status changed. Time is in Unix seconds, as everywhere here.
type StatusEvent struct {
	Status BuildStatus `json:"status"`
	Time   int64       `json:"time"`
}

// InitializeTaskEvent tells that a task step begins.
type InitializeTaskEvent struct {
	Time   int64           `json:"time"`
	Origin Origin          `json:"origin"`
	Config EventTaskConfig `json:"config"`
}

// SelectedWorkerEvent tells where a step runs.
type SelectedWorkerEvent struct {
	Time   int64  `json:"time"`
	Origin Origin `json:"origin"`
	Worker string `json:"selected_worker"`
}

// StartTaskEvent tells that a task's command is about to be started.
type StartTaskEvent struct {
	Time   int64           `json:"time"`
	Origin Origin          `json:"origin"`
	Config EventTaskConfig `json:"config"`
}

// LogEvent carries output. Payload is text; bytes that are no UTF-8 are replaced
// in it, and then Bytes has them all (only midge knows Bytes). NewLogEvent makes one.
type LogEvent struct {
	Time    int64  `json:"time"`
	Origin  Origin `json:"origin"`
	Payload string `json:"payload"`
	Bytes   []byte `json:"bytes,omitempty"`
}

// FinishTaskEvent tells a task's exit status.
type FinishTaskEvent struct {
	Time       int64  `json:"time"`
	ExitStatus int    `json:"exit_status"`
	Origin     Origin `json:"origin"`
}

// ErrorEvent tells why a step errored.
type ErrorEvent struct {
	Message string `json:"message"`
	Origin  Origin `json:"origin"`
	Time    int64  `json:"time"`
}

// EventTaskConfig is the part of a task config that task events repeat.
type EventTaskConfig struct {
	Platform string       `json:"platform"`
	Image    string       `json:"image"`
	Run      EventTaskRun `json:"run"`
	Inputs   []EventInput `json:"inputs"`
}

// EventTaskRun is the command in an EventTaskConfig.
type EventTaskRun struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
	Dir  string   `json:"dir"`
}

// EventInput is an input in an EventTaskConfig.
type EventInput struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// WaitingEvent tells what the build or step waits for, in one sentence, and
// how many wait before it.
type WaitingEvent struct {
	Time   int64  `json:"time"`
	Origin Origin `json:"origin"`
	Reason string `json:"reason"`
	Ahead  int    `json:"ahead"`
}

// HoldEvent tells that a step's container is held until a time, or let go. Without
// Container it is about those that the build will make.
type HoldEvent struct {
	Time      int64  `json:"time"`
	Origin    Origin `json:"origin"`
	Container string `json:"container"`
	// Until is when it will be let go, in Unix seconds; 0 tells that it was.
	Until int64 `json:"until,omitempty"`
	// By is who did it, "" the server itself; then Reason says why.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// HijackEvent tells that a session in a container of the build began, or ended.
type HijackEvent struct {
	Time      int64    `json:"time"`
	Origin    Origin   `json:"origin"`
	Container string   `json:"container"`
	Session   string   `json:"session"`
	User      string   `json:"user"`
	From      string   `json:"from"` // the client's address
	Command   []string `json:"command"`
	// Began is the Time of the event of the beginning; 0 in that one itself.
	Began int64 `json:"began,omitempty"`
	// ExitStatus is there once the command has ended by itself; otherwise
	// Message says why the session ended.
	ExitStatus *int   `json:"exit_status,omitempty"`
	Message    string `json:"message,omitempty"`
}

// Codes of causes.
const (
	CauseMemory    = "out_of_memory"
	CauseDisk      = "out_of_disk"
	CauseTimeout   = "timeout"
	CauseAborted   = "aborted"
	CauseKilled    = "killed" // by a signal that was none of midge's
	CauseProcesses = "too_many_processes"
)

// CauseEvent tells why a step did not succeed, in one sentence. Code is the same
// for the same cause, for programs.
type CauseEvent struct {
	Time    int64  `json:"time"`
	Origin  Origin `json:"origin"`
	Code    string `json:"code"`
	Message string `json:"message"`
}
