package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/api"
	"midge/trace/otlp"
)

// record records until the test ends and gives what is kept.
func record(t *testing.T, options Options) *Memory {
	t.Helper()
	memory := NewMemory(1000)
	if options.Keep == nil {
		options.Keep = memory.Keep
	}
	stop, err := Record(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return memory
}

func spansOf(t *testing.T, memory *Memory) map[string]otlp.Span {
	t.Helper()
	spans, dropped := memory.Spans()
	if dropped > 0 {
		t.Fatalf("%d spans were dropped", dropped)
	}
	index := map[string]otlp.Span{}
	for _, span := range spans {
		if _, ok := index[span.Name]; ok {
			t.Fatalf("there are two spans %q", span.Name)
		}
		index[span.Name] = span
	}
	return index
}

func text(span otlp.Span, key attribute.Key) string {
	value, _ := span.Attribute(key)
	return value.String()
}

func TestSpansOfAProcess(t *testing.T) {
	memory := record(t, Options{Service: "midge", Version: "1.2"})
	ctx, outer := StartSpan(t.Context(), "outer", Team("main"))
	_, inner := StartSpan(WithBuild(ctx, 12), "inner", Files(3))
	inner.Set(Bytes(7))
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	inner.AddStalls([]api.Stall{{Resource: "io", From: began, To: began.Add(2 * time.Second), Share: 0.4}})
	inner.End(errors.New("no space left"))
	outer.EndAt(nil, began.Add(time.Hour))

	spans := spansOf(t, memory)
	o, i := spans["outer"], spans["inner"]
	if i.ParentID != o.SpanID || i.TraceID != o.TraceID || o.TraceID.String() != ID(ctx) {
		t.Errorf("inner is not below outer: %+v, %+v", i, o)
	}
	if text(o, TeamKey) != "main" || text(i, FilesKey) != "3" || text(i, BytesKey) != "7" || text(i, BuildKey) != "12" || text(o, BuildKey) != "" {
		t.Errorf("attributes are %v and %v", o.Attributes, i.Attributes)
	}
	if i.Status != codes.Error || i.Message != "no space left" || o.Status != codes.Unset {
		t.Errorf("inner is %v %q, outer %v", i.Status, i.Message, o.Status)
	}
	if !o.End.Equal(began.Add(time.Hour)) {
		t.Errorf("outer ends at %v", o.End)
	}
	stall := i.Events[0]
	if stall.Name != StallEvent || !stall.Time.Equal(began) {
		t.Errorf("the stall is %+v", stall)
	}
	if service, _ := o.Resource.Attribute("service.name"); service.AsString() != "midge" {
		t.Errorf("the resource is %v", o.Resource.Attributes)
	}
}

func TestNothingIsRecordedWithoutRecord(t *testing.T) {
	ctx, span := StartSpan(t.Context(), "nobody", Files(1))
	span.Set(Bytes(1))
	span.AddStalls([]api.Stall{{}})
	span.End(errors.New("nobody"))
	if ID(ctx) != "" || Parent(ctx) != "" || Environment(ctx) != nil || WithBuild(ctx, 1) != ctx {
		t.Error("there is a span")
	}
	base := new(http.Transport)
	if Transport(base) != http.RoundTripper(base) {
		t.Error("the transport is not left alone")
	}
}

func TestOnlyOneRecordsAtATime(t *testing.T) {
	record(t, Options{})
	if _, err := Record(Options{}); err == nil {
		t.Error("a second recording was begun")
	}
}

func TestUnsampledSpansAreKeptAndNotExported(t *testing.T) {
	exported := new(exportedSpans)
	memory := NewMemory(10)
	stop, err := Record(Options{Keep: memory.Keep, Exporters: []sdk.SpanExporter{exported}})
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range []string{"00", "01"} {
		ctx := WithParent(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"+flags)
		ctx, span := StartSpan(ctx, "flags "+flags)
		if err := Adopt(ctx, []otlp.Span{{SpanID: oteltrace.SpanID{1}, Name: "of task " + flags}}); err != nil {
			t.Fatal(err)
		}
		span.End(nil)
	}
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept, _ := memory.Spans(); len(kept) != 4 {
		t.Errorf("%d spans are kept, want 4", len(kept))
	}
	slices.Sort(exported.names)
	if diff := cmp.Diff([]string{"flags 01", "of task 01"}, exported.names); diff != "" {
		t.Errorf("exported: -want +got:\n%s", diff)
	}
}

func TestTraceParentGoesIntoAndOutOfTheEnvironment(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	t.Setenv("TRACEPARENT", parent)
	ctx := FromEnvironment(t.Context())
	if ID(ctx) != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the trace is %q", ID(ctx))
	}
	if diff := cmp.Diff([]string{"TRACEPARENT=" + parent}, Environment(ctx)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, bad := range []string{"", "x", "00-00000000000000000000000000000000-b7ad6b7169203331-01", strings.Repeat("0", 10_000)} {
		if got := ID(WithParent(t.Context(), bad)); got != "" {
			t.Errorf("%q gives the trace %q", bad, got)
		}
	}
}

func TestAdoptedSpansAreOfTheBuild(t *testing.T) {
	memory := record(t, Options{})
	ctx, run := StartSpan(WithBuild(t.Context(), 12), "run")
	if err := Adopt(ctx, []otlp.Span{{TraceID: oteltrace.TraceID{9}, SpanID: oteltrace.SpanID{1}, Name: "compile"}}); err != nil {
		t.Fatal(err)
	}
	run.End(nil)
	spans := spansOf(t, memory)
	compile := spans["compile"]
	if compile.ParentID != spans["run"].SpanID || compile.TraceID != spans["run"].TraceID || text(compile, BuildKey) != "12" {
		t.Errorf("adopted as %+v", compile)
	}
}

func TestRequestsAreOneTraceOnBothSides(t *testing.T) {
	memory := record(t, Options{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/builds/{id}", func(w http.ResponseWriter, r *http.Request) {
		SetUser(r.Context(), "alice")
		_, span := StartSpan(r.Context(), "sql", Debug, Statement("SELECT builds"))
		span.End(nil)
		w.WriteHeader(http.StatusTeapot)
		http.NewResponseController(w).Flush()
	})
	server := httptest.NewServer(Handler(mux))
	defer server.Close()
	client := http.Client{Transport: Transport(http.DefaultTransport)}
	ctx, command := StartSpan(t.Context(), "builds")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/builds/12", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	server.Close()
	command.End(nil)

	all, _ := memory.Spans()
	find := func(kind oteltrace.SpanKind) otlp.Span {
		i := slices.IndexFunc(all, func(s otlp.Span) bool { return s.Kind == kind })
		if i < 0 {
			t.Fatalf("there is no %v span", kind)
		}
		return all[i]
	}
	asked, served := find(oteltrace.SpanKindClient), find(oteltrace.SpanKindServer)
	if asked.Name != "GET /api/v1/builds/{id}" || served.Name != "GET /api/v1/builds/{id}" {
		t.Errorf("they are called %q and %q", asked.Name, served.Name)
	}
	if served.ParentID != asked.SpanID || served.TraceID.String() != ID(ctx) {
		t.Error("the server's is not below the client's")
	}
	if text(served, UserKey) != "alice" || text(served, "http.response.status_code") != "418" || text(asked, LevelKey) != "debug" {
		t.Errorf("attributes are %v and %v", asked.Attributes, served.Attributes)
	}
}

func TestNamesOfRequests(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/builds":                              "GET /api/v1/builds",
		"/api/v1/builds/123/events":                   "GET /api/v1/builds/{id}/events",
		"/api/v1/teams/main/artifacts/9":              "GET /api/v1/teams/main/artifacts/{id}",
		"/api/v1/traces/" + strings.Repeat("ab1", 11): "GET /api/v1/traces/{id}",
		"/": "GET /",
	} {
		if got := clientSpanName("", httptest.NewRequest(http.MethodGet, path, nil)); got != want {
			t.Errorf("%s is called %q, want %q", path, got, want)
		}
	}
}

func TestMemoryKeepsTheLongSpans(t *testing.T) {
	memory := NewMemory(3)
	var senders sync.WaitGroup
	for i := range 100 {
		senders.Go(func() {
			memory.Keep(otlp.Span{Name: fmt.Sprint(i), End: time.Time{}.Add(time.Duration(i))})
		})
	}
	senders.Wait()
	memory.Keep(otlp.Span{Name: "root", End: time.Time{}.Add(time.Hour)})
	spans, dropped := memory.Spans()
	if len(spans) != 3 || dropped != 98 {
		t.Errorf("%d spans are kept and %d dropped", len(spans), dropped)
	}
	if !slices.ContainsFunc(spans, func(s otlp.Span) bool { return s.Name == "root" }) {
		t.Errorf("the longest is not among %v", spans)
	}
}

func TestWriteJSONIsWhatStdouttraceWrites(t *testing.T) {
	memory := record(t, Options{Service: "midge"})
	ctx, outer := StartSpan(t.Context(), "outer")
	_, inner := StartSpan(ctx, "inner", Files(3))
	inner.End(errors.New("broken"))
	outer.End(nil)
	spans, _ := memory.Spans()
	var written bytes.Buffer
	if err := WriteJSON(t.Context(), &written, spans); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(&written)
	var names []string
	for decoder.More() {
		var span struct {
			Name                string
			SpanContext, Parent struct{ TraceID, SpanID string }
			Status              struct{ Code, Description string }
			Attributes          []struct {
				Key   string
				Value struct{ Type string }
			}
			Resource []struct{ Key string }
		}
		if err := decoder.Decode(&span); err != nil {
			t.Fatal(err)
		}
		names = append(names, span.Name)
		if span.SpanContext.TraceID != ID(ctx) || len(span.Resource) == 0 {
			t.Errorf("%+v", span)
		}
		if span.Name == "inner" && (span.Status.Code != "Error" || span.Attributes[0].Value.Type != "INT64" || span.Parent.SpanID == "0000000000000000") {
			t.Errorf("%+v", span)
		}
	}
	if diff := cmp.Diff([]string{"inner", "outer"}, names); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSamplerFromEnvironment(t *testing.T) {
	for _, test := range []struct {
		name, argument, want string
	}{
		{"", "", "ParentBased{root:AlwaysOnSampler"},
		{"always_off", "", "AlwaysOffSampler"},
		{"traceidratio", "0.25", "TraceIDRatioBased{0.25}"},
		{"parentbased_traceidratio", "0.5", "ParentBased{root:TraceIDRatioBased{0.5}"},
		{"jaeger_remote", "", ""},
		{"traceidratio", "2", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", test.name)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", test.argument)
			sampler, err := samplerFromEnvironment()
			if test.want == "" {
				if err == nil {
					t.Errorf("it gives %s", sampler.Description())
				}
				return
			}
			if err != nil || !strings.HasPrefix(sampler.Description(), test.want) {
				t.Errorf("it gives %v, %v, want %s", sampler, err, test.want)
			}
		})
	}
}

func BenchmarkOff(b *testing.B) {
	ctx := b.Context()
	for b.Loop() {
		_, span := StartSpan(ctx, "off", Files(1))
		span.End(nil)
	}
}

func BenchmarkOn(b *testing.B) {
	memory := NewMemory(1000)
	stop, err := Record(Options{Keep: memory.Keep})
	if err != nil {
		b.Fatal(err)
	}
	defer stop(b.Context())
	ctx := b.Context()
	for b.Loop() {
		_, span := StartSpan(ctx, "on", Files(1))
		span.End(nil)
	}
}
