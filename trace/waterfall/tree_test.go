package waterfall

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/trace"
	"midge/trace/otlp"
)

func TestCommandsWithNothingButRequestsShowThem(t *testing.T) {
	s := &spans{resource: onClient}
	builds := s.add(0, "builds", 0, 0.05)
	request := s.kind(s.add(builds, "GET /api/v1/builds", 0.01, 0.04, trace.Debug), oteltrace.SpanKindClient)
	s.resource = onServer
	s.kind(s.add(request, "GET /api/v1/builds", 0.011, 0.039, trace.Debug), oteltrace.SpanKindServer)
	text := draw(t, s.all, Options{UTF8: true})
	if got := strings.Count(text, "GET /api/v1/builds"); got != 2 {
		t.Errorf("%d requests are drawn, want 2:\n%s", got, text)
	}
}

func TestDetailsAreShownToThoseWhoAskForAll(t *testing.T) {
	if text := draw(t, execution(), Options{}); strings.Contains(text, "INSERT") || strings.Contains(text, "POST") {
		t.Errorf("details are drawn:\n%s", text)
	}
	text := draw(t, execution(), Options{All: true})
	for _, want := range []string{"INSERT builds", "POST /api/v1/builds"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not drawn:\n%s", want, text)
		}
	}
	if got := strings.Count(text, "fetch layer"); got != 6 {
		t.Errorf("%d layers are drawn, want 6:\n%s", got, text)
	}
}

// skewed is an execution whose server's clock is off.
func skewed(by time.Duration) []otlp.Span {
	spans := execution()
	for i := range spans {
		if spans[i].Resource == onServer {
			spans[i].Start, spans[i].End = spans[i].Start.Add(by), spans[i].End.Add(by)
			for j := range spans[i].Events {
				spans[i].Events[j].Time = spans[i].Events[j].Time.Add(by)
			}
		}
	}
	return spans
}

func TestClocksAreCorrectedAndItIsSaid(t *testing.T) {
	straight := draw(t, execution(), Options{UTF8: true, Width: 120})
	for _, test := range []struct {
		by   time.Duration
		want string
	}{
		{0, ""},
		// The request leaves a millisecond to either side, so that this is nothing one can tell.
		{500 * time.Microsecond, ""},
		{time.Hour, "the clock of midge-server is 1h00m ahead, which is corrected here\n"},
		{-90 * time.Second, "the clock of midge-server is 1m30s behind, which is corrected here\n"},
	} {
		got := draw(t, skewed(test.by), Options{UTF8: true, Width: 120})
		if test.want != "" && !strings.Contains(got, test.want) {
			t.Errorf("%v off: it is not said:\n%s", test.by, got)
		}
		if test.by.Abs() < time.Millisecond {
			continue // It is not corrected, and may show.
		}
		if diff := cmp.Diff(straight, strings.Replace(got, test.want, "", 1)); diff != "" {
			t.Errorf("%v off: -want +got:\n%s", test.by, diff)
		}
	}
}

func TestCorrection(t *testing.T) {
	ms := func(least, most int) shift {
		return shift{time.Duration(least) * time.Millisecond, time.Duration(most) * time.Millisecond}
	}
	for _, test := range []struct {
		name   string
		shifts []shift
		want   time.Duration
	}{
		{"may be right", []shift{ms(-5, 5)}, 0},
		{"ahead", []shift{ms(-30, -10)}, -20 * time.Millisecond},
		{"behind", []shift{ms(10, 30)}, 20 * time.Millisecond},
		{"what all allow", []shift{ms(10, 30), ms(20, 100), ms(0, 24)}, 22 * time.Millisecond},
		{"the most exact when they disagree", []shift{ms(10, 30), ms(100, 102)}, 101 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := correction(test.shifts); got != test.want {
				t.Errorf("it is %v, want %v", got, test.want)
			}
		})
	}
}

func TestAClientThatWentAwayTellsNothingOfClocks(t *testing.T) {
	s := &spans{resource: onClient}
	watch := s.add(0, "watch", 0, 1)
	request := s.kind(s.add(watch, "GET events", 0, 1, trace.Debug), oteltrace.SpanKindClient)
	s.resource = onServer
	s.kind(s.add(request, "GET events", 0.1, 9, trace.Debug), oteltrace.SpanKindServer)
	if text := draw(t, s.all, Options{}); strings.Contains(text, "clock") {
		t.Errorf("a clock is corrected:\n%s", text)
	}
}

// path gives the names on the critical path, and its length.
func path(spans []otlp.Span) ([]string, time.Duration) {
	t := newTree(spans)
	t.measure()
	t.markCriticalPath()
	var names []string
	for n := range t.all() {
		if n.critical {
			names = append(names, n.name)
		}
	}
	return names, t.critical
}

