package waterfall

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"

	"midge/trace"
	"midge/trace/otlp"
)

func TestNamesCannotReachTheTerminal(t *testing.T) {
	const nasty = "\x1b[2J\x1b]0;title\a\u009b31mred\u202Eesrever\r\nsecond line\x00\xff"
	s := &spans{resource: onServer}
	root := s.add(0, nasty, 0, 1, trace.Reason(nasty), trace.InputKey.String(nasty), trace.DigestKey.String(nasty))
	s.fail(root, nasty)
	s.stalled(s.add(root, nasty, 0, 0.5), 0, 0.5, 1)
	s.all[1].Events[0].Attributes[0] = trace.StallResource.String(nasty)
	var text strings.Builder
	for _, utf := range []bool{true, false} {
		if err := Draw(&text, s.all, Options{UTF8: utf, Width: 160}); err != nil {
			t.Fatal(err)
		}
		if err := Compare(&text, s.all, execution(), Options{UTF8: utf, Width: 160}); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range text.String() {
		if r != '\n' && (unicode.IsControl(r) || r == '\u202e') {
			t.Fatalf("%q reaches the terminal in\n%s", r, text.String())
		}
	}
	if strings.Contains(text.String(), "title") {
		t.Errorf("a part of an escape sequence is shown:\n%s", text.String())
	}
}

func TestWideNamesKeepTheirColumns(t *testing.T) {
	s := &spans{resource: onServer}
	root := s.add(0, "構築 build 構築構築構築構築構築構築構築構築構築構築", 0, 1, trace.Reason("待機中"))
	s.add(root, "e\u0301\u0301\u0301 combining", 0.2, 0.6, trace.Reason("e\u0301"))
	for line := range strings.Lines(draw(t, s.all, Options{Width: 60, UTF8: true})) {
		if n := displayWidth(strings.TrimSuffix(line, "\n")); n > 60 {
			t.Errorf("a line takes %d columns: %s", n, line)
		}
	}
}

func TestSpansThatAreNoTree(t *testing.T) {
	s := &spans{resource: onServer}
	root := s.add(0, "root", 0, 1)
	a := s.add(root, "a", 0.1, 0.5)
	b := s.add(a, "b", 0.2, 0.4)
	s.all[a-1].ParentID = id(b) // each other's parents
	itself := s.add(0, "its own parent", 0.5, 0.6)
	s.all[itself-1].ParentID = id(itself)
	s.add(77, "parent unknown", 0.6, 0.7)
	twice := s.add(root, "comes twice", 0.7, 0.8)
	s.all = append(s.all, s.all[twice-1])
	backwards := s.add(root, "ends before it begins", 0.9, 0.8)
	never := s.add(root, "never ended", 0.9, 1)
	s.all[never-1].End = time.Time{}
	timeless := s.add(root, "never began", 0.9, 0.95)
	s.all[timeless-1].Start = time.Time{}
	_ = backwards
	text := draw(t, s.all, Options{Width: 120, All: true})
	for _, want := range []string{"root", "a ", "b ", "its own parent", "parent unknown", "ends before it begins", "never began"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not drawn:\n%s", want, text)
		}
	}
	if strings.Count(text, "comes twice") != 1 {
		t.Errorf("a span that came twice is drawn twice:\n%s", text)
	}
	if !strings.Contains(text, "1.00 s wall") {
		t.Errorf("a time that is none counts:\n%s", text)
	}
}

func TestATaskCannotStretchTheTrace(t *testing.T) {
	s := &spans{resource: onServer}
	run := s.add(0, "run", 0, 2)
	origin := otlp.Origin.String(id(run).String())
	early := s.add(run, "long ago", 0.5, 1, origin)
	s.all[early-1].Start = time.Unix(1, 0)
	far := s.add(run, "far away", 0.5, 1, origin)
	s.all[far-1].End = time.Unix(1<<40, 0)
	same := s.add(run, "says it is the run", 0, 1, origin)
	s.all[same-1].SpanID = id(run)
	s.stalled(early, 0.5, 1, 1)
	text := draw(t, s.all, Options{Width: 100})
	if !strings.Contains(text, "2.00 s wall") || strings.Contains(text, "stalled") || strings.Contains(text, "says it is") {
		t.Errorf("the task has its way:\n%s", text)
	}
}

func TestTenThousandSpansAreAScreen(t *testing.T) {
	s := &spans{resource: onServer}
	root := s.add(0, "build", 0, 100)
	for i := range 100 {
		step := s.add(root, fmt.Sprintf("step %d", i), float64(i), float64(i+1))
		for j := range 100 {
			n := s.add(step, fmt.Sprintf("part %d of %d", j, i), float64(i)+float64(j)/100, float64(i)+float64(j+1)/100*0.9)
			if i == 42 && j == 17 {
				s.fail(n, "the needle")
			}
		}
	}
	text := draw(t, s.all, Options{Width: 80, Rows: 20, UTF8: true})
	if n := strings.Count(text, "\n"); n > 2+20+1 {
		t.Errorf("%d lines are drawn", n)
	}
	if !strings.Contains(text, "+ ") || !strings.Contains(text, "shorter") {
		t.Errorf("nothing is folded:\n%s", text)
	}
	all := draw(t, s.all, Options{Width: 80, All: true})
	if n := strings.Count(all, "\n"); n < 10_100 {
		t.Errorf("of all only %d lines are drawn", n)
	}
}

func TestFailuresAreFoldedLast(t *testing.T) {
	s := &spans{resource: onServer}
	root := s.add(0, "build", 0, 100)
	s.fail(root, "a part failed")
	for i := range 200 {
		n := s.add(root, fmt.Sprintf("part %d", i), float64(i)/2, float64(i)/2+0.4)
		if i == 117 {
			s.all[n-1].End = s.all[n-1].Start.Add(time.Millisecond)
			s.fail(n, "the needle")
		}
	}
	text := draw(t, s.all, Options{Width: 80, Rows: 10})
	if !strings.Contains(text, "the needle") {
		t.Errorf("the failure is folded:\n%s", text)
	}
}

func TestADeepTraceIsDrawn(t *testing.T) {
	s := &spans{resource: onServer}
	parent := 0
	for i := range 2000 {
		parent = s.add(parent, fmt.Sprintf("depth %d", i), 0, 10-float64(i)/1000)
	}
	text := draw(t, s.all, Options{Width: 100, All: true})
	if !strings.Contains(text, "depth 1999") {
		t.Error("the deepest is not drawn")
	}
	for line := range strings.Lines(text) {
		if n := displayWidth(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Fatalf("a line takes %d columns: %s", n, line)
		}
	}
}

func FuzzDraw(f *testing.F) {
	for _, spans := range [][]otlp.Span{execution(), failure()} {
		f.Add(otlp.EncodeProtobuf(spans), 80, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, width int, all bool) {
		spans, err := otlp.DecodeProtobuf(data)
		if err != nil {
			return
		}
		options := Options{Width: width % 400, All: all, UTF8: true, Color: true}
		if err := Draw(io.Discard, spans, options); err != nil {
			t.Fatal(err)
		}
		if err := Compare(io.Discard, spans, spans, options); err != nil {
			t.Fatal(err)
		}
		Slowest(spans)
	})
}

func BenchmarkDraw(b *testing.B) {
	s := &spans{resource: onServer}
	root := s.add(0, "build", 0, 100)
	for i := range 10_000 {
		s.add(root, fmt.Sprintf("part %d", i), float64(i)/100, float64(i+1)/100)
	}
	for b.Loop() {
		if err := Draw(io.Discard, s.all, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
