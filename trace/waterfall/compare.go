package waterfall

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"midge/terminal"
	"midge/trace"
	"midge/trace/otlp"
)

// total is what the spans of a name took in a trace.
type total struct {
	count int
	sum   time.Duration
}

// change is a name in two traces.
type change struct {
	name          string
	before, after total
}

func (c change) difference() time.Duration { return c.after.sum - c.before.sum }

// Compare writes what became slower and faster from one trace to another, by the
// names of spans, and which inputs and images changed.
func Compare(w io.Writer, before, after []otlp.Span, options Options) error {
	options = options.withDefaults()
	a, b := prepared(before, options), prepared(after, options)
	out := bufio.NewWriter(w)
	if len(a.roots) == 0 || len(b.roots) == 0 {
		fmt.Fprintln(out, "one of the traces has no spans")
		return out.Flush()
	}
	c := &comparison{picture: picture{Options: options, style: styleOf(options), out: out}}
	c.heading("A", a)
	c.heading("B", b)
	c.table(changes(a, b))
	c.materials(materials(a), materials(b))
	return out.Flush()
}

// prepared gives the spans that are to be compared.
func prepared(spans []otlp.Span, options Options) *tree {
	t := newTree(spans)
	t.correctClocks()
	t.confineTasks()
	if !options.All {
		t.hideDetails()
	}
	t.measure()
	return t
}

func changes(a, b *tree) []change {
	byName := map[string]*change{}
	count := func(t *tree, of func(*change) *total) {
		for n := range t.all() {
			c := byName[n.name]
			if c == nil {
				c = &change{name: n.name}
				byName[n.name] = c
			}
			of(c).count++
			of(c).sum += n.duration()
		}
	}
	count(a, func(c *change) *total { return &c.before })
	count(b, func(c *change) *total { return &c.after })
	all := slices.Collect(maps.Values(byName))
	slices.SortFunc(all, func(x, y *change) int {
		return cmp.Or(cmp.Compare(y.difference().Abs(), x.difference().Abs()), cmp.Compare(x.name, y.name))
	})
	changes := make([]change, len(all))
	for i, c := range all {
		changes[i] = *c
	}
	return changes
}

type comparison struct{ picture }

func (c *comparison) heading(name string, t *tree) {
	// Without the command's own spans there may be those of requests before the build's.
	root := slices.MaxFunc(t.roots, func(a, b *node) int { return cmp.Compare(a.duration(), b.duration()) })
	c.line(fmt.Sprintf("%s  %s  %s  %s  trace %s", name, c.text(root.name), formatWords(t.wall), root.from.UTC().Format(time.DateTime), root.span.TraceID))
}

// table writes what took another time, those that changed the most first. What
// differs by less than 10 ms is only counted.
func (c *comparison) table(changes []change) {
	const columns = 9 + 9 + 10 + 7 // beside the name
	width := len("span")
	for _, change := range changes {
		width = max(width, displayWidth(change.name))
	}
	width = min(width, c.Width-columns)
	fmt.Fprintf(c.out, "\n%s%9s%9s%10s\n", pad("span", width, c.ellipsis), "A", "B", "change")
	left := 0
	for i, change := range changes {
		if !c.All && (i >= c.Rows || !change.isNoted()) {
			left++
			continue
		}
		fmt.Fprintln(c.out, c.paint(c.colorOf(change), strings.TrimRight(fmt.Sprintf("%s%9s%9s%10s%7s",
			pad(c.text(change.label()), width, c.ellipsis), change.before, change.after, signed(change.difference()), change.percent()), " ")))
	}
	if left > 0 {
		c.line(fmt.Sprintf("%s as before, or nearly", counted(int64(left), "span name")))
	}
}

func (c change) isNoted() bool {
	const least = 10 * time.Millisecond
	return c.difference().Abs() >= least || (c.before.count == 0) != (c.after.count == 0)
}

// label names a change, and how many spans it is where that is not one.
func (c change) label() string {
	switch {
	case c.before.count == c.after.count && c.after.count == 1, c.before.count+c.after.count == 1:
		return c.name
	case c.before.count == c.after.count:
		return fmt.Sprintf("%s x%d", c.name, c.after.count)
	}
	return fmt.Sprintf("%s x%d, x%d", c.name, c.before.count, c.after.count)
}

func (t total) String() string {
	if t.count == 0 {
		return "-"
	}
	return formatShort(t.sum)
}

func signed(d time.Duration) string {
	if d < 0 {
		return "-" + formatShort(-d)
	}
	return "+" + formatShort(d)
}

func (c change) percent() string {
	switch {
	case c.before.count == 0:
		return "new"
	case c.after.count == 0:
		return "gone"
	case c.before.sum <= 0:
		return ""
	}
	percent := 100 * float64(c.difference()) / float64(c.before.sum)
	if percent > 999 {
		return fmt.Sprintf("x%.0f", float64(c.after.sum)/float64(c.before.sum))
	}
	return fmt.Sprintf("%+.0f%%", percent)
}

func (c *comparison) colorOf(change change) string {
	if change.difference() > 0 && change.isNoted() {
		return c.red
	}
	return ""
}

// material is an input or an image of a trace.
type material struct{ kind, name string }

// materials gives the digests of what a trace was made from.
func materials(t *tree) map[material]string {
	found := map[material]string{}
	for n := range t.all() {
		if n.task {
			continue
		}
		for _, of := range []struct {
			kind         string
			name, digest attribute.Key
		}{
			{"input", trace.InputKey, trace.DigestKey},
			{"image", trace.ImageNameKey, trace.ImageDigestKey},
		} {
			name, named := n.span.Attribute(of.name)
			digest, known := n.span.Attribute(of.digest)
			if named && known {
				found[material{of.kind, terminal.Line(name.AsString())}] = terminal.Line(digest.AsString())
			}
		}
	}
	return found
}

// materials writes which inputs and images changed.
func (c *comparison) materials(a, b map[material]string) {
	all := maps.Clone(a)
	maps.Copy(all, b)
	names := slices.SortedFunc(maps.Keys(all), func(x, y material) int {
		return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.name, y.name))
	})
	var lines []string
	same := 0
	for _, m := range names {
		before, after := cmp.Or(a[m], "none"), cmp.Or(b[m], "none")
		if before == after {
			same++
			continue
		}
		what, how := fmt.Sprintf("%s %s changed:", m.kind, m.name), fmt.Sprintf("%s to %s", shortDigest(before), shortDigest(after))
		if one := what + " " + how; displayWidth(c.text(one)) <= c.Width {
			lines = append(lines, one)
		} else { // the digests are not what may be cut off
			lines = append(lines, what, "  "+how)
		}
	}
	if same > 0 {
		lines = append(lines, fmt.Sprintf("unchanged: %d of %d inputs and images", same, len(names)))
	}
	if len(lines) > 0 {
		fmt.Fprintln(c.out)
	}
	for _, line := range lines {
		c.line(c.text(line))
	}
}

// shortDigest gives enough of a digest to tell it from others.
func shortDigest(digest string) string {
	const enough = 12
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok {
		algorithm, hex = "", digest
	} else {
		algorithm += ":"
	}
	if len(hex) <= enough {
		return digest
	}
	return algorithm + hex[:enough]
}
