package waterfall

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/test/golden"
	"midge/trace"
	"midge/trace/otlp"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds float64) time.Time {
	return began.Add(time.Duration(seconds * float64(time.Second)))
}

func id(n int) oteltrace.SpanID {
	return oteltrace.SpanID{1, 2, 3, 4, 5, byte(n >> 16), byte(n >> 8), byte(n)}
}

var (
	traceID  = oteltrace.TraceID{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36}
	onClient = &otlp.Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "midge"), attribute.String("service.instance.id", "c")}}
	onServer = &otlp.Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "midge-server"), attribute.String("service.instance.id", "s")}}
	ofTask   = &otlp.Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "go-build")}}
)

// spans makes spans of a trace, ids counted from 1.
type spans struct {
	all      []otlp.Span
	resource *otlp.Resource
}

// add adds a span below another and gives its id.
func (s *spans) add(parent int, name string, from, to float64, attributes ...attribute.KeyValue) int {
	n := len(s.all) + 1
	span := otlp.Span{
		TraceID: traceID, SpanID: id(n), Name: name, Kind: oteltrace.SpanKindInternal,
		Start: at(from), End: at(to), Attributes: attributes, Resource: s.resource,
	}
	if parent > 0 {
		span.ParentID = id(parent)
	}
	s.all = append(s.all, span)
	return n
}

func (s *spans) fail(n int, message string) {
	s.all[n-1].Status, s.all[n-1].Message = codes.Error, message
}

func (s *spans) kind(n int, kind oteltrace.SpanKind) int {
	s.all[n-1].Kind = kind
	return n
}

// stalled notes that a span waited for a disk for a share of its time.
func (s *spans) stalled(n int, from, to, share float64) {
	span := &s.all[n-1]
	span.Events = append(span.Events, otlp.Event{Name: trace.StallEvent, Time: at(from), Attributes: []attribute.KeyValue{
		trace.StallResource.String("io"), trace.StallSeconds.Float64(to - from), trace.StallShare.Float64(share),
	}})
}

// execution is the trace of an execute: what a command and its server did, with the
// requests between them.
func execution() []otlp.Span {
	s := &spans{resource: onClient}
	execute := s.add(0, "execute", 0, 8.42)
	s.add(execute, "config", 0, 0.012)
	s.add(execute, "hash src", 0.012, 0.22, trace.Files(16703))
	s.add(execute, "upload src", 0.22, 0.27, trace.Files(3), trace.Bytes(12<<10))
	request := s.kind(s.add(execute, "POST /api/v1/builds", 0.27, 0.28, trace.Debug), oteltrace.SpanKindClient)
	s.add(execute, "download bin", 8.31, 8.42, trace.Bytes(8_493_465))
	s.resource = onServer
	served := s.kind(s.add(request, "POST /api/v1/builds", 0.271, 0.279, trace.Debug), oteltrace.SpanKindServer)
	s.add(served, "INSERT builds", 0.272, 0.275, trace.Debug)
	build := s.add(served, "build", 0.28, 8.31, trace.Build(12))
	s.add(build, "wait for turn", 0.28, 0.68, trace.Reason("max-active-builds=4"))
	task := s.add(build, "task one-off", 0.69, 8.3, trace.ExitStatus(0))
	create := s.add(task, "create", 0.7, 0.8)
	for i := range 6 {
		s.add(create, "fetch layer", 0.7+float64(i)*0.01, 0.72+float64(i)*0.01, trace.Bytes(1<<20))
	}
	run := s.add(task, "run", 0.8, 8.3)
	s.stalled(run, 0.8, 2.8, 0.03)
	s.stalled(run, 2.8, 4.8, 0.9)
	s.stalled(run, 4.8, 6.8, 0.6)
	return s.all
}

