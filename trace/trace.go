// Package trace tells where the time of a command goes: spans that are cheap to
// start anywhere, their propagation over HTTP and into containers, a bounded
// store of them, and the waterfall that a terminal shows.
//
// Spans are OpenTelemetry's. When nothing records them a span costs next to nothing.
package trace

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Span is a part of a trace that has begun. Its methods may be called from any goroutine.
type Span struct{ span oteltrace.Span }

// StartSpan begins a span below the one that ctx carries. The caller ends it.
func StartSpan(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, Span) {
	ctx, span := otel.Tracer("midge").Start(ctx, name, oteltrace.WithAttributes(attributes...))
	return ctx, Span{span}
}

// Set adds attributes, the later of the same key winning.
func (s Span) Set(attributes ...attribute.KeyValue) { s.span.SetAttributes(attributes...) }

// End ends the span, as failed when err is not nil.
func (s Span) End(err error) {
	if err != nil {
		s.span.RecordError(err)
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}
