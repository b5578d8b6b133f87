package waterfall

import (
	"math"
	"slices"
	"strings"
	"time"
)

// barLine is the cells of a row to the right of its name.
type barLine struct {
	cells       []rune
	first, last int  // the cells of the bar, last not included
	said        bool // a failure's message has found room
}

// taken is a cell that the character before it takes too.
const taken = -1

func (l *barLine) String() string {
	return string(slices.DeleteFunc(slices.Clone(l.cells), func(r rune) bool { return r == taken }))
}

// bar draws the bar of a node: where it was in time, and where in that it waited.
func (p *picture) bar(n *node) barLine {
	line := barLine{cells: []rune(strings.Repeat(" ", p.axis+p.room))}
	parts := n.parts
	if len(parts) == 0 {
		parts = []interval{{n.from, n.to}}
	}
	line.first, line.last = p.cells(interval{n.from, n.to})
	for _, part := range parts {
		p.fill(line.cells, part, n.kind)
	}
	p.shade(line.cells, n)
	return line
}

// cells gives the first cell of a part and the one after its last: at least one.
func (p *picture) cells(part interval) (first, last int) {
	first = min(p.column(part.from), p.axis-1)
	last = max(first+1, int(math.Ceil(p.position(part.to)-1.0/16)))
	return first, min(last, p.axis)
}

func (p *picture) fill(cells []rune, part interval, kind kind) {
	first, last := p.cells(part)
	full := p.full
	if kind == gap || kind == rest {
		full = p.idle
	}
	for i := first; i < last; i++ {
		cells[i] = full
	}
	if full != p.full {
		return
	}
	// The last cell is as full as the part reaches into it. One that begins and ends
	// in the same cell is as full as it is long.
	reach := p.position(part.to) - float64(last-1)
	if last-1 == first {
		reach = p.position(part.to) - p.position(part.from)
	}
	steps := len(p.eighths)
	cells[last-1] = p.eighths[max(0, min(steps-1, int(math.Round(reach*float64(steps)))-1))]
}

// shade marks as many cells of a bar as the time is that the span waited, each where
// that share of the time was reached.
func (p *picture) shade(cells []rune, n *node) {
	stalls := n.stalls()
	resource, _ := n.worstStall()
	if resource == "" {
		return
	}
	first, last := p.cells(interval{n.from, n.to})
	owed := 0.0
	for i := first; i < last; i++ {
		owed += p.stalledIn(i, resource, stalls)
		if owed >= 0.5 {
			cells[i] = p.stalled
			owed--
		}
	}
}

// stalledIn gives the share of a cell's time that was spent waiting.
func (p *picture) stalledIn(cell int, resource string, stalls []stall) float64 {
	length := float64(p.wall) / float64(p.axis)
	from := p.start.Add(time.Duration(float64(cell) * length))
	to := p.start.Add(time.Duration(float64(cell+1) * length))
	share := 0.0
	for _, s := range stalls {
		if s.resource != resource {
			continue
		}
		common := earlier(s.to, to).Sub(later(s.from, from))
		if common > 0 && length > 0 {
			share += s.share * float64(common) / length
		}
	}
	return math.Min(1, share)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// label writes the duration beside the bar, and what else is to be said where there
// is room: after the duration, or else before the bar, or else in short.
func (p *picture) label(line *barLine, n *node) {
	duration := formatShort(n.duration())
	if n.kind == alike || n.kind == rest {
		duration = p.sum + formatShort(n.sum)
	}
	line.write(line.last+1, duration)
	after := line.last + 1 + displayWidth(duration) + 2
	full, short := n.notes(p.style)
	for _, notes := range []string{full, short} {
		if n.failed > 0 {
			notes = joined(p.failure+" "+n.message, notes)
		}
		notes = p.text(notes)
		length := displayWidth(notes)
		switch {
		case length == 0:
			return
		case after+length <= len(line.cells):
			line.write(after, notes)
			line.said = true
			return
		case length+2 <= line.first:
			line.write(line.first-1-length, notes)
			line.said = true
			return
		}
	}
	// A failure's message is not cut: it gets a row of its own.
	const useful = 6
	if room := len(line.cells) - after; room >= useful {
		line.write(after, cut(p.text(short), room, p.ellipsis))
	}
}

// write puts text into cells. A character that takes two columns takes two of them,
// one that takes none is left out.
func (l *barLine) write(at int, text string) {
	for _, r := range text {
		columns := runeWidth(r)
		if at+columns > len(l.cells) {
			return
		}
		for i := range columns {
			l.cells[at+i] = taken
		}
		if columns > 0 {
			l.cells[at] = r
		}
		at += columns
	}
}