func TestCriticalPath(t *testing.T) {
	for _, test := range []struct {
		name   string
		spans  func(s *spans)
		want   []string
		length time.Duration
	}{
		{"one", func(s *spans) { s.add(0, "root", 0, 1) }, []string{"root"}, time.Second},
		{"one after the other", func(s *spans) {
			root := s.add(0, "root", 0, 3)
			s.add(root, "a", 0, 1)
			s.add(root, "b", 1.5, 3)
		}, []string{"root", "a", "b"}, 2500 * time.Millisecond},
		{"the longer of two at once", func(s *spans) {
			root := s.add(0, "root", 0, 3)
			s.add(root, "short", 0, 1)
			long := s.add(root, "long", 0, 3)
			s.add(long, "below", 1, 3)
		}, []string{"root", "long", "below"}, 2 * time.Second},
		{"the later of two that overlap", func(s *spans) {
			root := s.add(0, "root", 0, 4)
			s.add(root, "first", 0, 2)
			s.add(root, "second", 1, 4)
		}, []string{"root", "first", "second"}, 4 * time.Second},
		{"what goes on when nobody waits", func(s *spans) {
			root := s.add(0, "root", 0, 2)
			s.add(root, "left behind", 1, 5)
		}, []string{"root", "left behind"}, 4 * time.Second},
		{"a request that watches beside it", func(s *spans) {
			create := s.add(0, "POST builds", 0, 1, trace.Debug)
			build := s.add(create, "build", 1, 5)
			s.add(build, "run", 1, 5)
			watch := s.add(0, "GET events", 2, 6, trace.Debug)
			s.add(watch, "SELECT builds", 2, 3, trace.Debug)
		}, []string{"POST builds", "build", "run"}, 4 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &spans{resource: onClient}
			test.spans(s)
			names, length := path(s.all)
			if diff := cmp.Diff(test.want, names); diff != "" || length != test.length {
				t.Errorf("length %v, want %v; -want +got:\n%s", length, test.length, diff)
			}
		})
	}
}

func TestGaps(t *testing.T) {
	s := &spans{resource: onClient}
	root := s.add(0, "root", 0, 10)
	s.add(root, "a", 0.05, 4)
	s.add(root, "b", 3, 5)
	s.add(root, "c", 5.2, 9.95)
	text := draw(t, s.all, Options{})
	if got := strings.Count(text, "(gap)"); got != 1 || !strings.Contains(text, "0.20s") {
		t.Errorf("%d gaps are drawn, want the one of 0.2 s:\n%s", got, text)
	}
	s = &spans{resource: onClient}
	root = s.add(0, "root", 0, 0.1)
	s.add(root, "a", 0, 0.05)
	s.add(root, "b", 0.056, 0.097)
	text = draw(t, s.all, Options{})
	if got := strings.Count(text, "(gap)"); got != 1 || !strings.Contains(text, "6.0ms") {
		t.Errorf("%d gaps are drawn, want the one that is more than a twentieth:\n%s", got, text)
	}
}

func TestSiblingsAlikeAreFolded(t *testing.T) {
	s := &spans{resource: onServer}
	root := s.add(0, "root", 0, 10)
	for i := range 7 {
		n := s.add(root, "layer", float64(i), float64(i)+0.5)
		if i >= 5 {
			s.fail(n, "no such blob")
		}
	}
	text := draw(t, s.all, Options{UTF8: true})
	if !strings.Contains(text, "layer x5") || !strings.Contains(text, "Σ 2.50s") || strings.Count(text, "no such blob") != 2 {
		t.Errorf("want five that went well in one row and two failures:\n%s", text)
	}
}

func TestSlowest(t *testing.T) {
	if got := Slowest(execution()); got.Name != "run" || got.Took < 7*time.Second || !got.Running {
		t.Errorf("the slowest is %+v", got)
	}
	if got := Slowest(nil); got != (Part{}) {
		t.Errorf("the slowest of nothing is %+v", got)
	}
}

func TestPicturesOfLittle(t *testing.T) {
	if got := draw(t, nil, Options{}); got != "the trace has no spans\n" {
		t.Errorf("nothing is drawn as %q", got)
	}
	s := &spans{resource: onClient}
	s.add(0, "instant", 1, 1)
	if got := draw(t, s.all, Options{}); !strings.Contains(got, "instant   # 0.0ms") {
		t.Errorf("an instant is drawn as\n%s", got)
	}
	if got := draw(t, s.all, Options{Dropped: 7}); !strings.Contains(got, "7 spans are missing") {
		t.Errorf("it is not said that spans are missing:\n%s", got)
	}
	if got := draw(t, s.all, Options{Width: 1}); !strings.Contains(got, "instant") {
		t.Errorf("a narrow terminal has\n%s", got)
	}
}

func TestColors(t *testing.T) {
	if text := draw(t, failure(), Options{UTF8: true}); strings.Contains(text, "\x1b") {
		t.Errorf("there are colours that nobody asked for:\n%q", text)
	}
	text := draw(t, failure(), Options{UTF8: true, Color: true})
	for _, want := range []string{"\x1b[31m✗ the task exited with status 2\x1b[0m", "\x1b[1m├─ build 13", "\x1b[2m├─ (gap)"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%q", want, text)
		}
	}
}
