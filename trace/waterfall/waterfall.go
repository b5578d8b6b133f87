// Package waterfall draws traces for a terminal: each span as a bar at its place in
// time, in a tree, with the critical path, the gaps and the failures marked; and two
// traces beside each other.
//
// It draws whatever it is given, from whoever: names cannot reach the terminal as
// anything but text, and ten thousand spans become a screen. It reads nothing and
// knows nothing of where spans come from.
package waterfall

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"midge/trace"
	"midge/trace/otlp"
)

// Options say how to draw.
type Options struct {
	// Width is the terminal's, in columns; 0 is 80. Less than 40 is drawn as 40.
	Width int
	// Rows is how many rows of spans there may be at the most; 0 is 40. What is
	// shorter than others is folded until they fit.
	Rows int
	// All draws every span: nothing is folded, and requests and statements are shown.
	All bool
	// UTF8 draws with box-drawing characters, else with ASCII alone.
	UTF8 bool
	// Color marks failures and the critical path with colours.
	Color bool
	// Dropped is how many spans of the trace are missing, beside those that the spans
	// themselves tell of.
	Dropped int
}

func (o Options) withDefaults() Options {
	const narrowest = 40
	if o.Width == 0 {
		o.Width = 80
	}
	o.Width = max(o.Width, narrowest)
	if o.Rows == 0 {
		o.Rows = 40
	}
	return o
}

// Draw draws a trace. Without spans it says so.
func Draw(w io.Writer, spans []otlp.Span, options Options) error {
	options = options.withDefaults()
	options.Dropped += dropped(spans)
	t := newTree(spans)
	if len(t.roots) == 0 {
		_, err := io.WriteString(w, "the trace has no spans\n")
		return err
	}
	t.prepare(options)
	out := bufio.NewWriter(w)
	p := &picture{Options: options, style: styleOf(options), layout: t.layout(options), out: out}
	p.header(t)
	p.axisLine()
	rows := t.rows()
	drawn := len(rows)
	if !options.All {
		drawn = min(drawn, options.Rows)
	}
	for _, row := range rows[:drawn] {
		p.row(row)
	}
	if left := len(rows) - drawn; left > 0 {
		p.line(fmt.Sprintf("+ %d more rows", left))
	}
	return out.Flush()
}

// dropped counts the spans below others for which there was no room.
func dropped(spans []otlp.Span) int {
	count := 0
	for i := range spans {
		if value, ok := spans[i].Attribute(trace.DroppedKey); ok {
			count += int(max(0, value.AsInt64()))
		}
	}
	return count
}

// prepare makes of the spans what is to be shown of them.
func (t *tree) prepare(options Options) {
	t.correctClocks()
	t.confineTasks()
	if !options.All {
		t.hideDetails()
	}
	t.measure()
	t.markCriticalPath()
	t.addGaps()
	if !options.All {
		t.foldAlike()
		t.foldUntil(options.Rows)
	}
}

// Part is a part of a trace.
type Part struct {
	Name string // as a terminal can show it, "" for none
	// Took is how long it took without waiting for what is below it.
	Took time.Duration
	// Running tells that it is what ran a task, or what the task itself told of.
	Running bool
}

// Slowest gives the span on the critical path that took the longest without waiting
// for one below it.
func Slowest(spans []otlp.Span) Part {
	t := newTree(spans)
	t.correctClocks()
	t.confineTasks()
	t.hideDetails()
	t.measure()
	t.markCriticalPath()
	var slowest Part
	for n := range t.all() {
		if own := n.own(); n.critical && own > slowest.Took {
			slowest = Part{n.name, own, n.isRunning()}
		}
	}
	return slowest
}

func (n *node) isRunning() bool {
	for above := n; above != nil; above = above.parent {
		if above.name == "run" && !above.task {
			return true
		}
	}
	return false
}

func (p *picture) header(t *tree) {
	id := t.id.String()
	facts := []string{formatWords(t.wall) + " wall"}
	if t.critical > 0 {
		facts = append(facts, p.style.mark+" critical path "+formatWords(t.critical))
	}
	line := "trace " + id + "  " + strings.Join(facts, p.style.dot)
	if displayWidth(line) > p.Width {
		line = "trace " + id[:8] + p.style.ellipsis + "  " + strings.Join(facts, p.style.dot)
	}
	p.line(line)
	for _, note := range t.clockNotes {
		p.line(note)
	}
	if p.Dropped > 0 {
		p.line(fmt.Sprintf("%d spans are missing: there was no room for them", p.Dropped))
	}
}

// line writes a line, cut to the width.
func (p *picture) line(text string) {
	fmt.Fprintln(p.out, cut(text, p.Width, p.style.ellipsis))
}
