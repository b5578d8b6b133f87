package trace

import (
	"context"
	"net/http"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
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

// WithSpanOf gives ctx with the span, and the build, that another context carries, and
// nothing else of that.
func WithSpanOf(ctx, other context.Context) context.Context {
	if recording.Load() == nil {
		return ctx
	}
	ctx = oteltrace.ContextWithSpan(ctx, oteltrace.SpanFromContext(other))
	if build, ok := other.Value(buildKey{}).(attribute.KeyValue); ok {
		ctx = context.WithValue(ctx, buildKey{}, build)
	}
	return ctx
}

// FromRequest gives a request's context with the span of who sent it as the one that
// it carries, for what is to be below that and not below the request.
func FromRequest(r *http.Request) context.Context {
	if recording.Load() == nil {
		return r.Context()
	}
	return WithParent(r.Context(), r.Header.Get(parentHeader))
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
//
// A task is told its parent when it is made, before the span begins that runs it:
// spans below the one above that are taken below it as well.
func Adopt(ctx context.Context, spans []otlp.Span) error {
	r := recording.Load()
	parent := oteltrace.SpanContextFromContext(ctx)
	if r == nil || !parent.IsValid() {
		return nil
	}
	var above oteltrace.SpanID
	if span, ok := oteltrace.SpanFromContext(ctx).(sdk.ReadOnlySpan); ok {
		above = span.Parent().SpanID()
	}
	adopted := otlp.Adopt(spans, parent.TraceID(), parent.SpanID(), above)
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
