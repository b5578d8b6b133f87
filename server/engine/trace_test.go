package engine

import (
	"context"
	"slices"
	"strings"
	"testing"

	"midge/api"
	"midge/server/eventlog"
	"midge/server/state"
	"midge/trace"
)

func TestSpans(t *testing.T) {
	memory := trace.NewMemory(1000)
	stop, err := trace.Record(trace.Options{Keep: memory.Keep})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(context.Background())

	const traceID, requestID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	s := newServer(t)
	s.options.MaxActiveBuilds = 1
	s.start()
	first := s.create(forever("a"))
	build, err := s.engine.Create(t.Context(), state.NewBuild{
		Team:        testTeam,
		Plan:        parsePlan(t, `{"do":[{"try":{"step":`+script("a", "echo $TRACEPARENT; exit 3", `"outputs":[{"name":"out"}]`)+`}}]}`),
		TraceParent: "00-" + traceID + "-" + requestID + "-01",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.abort(first.ID)
	_, events := s.finished(build.ID)
	s.stopWhenIdle()

	spans, _ := memory.Spans()
	names := map[string]string{requestID: "request"}
	for _, span := range spans {
		names[span.SpanID.String()] = span.Name
	}
	parents := make(map[string]string) // of each span, by name
	var taskID string
	for _, span := range spans {
		if span.TraceID.String() != traceID {
			continue
		}
		parents[span.Name] = names[span.ParentID.String()]
		if span.Name == "task one-off" {
			taskID = span.SpanID.String()
		}
	}
	for name, parent := range map[string]string{
		"build":           "request",
		"wait for turn":   "build",
		"do":              "build",
		"try":             "do",
		"task one-off":    "try",
		"UPDATE builds":   "build",
		"INSERT steps":    "build",
		"select worker":   "task one-off",
		"create":          "task one-off",
		"start":           "task one-off",
		"run":             "task one-off",
		"collect outputs": "task one-off",
	} {
		if parents[name] != parent {
			t.Errorf("the span %q is below %q, want %q", name, parents[name], parent)
		}
	}
	i := slices.IndexFunc(events, func(event eventlog.Event) bool { return event.Kind == api.EventLog })
	if got := decode(t, events[i]).(api.LogEvent).Payload; !strings.HasPrefix(got, "00-"+traceID+"-"+taskID+"-01") {
		t.Errorf("the task's TRACEPARENT is %q", got)
	}
}