// failure is the trace of an execute that went wrong in several places, with spans of
// the task's own.
func failure() []otlp.Span {
	s := &spans{resource: onClient}
	execute := s.add(0, "execute", 0, 3)
	s.fail(execute, "the task exited with status 2")
	s.resource = onServer
	build := s.add(execute, "build", 0.1, 2.9, trace.Build(13))
	task := s.add(build, "task test", 0.2, 2.8, trace.ExitStatus(2))
	s.fail(task, "exit status 2")
	run := s.add(task, "run", 0.4, 2.8)
	s.resource = ofTask
	origin := otlp.Origin.String(id(run).String())
	for i := range 5 {
		n := s.add(run, "go test ./pkg", 0.4+0.2*float64(i), 0.9+0.2*float64(i), origin)
		s.fail(n, "FAIL: TestThings: got 1, want 2, and a message that is much longer than there is room for beside a bar")
	}
	s.add(run, "link", 2.0, 2.7, origin)
	s.add(999, "lost its parent", 2.7, 2.75, origin)
	return s.all
}

// clocks is the trace of a command whose server's clock is 40 seconds behind, with a
// gap in it and spans that were dropped.
func clocks() []otlp.Span {
	s := &spans{resource: onClient}
	builds := s.add(0, "builds", 0, 1)
	first := s.kind(s.add(builds, "GET /api/v1/info", 0.01, 0.11, trace.Debug), oteltrace.SpanKindClient)
	second := s.kind(s.add(builds, "GET /api/v1/builds", 0.6, 0.9, trace.Debug), oteltrace.SpanKindClient)
	s.resource = onServer
	s.kind(s.add(first, "GET /api/v1/info", 0.02-40, 0.1-40, trace.Debug), oteltrace.SpanKindServer)
	list := s.kind(s.add(second, "GET /api/v1/builds", 0.61-40, 0.88-40, trace.Debug), oteltrace.SpanKindServer)
	s.add(list, "list", 0.65-40, 0.85-40, trace.DroppedKey.Int64(2000))
	return s.all
}

// large is the trace of a task that told of 10 000 spans in 100 groups.
func large() []otlp.Span {
	s := &spans{resource: onServer}
	build := s.add(0, "build", 0, 100, trace.Build(14))
	task := s.add(build, "task test", 0.5, 99.5, trace.ExitStatus(0))
	run := s.add(task, "run", 1, 99)
	s.resource = ofTask
	origin := otlp.Origin.String(id(run).String())
	for i := range 100 {
		from := 1 + 0.97*float64(i)
		group := s.add(run, fmt.Sprintf("package %d", i), from, from+0.5+0.0047*float64(i*37%100), origin)
		for j := range 99 {
			s.add(group, fmt.Sprintf("test %d", j%7), from+0.005*float64(j), from+0.005*float64(j)+0.004, origin)
		}
	}
	return s.all
}

func TestPictures(t *testing.T) {
	pictures := map[string][]otlp.Span{"execution": execution(), "failure": failure(), "clocks": clocks(), "large": large()}
	for name, spans := range pictures {
		for _, width := range []int{60, 80, 160} {
			for _, utf := range []bool{true, false} {
				encoding := "ascii"
				if utf {
					encoding = "utf8"
				}
				file := fmt.Sprintf("%s-%d-%s.txt", name, width, encoding)
				t.Run(file, func(t *testing.T) {
					text := draw(t, spans, Options{Width: width, UTF8: utf})
					golden.Compare(t, file, text)
					for line := range strings.Lines(text) {
						line = strings.TrimSuffix(line, "\n")
						if n := displayWidth(line); n > width {
							t.Errorf("a line takes %d columns: %s", n, line)
						}
						if !utf && utf8.RuneCountInString(line) != len(line) {
							t.Errorf("a line is not ASCII: %s", line)
						}
					}
				})
			}
		}
	}
}

func draw(t testing.TB, spans []otlp.Span, options Options) string {
	t.Helper()
	var text strings.Builder
	if err := Draw(&text, spans, options); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
