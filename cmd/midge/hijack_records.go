package main

import (
	"io"
	"strings"
	"time"

	"midge/api"
	"midge/hijack"
)

// sessionRecorder writes what happens in a session as records for programs.
type sessionRecorder struct {
	*recorder
	stdout, stderr *recordedOutput
	notices        recordedNotices
}

func newSessionRecorder(w io.Writer) *sessionRecorder {
	records := newRecorder(w)
	return &sessionRecorder{
		recorder: records,
		stdout:   &recordedOutput{records: records, stream: api.SourceStdout},
		stderr:   &recordedOutput{records: records, stream: api.SourceStderr},
		notices:  recordedNotices{records},
	}
}

type sessionRecord struct {
	recordHead
	Session   string   `json:"session"`
	Build     int      `json:"build"`
	Container string   `json:"container"`
	Command   []string `json:"command"`
}

func (r *sessionRecorder) began(container api.Container, session string, command []string) {
	r.write(sessionRecord{head("session"), session, container.BuildID, container.ID, command})
}

// end writes the last record: of the result, and of err, with which the command ends. It
// gives the error of writing records.
func (r *sessionRecorder) end(container api.Container, result hijack.Result, err error) error {
	r.stdout.flush()
	r.stderr.flush()
	r.write(endRecord{
		recordHead: head("end"),
		Build:      container.BuildID,
		ExitStatus: exitStatusOf(err),
		Session:    result.Session,
		Detached:   result.Detached,
		Error:      saidOf(err),
	})
	return r.failure()
}

// recordedOutput writes one stream of a command's output as records, which end between
// characters.
type recordedOutput struct {
	records  *recorder
	stream   string
	splitter api.RuneSplitter
}

func (o *recordedOutput) Write(output []byte) (int, error) {
	o.write(o.splitter.Split(output))
	return len(output), o.records.failure()
}

func (o *recordedOutput) flush() { o.write(o.splitter.Flush()) }

func (o *recordedOutput) write(piece []byte) {
	if len(piece) == 0 {
		return
	}
	event := api.NewLogEvent(time.Now().Unix(), api.Origin{}, piece)
	o.records.write(logRecord{head("log"), o.stream, event.Time, event.Payload, event.Bytes})
}

type noticeRecord struct {
	recordHead
	Text string `json:"text"`
}

// recordedNotices writes as records what is said of the session itself.
type recordedNotices struct{ records *recorder }

func (n recordedNotices) Write(text []byte) (int, error) {
	n.records.write(noticeRecord{head("notice"), strings.TrimSpace(string(text))})
	return len(text), n.records.failure()
}
