// Package otlp is OpenTelemetry's protocol for spans over HTTP, as far as midge needs
// it: spans as values, their two encodings, and a handler that receives them.
//
// It is its own implementation because it is linked into every container's supervisor
// and into the command line, where the official one's 7 MB and 2 ms at each start
// would be felt. Its tests hold it against the official one.
//
// Decoding takes anything and never panics; what it gives is within Limits. The
// package keeps nothing and knows nothing of builds.
package otlp

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Span is a span that has ended.
type Span struct {
	TraceID    trace.TraceID
	SpanID     trace.SpanID
	ParentID   trace.SpanID // zero for none
	TraceState string
	Flags      uint32

	Name       string
	Kind       trace.SpanKind
	Start, End time.Time

	Attributes []attribute.KeyValue
	Events     []Event
	Links      []Link
	Status     codes.Code
	Message    string // why Status is an error

	// What was left out for being too much.
	DroppedAttributes, DroppedEvents, DroppedLinks uint32

	// Resource is what the span comes from. Many spans share one, which nobody may change.
	Resource *Resource
	Scope    Scope
}

// Resource says what spans come from: a program on a machine.
type Resource struct {
	Attributes []attribute.KeyValue
	SchemaURL  string
}

// Scope names the part of a program that made a span.
type Scope struct {
	Name, Version, SchemaURL string
}

// Event is something that happened at one moment in a span.
type Event struct {
	Time              time.Time
	Name              string
	Attributes        []attribute.KeyValue
	DroppedAttributes uint32
}

// Link points to a span that caused this one without being its parent.
type Link struct {
	TraceID           trace.TraceID
	SpanID            trace.SpanID
	TraceState        string
	Attributes        []attribute.KeyValue
	DroppedAttributes uint32
	Flags             uint32
}

// Attribute gives the value of the span's attribute of that key.
func (s *Span) Attribute(key attribute.Key) (attribute.Value, bool) {
	return find(s.Attributes, key)
}

// Attribute gives the value of the resource's attribute of that key.
func (r *Resource) Attribute(key attribute.Key) (attribute.Value, bool) {
	if r == nil {
		return attribute.Value{}, false
	}
	return find(r.Attributes, key)
}

func find(attributes []attribute.KeyValue, key attribute.Key) (attribute.Value, bool) {
	// The later of the same key wins.
	for i := len(attributes) - 1; i >= 0; i-- {
		if attributes[i].Key == key {
			return attributes[i].Value, true
		}
	}
	return attribute.Value{}, false
}

// byResource calls each for the spans of every resource and scope, in the order in
// which those first come.
func byResource(spans []Span, each func(resource *Resource, scopes []scopeSpans)) {
	type group struct {
		resource *Resource
		scopes   []scopeSpans
	}
	var groups []*group
	index := map[*Resource]*group{}
	for i := range spans {
		span := &spans[i]
		g := index[span.Resource]
		if g == nil {
			g = &group{resource: span.Resource}
			index[span.Resource] = g
			groups = append(groups, g)
		}
		g.scopes = appendToScope(g.scopes, span)
	}
	for _, g := range groups {
		resource := g.resource
		if resource == nil {
			resource = new(Resource)
		}
		each(resource, g.scopes)
	}
}

type scopeSpans struct {
	scope Scope
	spans []*Span
}

func appendToScope(scopes []scopeSpans, span *Span) []scopeSpans {
	for i := range scopes {
		if scopes[i].scope == span.Scope {
			scopes[i].spans = append(scopes[i].spans, span)
			return scopes
		}
	}
	return append(scopes, scopeSpans{span.Scope, []*Span{span}})
}

// The protocol numbers the states of a span in another order than the API does.
func statusNumber(code codes.Code) uint64 {
	switch code {
	case codes.Ok:
		return 1
	case codes.Error:
		return 2
	}
	return 0
}

func statusCode(number uint64) codes.Code {
	switch number {
	case 1:
		return codes.Ok
	case 2:
		return codes.Error
	}
	return codes.Unset
}

// kind takes a number for what it means to both the protocol and the API.
func kind(number uint64) trace.SpanKind {
	if number > uint64(trace.SpanKindConsumer) {
		return trace.SpanKindUnspecified
	}
	return trace.SpanKind(number)
}

// moment gives a time, the zero one for 0, which the protocol has for none.
func moment(nanos uint64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(int64(nanos/1e9), int64(nanos%1e9)).UTC()
}

func unixNanos(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}
