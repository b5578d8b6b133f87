package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// idsInBase64 makes of the protocol's JSON what protojson reads.
func idsInBase64(text []byte) []byte {
	ids := regexp.MustCompile(`"(traceId|spanId|parentSpanId)":"([0-9a-f]*)"`)
	return ids.ReplaceAllFunc(text, func(match []byte) []byte {
		parts := ids.FindSubmatch(match)
		id, _ := hex.DecodeString(string(parts[2]))
		return fmt.Appendf(nil, `"%s":"%s"`, parts[1], base64.StdEncoding.EncodeToString(id))
	})
}

// collected keeps what a Receiver takes.
type collected struct {
	mu    sync.Mutex
	spans []Span
	err   error
}

func (c *collected) take(_ context.Context, spans []Span) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, spans...)
	return c.err
}

func post(t *testing.T, handler http.Handler, path, contentType, encoding string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Content-Encoding", encoding)
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	return response
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestReceiverTakesAllEncodings(t *testing.T) {
	text, err := EncodeJSON(sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, contentType, encoding string
		body                        []byte
	}{
		{"JSON", "application/json; charset=utf-8", "", text},
		{"protobuf", protobufType, "identity", EncodeProtobuf(sample())},
		{"packed", protobufType, "gzip", zipped(t, EncodeProtobuf(sample()))},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got collected
			response := post(t, NewReceiver(got.take), "/v1/traces", test.contentType, test.encoding, test.body)
			if response.Code != http.StatusOK {
				t.Fatalf("status %d: %s", response.Code, response.Body)
			}
			if diff := cmp.Diff(bySpan(sample()), bySpan(got.spans), compare); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReceiverRefuses(t *testing.T) {
	large := EncodeProtobuf([]Span{{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Name: strings.Repeat("x", 5<<20)}})
	for _, test := range []struct {
		name, path, contentType, encoding string
		body                              []byte
		want                              int
	}{
		{"no spans", "/v1/traces", jsonType, "", []byte("{"), http.StatusBadRequest},
		{"no protobuf", "/v1/traces", protobufType, "", []byte{0x0a}, http.StatusBadRequest},
		{"another type", "/v1/traces", "text/plain", "", nil, http.StatusUnsupportedMediaType},
		{"another packing", "/v1/traces", protobufType, "br", nil, http.StatusBadRequest},
		{"not packed", "/v1/traces", protobufType, "gzip", []byte("x"), http.StatusBadRequest},
		{"too large", "/v1/traces", protobufType, "", large, http.StatusRequestEntityTooLarge},
		{"too large unpacked", "/v1/traces", protobufType, "gzip", zipped(t, large), http.StatusRequestEntityTooLarge},
		{"another place", "/v1/profiles", jsonType, "", []byte("{}"), http.StatusNotFound},
		{"metrics are forgotten", "/v1/metrics", jsonType, "", []byte("{}"), http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got collected
			response := post(t, NewReceiver(got.take), test.path, test.contentType, test.encoding, test.body)
			if response.Code != test.want || len(got.spans) != 0 {
				t.Errorf("status %d, want %d; %d spans were taken: %s", response.Code, test.want, len(got.spans), response.Body)
			}
		})
	}
	response := httptest.NewRecorder()
	NewReceiver(nil).ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/v1/traces", nil))
	if response.Code != http.StatusMethodNotAllowed {
		t.Errorf("a GET has status %d", response.Code)
	}
}

func TestReceiverSaysWhenItCannotKeep(t *testing.T) {
	failing := collected{err: errors.New("no space left")}
	response := post(t, NewReceiver(failing.take), "/v1/traces", protobufType, "", EncodeProtobuf(sample()))
	if response.Code != http.StatusServiceUnavailable || !strings.Contains(response.Body.String(), "no space left") {
		t.Errorf("status %d: %s", response.Code, response.Body)
	}
}

func TestReceiverBoundsTheNumber(t *testing.T) {
	var got collected
	receiver := NewReceiver(got.take)
	receiver.MaxSpans = 4
	three := EncodeProtobuf(sample())
	post(t, receiver, "/v1/traces", protobufType, "", three)
	response := post(t, receiver, "/v1/traces", protobufType, "", three)
	var answer collector.ExportTraceServiceResponse
	if err := proto.Unmarshal(response.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.PartialSuccess.GetRejectedSpans() != 2 || answer.PartialSuccess.GetErrorMessage() == "" {
		t.Errorf("the answer is %v, want 2 spans refused", &answer)
	}
	text, err := EncodeJSON(sample())
	if err != nil {
		t.Fatal(err)
	}
	response = post(t, receiver, "/v1/traces", jsonType, "", text)
	var said struct {
		PartialSuccess struct{ RejectedSpans, ErrorMessage string }
	}
	if err := json.Unmarshal(response.Body.Bytes(), &said); err != nil || said.PartialSuccess.RejectedSpans != "3" {
		t.Errorf("the answer is %s, want 3 spans refused: %v", response.Body, err)
	}
	if len(got.spans) != 4 || receiver.Refused() != 5 {
		t.Errorf("%d spans taken and %d refused, want 4 and 5", len(got.spans), receiver.Refused())
	}
}

func TestReceiverBoundsItsNumberForManyAtOnce(t *testing.T) {
	var got collected
	receiver := NewReceiver(got.take)
	receiver.MaxSpans = 10
	body := EncodeProtobuf(sample())
	var senders sync.WaitGroup
	for range 50 {
		senders.Go(func() {
			request := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
			request.Header.Set("Content-Type", protobufType)
			receiver.ServeHTTP(httptest.NewRecorder(), request)
		})
	}
	senders.Wait()
	if len(got.spans) > 10 || int64(len(got.spans))+receiver.Refused() != 150 {
		t.Errorf("%d spans taken, %d refused", len(got.spans), receiver.Refused())
	}
}

func TestLimitsCutASpan(t *testing.T) {
	limits := Limits{Attributes: 2, Events: 1, Links: 0, Text: 8}
	span := sample()[0]
	span.Name, span.Message = strings.Repeat("n", 20), "bad\xff"
	span.Events = append(span.Events, Event{Name: "second"})
	limits.Apply(&span)
	if span.Name != "nnnnnnnn" || span.Message != "bad\uFFFD" {
		t.Errorf("name %q, message %q", span.Name, span.Message)
	}
	if len(span.Attributes) != 2 || span.DroppedAttributes != 1+11 {
		t.Errorf("%d attributes, %d dropped", len(span.Attributes), span.DroppedAttributes)
	}
	if len(span.Events) != 1 || span.DroppedEvents != 2+1 || len(span.Links) != 0 || span.DroppedLinks != 3+1 {
		t.Errorf("%d events, %d dropped; %d links, %d dropped", len(span.Events), span.DroppedEvents, len(span.Links), span.DroppedLinks)
	}
	long := attribute.StringSlice("list", []string{"123456789", "123456789"})
	if got := limits.value(long.Value); len(got.AsString()) > limits.Text {
		t.Errorf("a long list stays %v", got)
	}
}

func TestAdopt(t *testing.T) {
	traceID, run, task := trace.TraceID{7}, trace.SpanID{77}, trace.SpanID{66}
	spans := []Span{
		{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Name: "its own root"},
		{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, ParentID: trace.SpanID{1}, Name: "child"},
		{TraceID: traceID, SpanID: trace.SpanID{3}, ParentID: run, Name: "knows its parent"},
		{TraceID: traceID, SpanID: run, Name: "says it is the run"},
		{TraceID: traceID, SpanID: trace.SpanID{4}, ParentID: trace.SpanID{4}, Name: "its own parent"},
		{TraceID: traceID, SpanID: trace.SpanID{6}, ParentID: task, Name: "knows the one above"},
		{TraceID: traceID, SpanID: trace.SpanID{5}, ParentID: trace.SpanID{99}, Name: "parent comes later",
			Attributes: []attribute.KeyValue{attribute.String("midge.level", "debug"), attribute.String("kept", "x")},
			Resource:   &Resource{Attributes: []attribute.KeyValue{attribute.String("midge.x", "y")}}},
	}
	got := Adopt(spans, traceID, run, task)
	parents := map[string]trace.SpanID{}
	for _, span := range got {
		parents[span.Name] = span.ParentID
		if span.TraceID != traceID {
			t.Errorf("%s is of trace %v", span.Name, span.TraceID)
		}
		if origin, _ := span.Attribute(Origin); origin.AsString() != run.String() {
			t.Errorf("%s comes from %q", span.Name, origin.AsString())
		}
	}
	want := map[string]trace.SpanID{
		"its own root": run, "child": {1}, "knows its parent": run, "its own parent": run, "knows the one above": run, "parent comes later": {99},
	}
	if diff := cmp.Diff(want, parents); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	last := got[len(got)-1]
	if len(last.Attributes) != 2 || len(last.Resource.Attributes) != 0 {
		t.Errorf("attributes that are midge's stay: %v, %v", last.Attributes, last.Resource.Attributes)
	}
	if len(spans[6].Attributes) != 2 || spans[6].Attributes[0].Key != "midge.level" {
		t.Error("the spans given were changed")
	}
}

// A real exporter, as programs link it, can send to a Receiver.
func TestReceiverTakesTheOfficialExporter(t *testing.T) {
	var got collected
	server := httptest.NewServer(NewReceiver(got.take))
	defer server.Close()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL+"/v1/traces"), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	ctx, outer := provider.Tracer("their").Start(t.Context(), "outer")
	_, inner := provider.Tracer("their").Start(ctx, "inner", trace.WithAttributes(attribute.Int("n", 7)))
	inner.RecordError(errors.New("broken"))
	inner.End()
	outer.End()
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(got.spans) != 2 || got.spans[0].Name != "inner" || got.spans[0].ParentID != got.spans[1].SpanID || got.spans[0].Events[0].Name != "exception" {
		t.Errorf("got %+v", got.spans)
	}
}
