package main

import (
	"context"
	"encoding/json"
	"io"
	"sync"

	"midge/api"
	"midge/client"
	"midge/execute"
	"midge/terminal"
)

// recordSchema is the version of the records that docs/events.md describes.
const recordSchema = 1

// recorder writes what happens to an execution as records for programs, one JSON object
// a line.
type recorder struct {
	mu      sync.Mutex
	encoder *json.Encoder
	err     error // the first of writing
}

func newRecorder(w io.Writer) *recorder {
	encoder := json.NewEncoder(terminal.JSON(w))
	encoder.SetEscapeHTML(false)
	return &recorder{encoder: encoder}
}

// recordHead begins every record.
type recordHead struct {
	Schema int    `json:"schema"`
	Type   string `json:"type"`
}

func head(kind string) recordHead { return recordHead{recordSchema, kind} }

// movingRecord is of the type sending or receiving.
type movingRecord struct {
	recordHead
	Name  string `json:"name"`
	Files int64  `json:"files,omitempty"`
	Bytes int64  `json:"bytes"`
	Total int64  `json:"total"`
}

// movedRecord is of the type sent, estimated or received.
type movedRecord struct {
	recordHead
	Name      string        `json:"name"`
	Directory string        `json:"directory,omitempty"`
	Artifact  *api.Artifact `json:"artifact,omitempty"`
	// A transfer.Receipt, or of the type received a transfer.FetchReceipt.
	Receipt any `json:"receipt"`
}

type createdRecord struct {
	recordHead
	Build int    `json:"build"`
	URL   string `json:"url"`
}

type logRecord struct {
	recordHead
	Stream string `json:"stream"`
	Time   int64  `json:"time"`
	Text   string `json:"text"`
	Bytes  []byte `json:"bytes,omitempty"`
}

type eventRecord struct {
	recordHead
	Event api.Event `json:"event"`
}

type abortingRecord struct {
	recordHead
	Build int `json:"build"`
}

// observe writes one step of progress.
func (r *recorder) observe(progress execute.Progress) {
	switch p := progress.(type) {
	case execute.Sending:
		r.write(movingRecord{head("sending"), p.Input, p.Files, p.Bytes, p.Total})
	case execute.Sent:
		r.write(movedRecord{head("sent"), p.Input, "", &p.Artifact, p.Receipt})
	case execute.Estimated:
		r.write(movedRecord{head("estimated"), p.Input, "", nil, p.Receipt})
	case execute.Created:
		r.write(createdRecord{head("created"), p.Build.ID, p.URL})
	case execute.Happened:
		r.happened(p)
	case execute.Aborting:
		r.write(abortingRecord{head("aborting"), p.BuildID})
	case execute.Receiving:
		r.write(movingRecord{recordHead: head("receiving"), Name: p.Output, Bytes: p.Bytes, Total: p.Total})
	case execute.Received:
		r.write(movedRecord{head("received"), p.Output, p.Directory, &p.Artifact, p.Receipt})
	}
}

func (r *recorder) happened(h execute.Happened) {
	log, ok := h.Data.(api.LogEvent)
	if !ok {
		r.write(eventRecord{head("event"), h.Event})
		return
	}
	stream := log.Origin.Source
	if stream == "" {
		stream = api.SourceStdout
	}
	r.write(logRecord{head("log"), stream, log.Time, log.Payload, log.Bytes})
}

// endRecord is the last record.
type endRecord struct {
	recordHead
	Build      int             `json:"build,omitempty"`
	Status     api.BuildStatus `json:"status,omitempty"`
	ExitStatus int             `json:"exit_status"`
	Cause      *recordedCause  `json:"cause,omitempty"`
	LastLines  []string        `json:"last_lines,omitempty"`
	Outputs    []api.Artifact  `json:"outputs,omitempty"`
	TraceID    string          `json:"trace_id,omitempty"`
	Session    string          `json:"session,omitempty"`
	Detached   bool            `json:"detached,omitempty"`
	Error      string          `json:"error,omitempty"`
}

// recordedCause is why a build did not succeed.
type recordedCause struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

// end writes the last record: of the outcome, and of err, with which the command ends.
func (r *recorder) end(ctx context.Context, c *client.Client, outcome execute.Outcome, err error) error {
	record := endRecord{
		recordHead: head("end"),
		Build:      outcome.BuildID,
		Status:     outcome.Status,
		ExitStatus: exitStatusOf(err),
		Error:      saidOf(err),
	}
	if outcome.Status.Finished() {
		build, err := c.Build(ctx, outcome.BuildID)
		if err != nil {
			return err
		}
		record.TraceID = build.TraceID
		if record.Outputs, err = c.BuildArtifacts(ctx, outcome.BuildID); err != nil {
			return err
		}
		if outcome.Status != api.StatusSucceeded {
			record.Cause, record.LastLines = causeOf(outcome), outcome.LastLines
		}
	}
	r.write(record)
	return r.failure()
}

// saidOf gives what is said on stderr of the error with which a command ends.
func saidOf(err error) string {
	if _, silent := err.(exitStatus); err == nil || silent {
		return ""
	}
	return err.Error()
}

// causeOf says why a build did not succeed.
func causeOf(outcome execute.Outcome) *recordedCause {
	switch {
	case outcome.Cause != nil:
		return &recordedCause{outcome.Cause.Code, outcome.Cause.Message}
	case outcome.Status == api.StatusAborted:
		return &recordedCause{Code: "aborted"}
	case len(outcome.Messages) > 0:
		return &recordedCause{"error", outcome.Messages[0]}
	}
	return &recordedCause{Code: "exit_status"}
}

func (r *recorder) write(record any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.encoder.Encode(record); err != nil && r.err == nil {
		r.err = err
	}
}

// failure gives the first error of writing.
func (r *recorder) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
