package trace

import (
	"context"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/trace/otlp"
)

// propagator is W3C Trace Context, the one way in which traces go from process to process.
var propagator = propagation.TraceContext{}

// The names in which a trace goes from process to process: headers and variables.
const (
	parentHeader   = "traceparent"
	parentVariable = "TRACEPARENT"
)

// ID gives the id of the trace that ctx is part of, in hexadecimal, "" for none.
func ID(ctx context.Context) string {
	if id := oteltrace.SpanContextFromContext(ctx).TraceID(); id.IsValid() {
		return id.String()
	}
	return ""
}

// Parent gives the span that ctx carries as a W3C traceparent, "" for none.
func Parent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier[parentHeader]
}

// WithParent makes the span that a W3C traceparent names the one that ctx carries.
// What is no traceparent is passed over.
func WithParent(ctx context.Context, traceparent string) context.Context {
	return propagator.Extract(ctx, propagation.MapCarrier{parentHeader: traceparent})
}

// Environment gives the variables by which a program that is started finds the span
// that ctx carries as its parent.
func Environment(ctx context.Context) []string {
	if parent := Parent(ctx); parent != "" {
		return []string{parentVariable + "=" + parent}
	}
	return nil
}

// FromEnvironment makes the span that this process was given as its parent the one
// that ctx carries.
func FromEnvironment(ctx context.Context) context.Context {
	return WithParent(ctx, os.Getenv(parentVariable))
}

// Adopt takes spans that a task sent below the span that ctx carries, as if they had
// been recorded here: they are kept and exported with the others. It waits for the exporters.
func Adopt(ctx context.Context, spans []otlp.Span) error {
	r := recording.Load()
	parent := oteltrace.SpanContextFromContext(ctx)
	if r == nil || !parent.IsValid() {
		return nil
	}
	adopted := otlp.Adopt(spans, parent.TraceID(), parent.SpanID())
	if build, ok := ctx.Value(buildKey{}).(attribute.KeyValue); ok {
		for i := range adopted {
			adopted[i].Attributes = append(adopted[i].Attributes, build)
		}
	}
	if r.keep != nil {
		for _, span := range adopted {
			r.keep(span)
		}
	}
	if !parent.IsSampled() {
		return nil
	}
	return export(ctx, r.exporters, adopted)
}
