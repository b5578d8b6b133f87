package engine

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/api"
	"midge/runtime"
	"midge/runtime/runtimetest"
	"midge/server/eventlog"
	"midge/trace"
	"midge/trace/otlp"
)

// listeningWorker gives containers that share this machine's loopback.
type listeningWorker struct {
	runtime.Worker
	environment []string // that the image sets

	mu        sync.Mutex
	listeners map[string]*net.TCPListener // by container
}

func newListeningWorker(t testing.TB, environment ...string) *listeningWorker {
	w := &listeningWorker{
		Worker: runtimetest.NewWorker(runtimetest.Config{}), environment: environment,
		listeners: make(map[string]*net.TCPListener),
	}
	t.Cleanup(func() {
		for _, listener := range w.listeners {
			listener.Close()
		}
	})
	return w
}

func (w *listeningWorker) FindOrCreateContainer(ctx context.Context, spec runtime.ContainerSpec) (runtime.Container, error) {
	c, err := w.Worker.FindOrCreateContainer(ctx, spec)
	return &listeningContainer{c, w, append(w.environment[:len(w.environment):len(w.environment)], spec.Env...)}, err
}

func (w *listeningWorker) LookupContainer(ctx context.Context, handle string) (runtime.Container, error) {
	c, err := w.Worker.LookupContainer(ctx, handle)
	return &listeningContainer{c, w, w.environment}, err
}

type listeningContainer struct {
	runtime.Container
	worker      *listeningWorker
	environment []string
}

func (c *listeningContainer) Environment(context.Context) ([]string, error) {
	return c.environment, nil
}

func (c *listeningContainer) Listen(context.Context, string) (net.Listener, error) {
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	listener := c.worker.listeners[c.Handle()]
	if listener == nil {
		var err error
		if listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			return nil, err
		}
		c.worker.listeners[c.Handle()] = listener
	}
	file, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileListener(file)
}

// sayTask is a task that says what it was told of spans, and waits until it may end.
func sayTask(more ...string) string {
	return script("a", `echo "endpoint $OTEL_EXPORTER_OTLP_ENDPOINT protocol $OTEL_EXPORTER_OTLP_PROTOCOL"; while [ ! -e /done ]; do sleep 0.01; done`, more...)
}

// recordSpans has spans be recorded until the test ends.
func recordSpans(t *testing.T) *trace.Memory {
	t.Helper()
	memory := trace.NewMemory(1000)
	stop, err := trace.Record(trace.Options{Keep: memory.Keep})
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

// sendSpan sends a span as a task does.
func sendSpan(t *testing.T, endpoint string, span otlp.Span) {
	t.Helper()
	span.Start = time.Now()
	span.End = span.Start.Add(time.Millisecond)
	response, err := http.Post(endpoint+"/v1/traces", "application/x-protobuf", bytes.NewReader(otlp.EncodeProtobuf([]otlp.Span{span})))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the receiver answers %s", response.Status)
	}
}

var endpointPattern = regexp.MustCompile(`endpoint (http://127\.0\.0\.1:\d+) protocol http/protobuf\n`)

// A task's own spans are below the one that runs it, also those that it sends to an
// engine that has come back.
func TestSpansOfATask(t *testing.T) {
	memory := recordSpans(t)
	s := newServer(t, newListeningWorker(t))
	s.start()
	id := s.create(sayTask()).ID
	events := s.await(id, func(event eventlog.Event) bool { return event.Kind == api.EventLog })
	endpoint := endpointPattern.FindStringSubmatch(output(t, events)[api.SourceStdout])
	if endpoint == nil {
		t.Fatalf("the task was told %q", output(t, events))
	}
	sendSpan(t, endpoint[1], otlp.Span{TraceID: oteltrace.TraceID{9}, SpanID: oteltrace.SpanID{1}, Name: "before"})
	s.stop()
	s.start()
	sendSpan(t, endpoint[1], otlp.Span{TraceID: oteltrace.TraceID{9}, SpanID: oteltrace.SpanID{2}, Name: "after"})
	s.inContainer(id, "a", "touch /done")
	s.finished(id)
	s.stop()

	spans, _ := memory.Spans()
	names := make(map[oteltrace.SpanID]string)
	for _, span := range spans {
		names[span.SpanID] = span.Name
	}
	parents := make(map[string]string)
	for _, span := range spans {
		parents[span.Name] = names[span.ParentID]
	}
	if parents["before"] != "run" || parents["after"] != "run" {
		t.Errorf("the task's spans are below %q and %q", parents["before"], parents["after"])
	}
}

// A task that sends its spans elsewhere is left alone, as is one whose server keeps none.
func TestEndpointOfATask(t *testing.T) {
	ofParams := func(params string) string { return `"params":{` + params + `}` }
	for _, test := range []struct {
		name  string
		image []string
		more  []string
		off   bool
		want  string
	}{
		{name: "given", want: "endpoint http://127.0.0.1:# protocol http/protobuf"},
		{name: "protocol of its own", more: []string{ofParams(`"OTEL_EXPORTER_OTLP_PROTOCOL":"http/json"`)}, want: "endpoint http://127.0.0.1:# protocol http/json"},
		{name: "protocol that is not spoken", more: []string{ofParams(`"OTEL_EXPORTER_OTLP_PROTOCOL":"grpc"`)}, want: "endpoint  protocol grpc"},
		{name: "endpoint of its own", more: []string{ofParams(`"OTEL_EXPORTER_OTLP_ENDPOINT":"http://collector:4318"`)}, want: "endpoint http://collector:4318 protocol "},
		{name: "endpoint of its own for traces", more: []string{ofParams(`"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":"http://collector:4318/v1/traces"`)}, want: "endpoint  protocol "},
		{name: "endpoint of the image's", image: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"}, want: "endpoint  protocol "},
		{name: "none are kept", off: true, want: "endpoint  protocol "},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !test.off {
				recordSpans(t)
			}
			s := newServer(t, newListeningWorker(t, test.image...))
			s.start()
			_, events := s.run(strings.Replace(sayTask(test.more...), "while", "exit; while", 1))
			got := regexp.MustCompile(`:\d+ protocol http/`).ReplaceAllString(output(t, events)[api.SourceStdout], ":# protocol http/")
			if got != test.want+"\n" {
				t.Errorf("the task was told %q, want %q", got, test.want)
			}
		})
	}
}

// A worker that cannot listen runs tasks all the same.
func TestNoEndpointOfATask(t *testing.T) {
	recordSpans(t)
	s := newServer(t)
	s.start()
	_, events := s.run(strings.Replace(sayTask(), "while", "exit; while", 1))
	if got := output(t, events)[api.SourceStdout]; got != "endpoint  protocol \n" {
		t.Errorf("the task was told %q", got)
	}
}
