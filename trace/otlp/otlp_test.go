package otlp

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	official "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

// sample is one span of everything and one of nothing, of two resources.
func sample() []Span {
	server := &Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "midge-server")}, SchemaURL: "https://opentelemetry.io/schemas/1.40.0"}
	client := &Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "midge")}}
	traceID := trace.TraceID{1, 2, 3, 15: 16}
	return []Span{
		{
			TraceID: traceID, SpanID: trace.SpanID{1, 7: 8}, ParentID: trace.SpanID{9}, TraceState: "a=b", Flags: 0x101,
			Name: "run ✓", Kind: trace.SpanKindServer, Start: begin, End: begin.Add(7500 * time.Millisecond),
			Attributes: []attribute.KeyValue{
				attribute.String("text", "x"), attribute.String("empty", ""), attribute.Bool("yes", true), attribute.Bool("no", false),
				attribute.Int64("least", math.MinInt64), attribute.Int64("zero", 0), attribute.Float64("half", 0.5), attribute.Float64("nought", 0),
				attribute.Float64("infinite", math.Inf(-1)),
				{Key: "bytes", Value: attribute.ByteSliceValue([]byte{0, 255})},
				{Key: "list", Value: attribute.SliceValue(attribute.StringValue("a"), attribute.Int64Value(2), attribute.SliceValue())},
				{Key: "map", Value: attribute.MapValue(attribute.String("k", "v"))},
				{Key: "nothing"},
			},
			DroppedAttributes: 1, DroppedEvents: 2, DroppedLinks: 3,
			Events: []Event{{Time: begin.Add(time.Second), Name: "stall", Attributes: []attribute.KeyValue{attribute.Int("n", 1)}, DroppedAttributes: 4}},
			Links:  []Link{{TraceID: traceID, SpanID: trace.SpanID{5}, TraceState: "c=d", Attributes: []attribute.KeyValue{attribute.Int("n", 1)}, DroppedAttributes: 6, Flags: 1}},
			Status: codes.Error, Message: "exit status 1",
			Resource: server, Scope: Scope{Name: "midge", Version: "1", SchemaURL: "s"},
		},
		{TraceID: traceID, SpanID: trace.SpanID{2}, Resource: client, Scope: Scope{Name: "midge"}},
		{TraceID: traceID, SpanID: trace.SpanID{3}, Name: "ok", Status: codes.Ok, Start: begin, End: begin, Resource: server, Scope: Scope{Name: "other"}},
	}
}

var compare = cmp.Options{
	cmp.Comparer(func(a, b attribute.Value) bool { return a.Type() == b.Type() && a.String() == b.String() }),
}

// bySpan brings spans into an order that does not depend on their resources.
func bySpan(spans []Span) map[trace.SpanID]Span {
	index := map[trace.SpanID]Span{}
	for _, span := range spans {
		index[span.SpanID] = span
	}
	return index
}

func TestOfficialDecodersReadOurs(t *testing.T) {
	var fromProtobuf, fromJSON official.TracesData
	if err := proto.Unmarshal(EncodeProtobuf(sample()), &fromProtobuf); err != nil {
		t.Fatal(err)
	}
	text, err := EncodeJSON(sample())
	if err != nil {
		t.Fatal(err)
	}
	// The protocol's JSON has ids in hexadecimal, where protojson reads base64.
	if err := protojson.Unmarshal(idsInBase64(text), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&fromProtobuf, &fromJSON) {
		t.Errorf("the two encodings differ:\n%s\n%s", protojson.Format(&fromProtobuf), protojson.Format(&fromJSON))
	}
	if got := protojson.Format(&fromProtobuf); strings.Contains(got, "unknown") {
		t.Errorf("there are fields that the official decoder does not know: %s", got)
	}
	if got := len(fromProtobuf.ResourceSpans); got != 2 {
		t.Errorf("there are %d resources, want 2", got)
	}
	again, err := DecodeProtobuf(EncodeProtobuf(sample()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bySpan(sample()), bySpan(again), compare); diff != "" {
		t.Errorf("protobuf: -want +got:\n%s", diff)
	}
	again, err = DecodeJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bySpan(sample()), bySpan(again), compare); diff != "" {
		t.Errorf("JSON: -want +got:\n%s", diff)
	}
}

