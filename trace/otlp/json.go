package otlp

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
)

// The JSON encoding: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
// Ids are hexadecimal, numbers of 64 bits are strings, kinds and states are numbers.
type (
	jsonTraces struct {
		ResourceSpans []jsonResourceSpans `json:"resourceSpans"`
	}
	jsonResourceSpans struct {
		Resource   jsonResource     `json:"resource"`
		ScopeSpans []jsonScopeSpans `json:"scopeSpans"`
		SchemaURL  string           `json:"schemaUrl,omitempty"`
	}
	jsonResource struct {
		Attributes []jsonKeyValue `json:"attributes,omitempty"`
	}
	jsonScopeSpans struct {
		Scope     jsonScope  `json:"scope"`
		Spans     []jsonSpan `json:"spans"`
		SchemaURL string     `json:"schemaUrl,omitempty"`
	}
	jsonScope struct {
		Name    string `json:"name,omitempty"`
		Version string `json:"version,omitempty"`
	}
	jsonSpan struct {
		TraceID           hexBytes       `json:"traceId"`
		SpanID            hexBytes       `json:"spanId"`
		TraceState        string         `json:"traceState,omitempty"`
		ParentSpanID      hexBytes       `json:"parentSpanId,omitempty"`
		Flags             uint32         `json:"flags,omitempty"`
		Name              string         `json:"name"`
		Kind              number         `json:"kind,omitempty"`
		Start             longNumber     `json:"startTimeUnixNano"`
		End               longNumber     `json:"endTimeUnixNano"`
		Attributes        []jsonKeyValue `json:"attributes,omitempty"`
		DroppedAttributes uint32         `json:"droppedAttributesCount,omitempty"`
		Events            []jsonEvent    `json:"events,omitempty"`
		DroppedEvents     uint32         `json:"droppedEventsCount,omitempty"`
		Links             []jsonLink     `json:"links,omitempty"`
		DroppedLinks      uint32         `json:"droppedLinksCount,omitempty"`
		Status            jsonStatus     `json:"status"`
	}
	jsonEvent struct {
		Time              longNumber     `json:"timeUnixNano"`
		Name              string         `json:"name"`
		Attributes        []jsonKeyValue `json:"attributes,omitempty"`
		DroppedAttributes uint32         `json:"droppedAttributesCount,omitempty"`
	}
	jsonLink struct {
		TraceID           hexBytes       `json:"traceId"`
		SpanID            hexBytes       `json:"spanId"`
		TraceState        string         `json:"traceState,omitempty"`
		Attributes        []jsonKeyValue `json:"attributes,omitempty"`
		DroppedAttributes uint32         `json:"droppedAttributesCount,omitempty"`
		Flags             uint32         `json:"flags,omitempty"`
	}
	jsonStatus struct {
		Message string `json:"message,omitempty"`
		Code    number `json:"code,omitempty"`
	}
	jsonKeyValue struct {
		Key   string    `json:"key"`
		Value jsonValue `json:"value"`
	}
)

// hexBytes is an id.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

// longNumber is a number of 64 bits: a string, though a number is understood too.
type longNumber uint64

func (n longNumber) MarshalText() ([]byte, error) {
	return strconv.AppendUint(nil, uint64(n), 10), nil
}

func (n *longNumber) UnmarshalJSON(text []byte) error {
	value, err := strconv.ParseUint(unquote(text), 10, 64)
	*n = longNumber(value)
	return err
}

// number is a kind or a state. The protocol has numbers alone for them; one that is
// named all the same is not understood and counts as unspecified.
type number uint64

func (n *number) UnmarshalJSON(text []byte) error {
	*n = 0
	if value, err := strconv.ParseUint(unquote(text), 10, 32); err == nil {
		*n = number(value)
	}
	return nil
}

func unquote(text []byte) string {
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	return string(text)
}

// EncodeJSON gives spans as a TracesData message in JSON, on one line.
func EncodeJSON(spans []Span) ([]byte, error) {
	traces := jsonTraces{ResourceSpans: []jsonResourceSpans{}}
	byResource(spans, func(resource *Resource, scopes []scopeSpans) {
		encoded := jsonResourceSpans{Resource: jsonResource{jsonAttributes(resource.Attributes)}, SchemaURL: resource.SchemaURL}
		for _, group := range scopes {
			scope := jsonScopeSpans{Scope: jsonScope{group.scope.Name, group.scope.Version}, SchemaURL: group.scope.SchemaURL}
			for _, span := range group.spans {
				scope.Spans = append(scope.Spans, encodeJSONSpan(span))
			}
			encoded.ScopeSpans = append(encoded.ScopeSpans, scope)
		}
		traces.ResourceSpans = append(traces.ResourceSpans, encoded)
	})
	return json.Marshal(traces)
}

