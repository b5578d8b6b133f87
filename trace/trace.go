// Package trace tells where the time of a command goes: spans that are cheap to start
// anywhere, their way over HTTP and into containers, what keeps them, and what sends
// them to a collector. Package waterfall draws them, package otlp encodes them.
//
// Spans are OpenTelemetry's. Until Record is called nothing records them, and starting
// one costs a few nanoseconds. The package knows nothing of builds beyond their ids.
package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/api"
)

// Span is a part of a trace that has begun. Its methods may be called from any
// goroutine. Its zero value is a span that nobody records.
type Span struct{ span oteltrace.Span }

// StartSpan begins a span below the one that ctx carries. The caller ends it. A span
// with the attribute Debug is one that only those see who ask for all.
func StartSpan(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, Span) {
	r := recording.Load()
	if r == nil {
		return ctx, Span{}
	}
	ctx, span := r.tracer.Start(ctx, name, oteltrace.WithAttributes(attributes...))
	return ctx, Span{span}
}

// Set adds attributes, the later of the same key winning.
func (s Span) Set(attributes ...attribute.KeyValue) {
	if s.span != nil {
		s.span.SetAttributes(attributes...)
	}
}

// AddStalls notes when the span waited for a disk, memory or a cpu.
func (s Span) AddStalls(stalls []api.Stall) {
	if s.span == nil {
		return
	}
	for _, stall := range stalls {
		s.span.AddEvent(StallEvent, oteltrace.WithTimestamp(stall.From), oteltrace.WithAttributes(
			StallResource.String(stall.Resource),
			StallSeconds.Float64(stall.To.Sub(stall.From).Seconds()),
			StallShare.Float64(stall.Share),
		))
	}
}

// End ends the span, as failed when err is not nil.
func (s Span) End(err error) { s.EndAt(err, time.Time{}) }

// EndAt ends the span as of that moment, the zero time being now.
func (s Span) EndAt(err error, at time.Time) {
	if s.span == nil {
		return
	}
	if err != nil {
		s.span.RecordError(err)
		s.span.SetStatus(codes.Error, err.Error())
	}
	if at.IsZero() {
		s.span.End()
		return
	}
	s.span.End(oteltrace.WithTimestamp(at))
}
