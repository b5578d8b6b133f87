package server

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"midge/api"
	"midge/server/eventlog"
)

// logHTML turns the events of a build into the HTML of its log, one after the other.
type logHTML struct {
	names   map[string]string // of steps, by the id in the plan; empty when there is but one
	outputs map[api.Origin]*terminalHTML
	// midLine tells that what was written last has not ended its line.
	midLine bool
}

func newLogHTML(plan *api.Plan) *logHTML {
	l := &logHTML{names: map[string]string{}, outputs: map[api.Origin]*terminalHTML{}}
	for step := range plan.All() {
		if step.Task != nil {
			l.names[step.ID] = step.Task.Name
		}
	}
	if len(l.names) < 2 {
		clear(l.names)
	}
	return l
}

// write appends the HTML of an event, which may be none.
func (l *logHTML) write(html *bytes.Buffer, event eventlog.Event) error {
	data, err := api.Event{Event: event.Kind, Version: event.Version, Data: event.Data}.Decode()
	if unknown := (*api.UnknownEventError)(nil); errors.As(err, &unknown) {
		return nil
	}
	if err != nil {
		return err
	}
	switch data := data.(type) {
	case api.LogEvent:
		l.output(html, data)
	case api.SelectedWorkerEvent:
		l.note(html, data.Origin, "note", "selected worker: "+data.Worker)
	case api.StartTaskEvent:
		l.note(html, data.Origin, "note", "running "+strings.Join(append([]string{data.Config.Run.Path}, data.Config.Run.Args...), " "))
	case api.FinishTaskEvent:
		if data.ExitStatus != 0 {
			l.note(html, data.Origin, "bad", fmt.Sprintf("exit status %d", data.ExitStatus))
		}
	case api.ErrorEvent:
		l.note(html, data.Origin, "bad", data.Message)
	case api.CauseEvent:
		l.note(html, data.Origin, "bad", data.Message)
	case api.WaitingEvent:
		l.note(html, data.Origin, "note", data.Reason)
	case api.HijackEvent:
		if data.Began == 0 {
			l.note(html, data.Origin, "note", data.User+" is in the container")
		}
	}
	return nil
}

func (l *logHTML) output(html *bytes.Buffer, event api.LogEvent) {
	terminal := l.outputs[event.Origin]
	if terminal == nil {
		terminal = &terminalHTML{}
		l.outputs[event.Origin] = terminal
	}
	before := html.Len()
	terminal.write(html, event.Output())
	if written := html.Bytes()[before:]; len(written) > 0 {
		l.midLine = !bytes.HasSuffix(written, []byte("\n")) && !bytes.HasSuffix(written, []byte("\n</span>"))
	}
}

// note writes a line of the server's own.
func (l *logHTML) note(html *bytes.Buffer, origin api.Origin, class, text string) {
	if l.midLine {
		html.WriteByte('\n')
	}
	l.midLine = false
	if name := l.names[origin.ID]; name != "" {
		text = name + ": " + text
	}
	html.WriteString(`<span class="` + class + `">`)
	// Whatever a message has taken from elsewhere, it has no style of its own.
	(&terminalHTML{plain: true}).write(html, []byte(text))
	html.WriteString("</span>\n")
}