func encodeJSONSpan(s *Span) jsonSpan {
	encoded := jsonSpan{
		TraceID: s.TraceID[:], SpanID: s.SpanID[:], TraceState: s.TraceState, Flags: s.Flags,
		Name: s.Name, Kind: number(s.Kind), Start: longNumber(unixNanos(s.Start)), End: longNumber(unixNanos(s.End)),
		Attributes: jsonAttributes(s.Attributes), DroppedAttributes: s.DroppedAttributes,
		DroppedEvents: s.DroppedEvents, DroppedLinks: s.DroppedLinks,
		Status: jsonStatus{s.Message, number(statusNumber(s.Status))},
	}
	if s.ParentID.IsValid() {
		encoded.ParentSpanID = s.ParentID[:]
	}
	for _, e := range s.Events {
		encoded.Events = append(encoded.Events, jsonEvent{longNumber(unixNanos(e.Time)), e.Name, jsonAttributes(e.Attributes), e.DroppedAttributes})
	}
	for _, l := range s.Links {
		encoded.Links = append(encoded.Links, jsonLink{l.TraceID[:], l.SpanID[:], l.TraceState, jsonAttributes(l.Attributes), l.DroppedAttributes, l.Flags})
	}
	return encoded
}

func jsonAttributes(attributes []attribute.KeyValue) []jsonKeyValue {
	var encoded []jsonKeyValue
	for _, a := range attributes {
		encoded = append(encoded, jsonKeyValue{string(a.Key), encodeJSONValue(a.Value)})
	}
	return encoded
}

// DecodeJSON gives the spans of a TracesData message, or of a request to export
// them, which is the same. Spans with ids that are none are left out, fields that
// are not known are passed over.
func DecodeJSON(data []byte) ([]Span, error) {
	var traces jsonTraces
	if err := json.Unmarshal(data, &traces); err != nil {
		return nil, fmt.Errorf("decode spans in JSON: %w", err)
	}
	var spans []Span
	for _, r := range traces.ResourceSpans {
		resource := &Resource{Attributes: decodeJSONAttributes(r.Resource.Attributes), SchemaURL: r.SchemaURL}
		for _, s := range r.ScopeSpans {
			scope := Scope{s.Scope.Name, s.Scope.Version, s.SchemaURL}
			for i := range s.Spans {
				span := decodeJSONSpan(&s.Spans[i])
				span.Resource, span.Scope = resource, scope
				if span.TraceID.IsValid() && span.SpanID.IsValid() {
					spans = append(spans, span)
				}
			}
		}
	}
	return spans, nil
}

func decodeJSONSpan(s *jsonSpan) Span {
	span := Span{
		TraceState: s.TraceState, Flags: s.Flags,
		Name: s.Name, Kind: kind(uint64(s.Kind)), Start: moment(uint64(s.Start)), End: moment(uint64(s.End)),
		Attributes: decodeJSONAttributes(s.Attributes), DroppedAttributes: s.DroppedAttributes,
		DroppedEvents: s.DroppedEvents, DroppedLinks: s.DroppedLinks,
		Status: statusCode(uint64(s.Status.Code)), Message: s.Status.Message,
	}
	copyID(span.TraceID[:], s.TraceID)
	copyID(span.SpanID[:], s.SpanID)
	copyID(span.ParentID[:], s.ParentSpanID)
	for _, e := range s.Events {
		span.Events = append(span.Events, Event{moment(uint64(e.Time)), e.Name, decodeJSONAttributes(e.Attributes), e.DroppedAttributes})
	}
	for _, l := range s.Links {
		link := Link{TraceState: l.TraceState, Attributes: decodeJSONAttributes(l.Attributes), DroppedAttributes: l.DroppedAttributes, Flags: l.Flags}
		copyID(link.TraceID[:], l.TraceID)
		copyID(link.SpanID[:], l.SpanID)
		span.Links = append(span.Links, link)
	}
	return span
}

// copyID takes an id of the right length; any other is none.
func copyID(to, id []byte) {
	if len(id) == len(to) {
		copy(to, id)
	}
}

func decodeJSONAttributes(attributes []jsonKeyValue) []attribute.KeyValue {
	var decoded []attribute.KeyValue
	for _, a := range attributes {
		decoded = append(decoded, attribute.KeyValue{Key: attribute.Key(a.Key), Value: a.Value.decode(0)})
	}
	return decoded
}