func TestOursReadsTheOfficialEncoder(t *testing.T) {
	var traces official.TracesData
	if err := proto.Unmarshal(EncodeProtobuf(sample()), &traces); err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: traces.ResourceSpans})
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeProtobuf(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bySpan(sample()), bySpan(got), compare); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// exampleJSON is the example of the protocol's own documentation in its essentials:
// numbers of 64 bits as strings and as numbers, fields that we do not know.
const exampleJSON = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]},
"scopeSpans":[{"scope":{"name":"my.library","version":"1.0.0","attributes":[{"key":"a","value":{"stringValue":"b"}}]},
"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"EEE19B7EC3C1B173","name":"I'm a server span",
"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,"kind":2,"later":{"field":[1]},
"attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}},{"key":"n","value":{"intValue":7}}]},
{"traceId":"","spanId":"EEE19B7EC3C1B174","name":"no trace"},{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"00","name":"no id"}]}]}]}`

func TestDecodeExample(t *testing.T) {
	got, err := DecodeJSON([]byte(exampleJSON))
	if err != nil {
		t.Fatal(err)
	}
	traceID, _ := trace.TraceIDFromHex("5b8efff798038103d269b633813fc60c")
	spanID, _ := trace.SpanIDFromHex("eee19b7ec3c1b174")
	parentID, _ := trace.SpanIDFromHex("eee19b7ec3c1b173")
	want := []Span{{
		TraceID: traceID, SpanID: spanID, ParentID: parentID, Name: "I'm a server span", Kind: trace.SpanKindServer,
		Start: time.Unix(1544712660, 0).UTC(), End: time.Unix(1544712661, 0).UTC(),
		Attributes: []attribute.KeyValue{attribute.String("my.span.attr", "some value"), attribute.Int("n", 7)},
		Resource:   &Resource{Attributes: []attribute.KeyValue{attribute.String("service.name", "my.service")}},
		Scope:      Scope{Name: "my.library", Version: "1.0.0"},
	}}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, text := range []string{"", "[]", `{"resourceSpans":1}`, `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}`, exampleJSON[:200]} {
		if spans, err := DecodeJSON([]byte(text)); err == nil {
			t.Errorf("JSON %q gives %v", text, spans)
		}
	}
	whole := EncodeProtobuf(sample())
	for _, data := range []string{"\x0a", "\x0a\x05\x12", "\x0b", "\x08\x80", "\x09\x01", "\x0d\x01", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", string(whole[:len(whole)-1])} {
		if spans, err := DecodeProtobuf([]byte(data)); err == nil {
			t.Errorf("protobuf %q gives %v", data, spans)
		}
	}
}

func TestDeepValuesAreCut(t *testing.T) {
	value := attribute.StringValue("bottom")
	for range 100 {
		value = attribute.SliceValue(value)
	}
	span := sample()[1]
	span.Attributes = []attribute.KeyValue{{Key: "deep", Value: value}}
	text, err := EncodeJSON([]Span{span})
	if err != nil {
		t.Fatal(err)
	}
	for name, decode := range map[string]func() ([]Span, error){
		"JSON":     func() ([]Span, error) { return DecodeJSON(text) },
		"protobuf": func() ([]Span, error) { return DecodeProtobuf(EncodeProtobuf([]Span{span})) },
	} {
		got, err := decode()
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %d spans, %v", name, len(got), err)
		}
		if text := got[0].Attributes[0].Value.String(); strings.Contains(text, "bottom") || strings.Count(text, "[") > maxDepth+1 {
			t.Errorf("%s: the value is %s", name, text)
		}
	}
}

func TestLongListsAreCut(t *testing.T) {
	values := make([]attribute.Value, 10*maxElements)
	pairs := make([]attribute.KeyValue, 10*maxElements)
	for i := range values {
		values[i] = attribute.IntValue(i)
		pairs[i] = attribute.Int(strings.Repeat("k", i+1), i)
	}
	span := sample()[1]
	span.Attributes = []attribute.KeyValue{{Key: "list", Value: attribute.SliceValue(values...)}, {Key: "map", Value: attribute.MapValue(pairs...)}}
	text, err := EncodeJSON([]Span{span})
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := DecodeJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	fromProtobuf, err := DecodeProtobuf(EncodeProtobuf([]Span{span}))
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range [][]Span{fromJSON, fromProtobuf} {
		if list, pairs := got[0].Attributes[0].Value.AsSlice(), got[0].Attributes[1].Value.AsMap(); len(list) != maxElements || len(pairs) != maxElements {
			t.Errorf("%d elements and %d pairs, want %d", len(list), len(pairs), maxElements)
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	text, err := EncodeJSON(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(exampleJSON))
	f.Fuzz(func(t *testing.T, data []byte) {
		spans, err := DecodeJSON(data)
		if err != nil {
			return
		}
		for i := range spans {
			DefaultLimits.Apply(&spans[i])
		}
		again, err := EncodeJSON(spans)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if _, err := DecodeJSON(again); err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
	})
}

func FuzzDecodeProtobuf(f *testing.F) {
	f.Add(EncodeProtobuf(sample()))
	f.Fuzz(func(t *testing.T, data []byte) {
		spans, err := DecodeProtobuf(data)
		if err != nil {
			return
		}
		for i := range spans {
			DefaultLimits.Apply(&spans[i])
		}
		again := EncodeProtobuf(spans)
		if decoded, err := DecodeProtobuf(again); err != nil || len(decoded) != len(spans) {
			t.Fatalf("of %d spans that were encoded %d are decoded: %v", len(spans), len(decoded), err)
		}
		if err := proto.Unmarshal(again, new(official.TracesData)); err != nil {
			t.Fatalf("the official decoder does not take it: %v", err)
		}
	})
}
