package waterfall

import (
	"bufio"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// layout is where things are in a picture.
type layout struct {
	start time.Time
	wall  time.Duration
	name  int // columns of the names
	axis  int // columns of the bars
	room  int // columns beside those, so that a bar that ends there has its duration beside it too
}

// maxDepth is how deep the guides of a tree go; what is deeper is drawn as deep as that.
const maxDepth = 8

func (t *tree) layout(options Options) layout {
	widest := 0
	for _, row := range t.rows() {
		widest = max(widest, 3*len(row.lasts)+displayWidth(row.title()))
	}
	const duration = 7 // columns at the most
	l := layout{
		start: t.bounds().from, wall: t.wall,
		name: min(widest, max(14, options.Width*2/5)),
		room: max(1+displayWidth(styleOf(options).sum)+duration, min(28, options.Width/5)),
	}
	l.axis = options.Width - l.name - 3 - l.room
	return l
}

// row is a node with its place in the tree.
type row struct {
	*node
	// lasts tells for each level, its own being the last one, whether the node there
	// is the last of its siblings.
	lasts []bool
}

// rows gives the nodes in the order in which they are drawn.
func (t *tree) rows() []row {
	var rows []row
	var walk func(siblings []*node, lasts []bool)
	walk = func(siblings []*node, lasts []bool) {
		for i, n := range siblings {
			r := row{n, lasts}
			if n.parent != nil {
				above := min(len(lasts), maxDepth-1)
				r.lasts = append(lasts[:above:above], i == len(siblings)-1)
			}
			rows = append(rows, r)
			walk(n.children, r.lasts)
		}
	}
	walk(t.roots, nil)
	return rows
}

// picture draws rows.
type picture struct {
	Options
	style
	layout
	out *bufio.Writer
}

// axisLine draws the line with the ticks.
func (p *picture) axisLine() {
	cells := []rune(strings.Repeat(" ", p.axis+p.room))
	step := p.step()
	for i := range int(p.wall/step) + 1 {
		at := time.Duration(i) * step
		column := p.column(p.start.Add(at))
		label := []rune(p.tick + formatTick(at, step))
		if column+len(label) <= len(cells) {
			copy(cells[column:], label)
		}
	}
	line := strings.Repeat(" ", p.name+3) + string(cells)
	fmt.Fprintln(p.out, p.paint(p.dim, strings.TrimRight(line, " ")))
}

// step gives the time between ticks: 1, 2 or 5 of a power of ten, so that their labels have room.
func (p *picture) step() time.Duration {
	const room = 8
	least := max(1, float64(p.wall)/math.Max(1, float64(p.axis)/room))
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, factor := range []float64{1, 2, 5} {
		if step := factor * power; step >= least {
			return time.Duration(step)
		}
	}
	return time.Duration(10 * power)
}

// formatTick gives a time with no more digits than its step needs.
func formatTick(at, step time.Duration) string {
	unit, name := time.Second, "s"
	switch {
	case at == 0:
		return "0s"
	case at >= time.Minute && step >= time.Second:
		return at.String()
	case at < time.Microsecond:
		unit, name = time.Nanosecond, "ns"
	case at < time.Millisecond:
		unit, name = time.Microsecond, "us"
	case at < time.Second:
		unit, name = time.Millisecond, "ms"
	}
	return strconv.FormatFloat(float64(at)/float64(unit), 'f', -1, 64) + name
}

// column gives the cell of a moment, from 0 to the number of cells.
func (p *picture) column(moment time.Time) int {
	return int(p.position(moment))
}

// position gives where a moment is, in cells.
func (p *picture) position(moment time.Time) float64 {
	if p.wall <= 0 {
		return 0
	}
	share := float64(moment.Sub(p.start)) / float64(p.wall)
	return math.Max(0, math.Min(1, share)) * float64(p.axis)
}

// row draws a row: its guides and name, its mark, its bar, and what is said of it.
func (p *picture) row(r row) {
	mark := " "
	if r.critical {
		mark = p.mark
	}
	name := pad(p.guides(r)+p.text(r.title()), p.name, p.ellipsis)
	line := p.bar(r.node)
	p.label(&line, r.node)
	color := ""
	switch {
	case r.failed > 0:
		color = p.red
	case r.kind == gap || r.kind == rest:
		color = p.dim
	case r.critical:
		color = p.bold
	}
	fmt.Fprintln(p.out, strings.TrimRight(p.paint(color, name+" "+mark+" "+line.String()), " "))
	if r.failed > 0 && !line.said {
		p.message(r)
	}
}

// message draws the message of a row that failed, which had no room beside the bar.
func (p *picture) message(r row) {
	below := p.lines(r.lasts) + p.space
	if len(r.children) > 0 {
		below = p.lines(r.lasts) + p.through
	}
	fmt.Fprintln(p.out, below+p.paint(p.red, cut(p.failure+" "+p.text(r.node.message), p.Width-displayWidth(below), p.ellipsis)))
}

// guides gives what is drawn before the name of a row.
func (p *picture) guides(r row) string {
	own := len(r.lasts) - 1
	switch {
	case own < 0:
		return ""
	case r.lasts[own]:
		return p.lines(r.lasts[:own]) + p.style.last
	}
	return p.lines(r.lasts[:own]) + p.branch
}

// lines gives the lines that go on past a row.
func (p *picture) lines(lasts []bool) string {
	var lines strings.Builder
	for _, last := range lasts {
		if last {
			lines.WriteString(p.space)
		} else {
			lines.WriteString(p.through)
		}
	}
	return lines.String()
}

// text gives text as the terminal can show it.
func (p *picture) text(text string) string {
	if p.UTF8 {
		return text
	}
	return toASCII(text)
}

func (p *picture) paint(color, text string) string {
	if color == "" {
		return text
	}
	return color + text + p.plain
}
