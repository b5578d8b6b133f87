package api

import "encoding/json"

// Event kinds and the version of each that midge writes. They are Concourse's.
const (
	EventStatus         = "status"          // 1.0
	EventInitializeTask = "initialize-task" // 4.0
	EventSelectedWorker = "selected-worker" // 1.0
	EventStartTask      = "start-task"      // 5.0
	EventLog            = "log"             // 5.1
	EventFinishTask     = "finish-task"     // 4.0
	EventError          = "error"           // 4.1
)

// Event kinds that only midge knows. A follower gets them when it asks with the
// header EventsHeader; to others they are left out, and the numbering keeps its gaps.
const (
	EventWaiting = "waiting" // 1.0: the build or a step waits its turn
	EventHold    = "hold"    // 1.0: a container was held or released
	EventHijack  = "hijack"  // 1.0: a session began or ended
	EventUsage   = "usage"   // 1.0: what a step used
	EventCause   = "cause"   // 1.0: why a step did not succeed
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
// in it, and then Bytes has them all (only midge knows Bytes).
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
