package engine

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

const traceParentKey = "traceparent"

// withTraceParent continues the trace that a W3C traceparent names; one that is
// none is passed over.
func withTraceParent(ctx context.Context, parent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceParentKey: parent})
}

// traceParent gives the traceparent of the span that ctx carries, "" for none.
func traceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceParentKey]
}
