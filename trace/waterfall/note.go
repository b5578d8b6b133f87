package waterfall

import (
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"midge/terminal"
	"midge/trace"
)

// noted are the attributes that are shown beside a bar, in this order.
var noted = []struct {
	key    attribute.Key
	format func(attribute.Value) string
}{
	{trace.ExitStatusKey, func(v attribute.Value) string { return "exit " + v.String() }},
	{trace.FilesKey, func(v attribute.Value) string { return counted(v.AsInt64(), "file") }},
	{trace.BytesKey, func(v attribute.Value) string { return formatBytes(v.AsInt64()) }},
	{trace.ReasonKey, attribute.Value.String},
}

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// notes gives what is said beside a node's bar, in full and in short.
func (n *node) notes(s style) (full, short string) {
	if n.kind != oneSpan {
		return "", ""
	}
	var notes []string
	for _, note := range noted {
		if value, ok := n.span.Attribute(note.key); ok {
			notes = append(notes, terminal.Line(note.format(value)))
		}
	}
	full = strings.Join(notes, ", ")
	resource, share := n.worstStall()
	if resource == "" {
		return full, full
	}
	return joined(fmt.Sprintf("%c stalled on %s %.0f%%", s.stalled, resource, share*100), full),
		joined(fmt.Sprintf("%c %s %.0f%%", s.stalled, resource, share*100), full)
}

func joined(a, b string) string {
	if b == "" {
		return a
	}
	return a + ", " + b
}

// stall is a part of a span's time, and the share of it in which the span waited.
type stall struct {
	interval
	resource string
	share    float64
}

// stalls gives when a span waited, as the usage of its step tells. A task cannot say that.
func (n *node) stalls() []stall {
	if n.kind != oneSpan || n.task {
		return nil
	}
	var stalls []stall
	offset := n.from.Sub(n.span.Start) // of the corrected clock
	for _, event := range n.span.Events {
		if event.Name != trace.StallEvent {
			continue
		}
		var s stall
		var seconds float64
		for _, a := range event.Attributes {
			switch a.Key {
			case trace.StallResource:
				s.resource = terminal.Line(a.Value.AsString())
			case trace.StallSeconds:
				seconds = a.Value.AsFloat64()
			case trace.StallShare:
				s.share = a.Value.AsFloat64()
			}
		}
		from := event.Time.Add(offset)
		s.interval = interval{from, from.Add(time.Duration(seconds * float64(time.Second)))}
		if s.share > 0 && s.share <= 1 && s.to.After(s.from) {
			stalls = append(stalls, s)
		}
	}
	return stalls
}

// worstStall gives what a span waited for the longest, and for what share of its
// time, "" when that is less than a tenth.
func (n *node) worstStall() (resource string, share float64) {
	const little = 0.1
	waited := map[string]float64{}
	for _, s := range n.stalls() {
		waited[s.resource] += s.share * s.to.Sub(s.from).Seconds()
	}
	worst := 0.0
	for name, seconds := range waited {
		if seconds > worst || seconds == worst && name < resource {
			resource, worst = name, seconds
		}
	}
	if n.duration() <= 0 || worst/n.duration().Seconds() < little {
		return "", 0
	}
	return resource, min(1, worst/n.duration().Seconds())
}
