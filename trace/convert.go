package trace

import (
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/trace/otlp"
)

// fromSDK gives a span that was recorded in this process as a value.
func fromSDK(s sdk.ReadOnlySpan, resource *otlp.Resource) otlp.Span {
	context, scope, status := s.SpanContext(), s.InstrumentationScope(), s.Status()
	span := otlp.Span{
		TraceID: context.TraceID(), SpanID: context.SpanID(), ParentID: s.Parent().SpanID(),
		TraceState: context.TraceState().String(), Flags: uint32(context.TraceFlags()),
		Name: s.Name(), Kind: s.SpanKind(), Start: s.StartTime(), End: s.EndTime(),
		Attributes: s.Attributes(), Status: status.Code, Message: status.Description,
		DroppedAttributes: uint32(s.DroppedAttributes()), DroppedEvents: uint32(s.DroppedEvents()), DroppedLinks: uint32(s.DroppedLinks()),
		Resource: resource, Scope: otlp.Scope{Name: scope.Name, Version: scope.Version, SchemaURL: scope.SchemaURL},
	}
	for _, e := range s.Events() {
		span.Events = append(span.Events, otlp.Event{Time: e.Time, Name: e.Name, Attributes: e.Attributes, DroppedAttributes: uint32(e.DroppedAttributeCount)})
	}
	for _, l := range s.Links() {
		span.Links = append(span.Links, otlp.Link{
			TraceID: l.SpanContext.TraceID(), SpanID: l.SpanContext.SpanID(), TraceState: l.SpanContext.TraceState().String(),
			Attributes: l.Attributes, DroppedAttributes: uint32(l.DroppedAttributeCount), Flags: uint32(l.SpanContext.TraceFlags()),
		})
	}
	return span
}

func fromSDKResource(r *sdkresource.Resource) *otlp.Resource {
	return &otlp.Resource{Attributes: r.Attributes(), SchemaURL: r.SchemaURL()}
}

// toSDK gives spans as exporters take them.
func toSDK(spans []otlp.Span) []sdk.ReadOnlySpan {
	resources := map[*otlp.Resource]*sdkresource.Resource{}
	stubs := make(tracetest.SpanStubs, len(spans))
	for i := range spans {
		resource := spans[i].Resource
		if _, ok := resources[resource]; !ok {
			resources[resource] = sdkResource(resource)
		}
		stubs[i] = stub(&spans[i], resources[resource])
	}
	return stubs.Snapshots()
}

func sdkResource(resource *otlp.Resource) *sdkresource.Resource {
	if resource == nil {
		return sdkresource.Empty()
	}
	return sdkresource.NewWithAttributes(resource.SchemaURL, resource.Attributes...)
}

func stub(s *otlp.Span, resource *sdkresource.Resource) tracetest.SpanStub {
	scope := instrumentation.Scope{Name: s.Scope.Name, Version: s.Scope.Version, SchemaURL: s.Scope.SchemaURL}
	stub := tracetest.SpanStub{
		Name: s.Name, SpanContext: spanContext(s.TraceID, s.SpanID, s.TraceState, s.Flags),
		SpanKind: s.Kind, StartTime: s.Start, EndTime: s.End, Attributes: s.Attributes,
		Status:            sdk.Status{Code: s.Status, Description: s.Message},
		DroppedAttributes: int(s.DroppedAttributes), DroppedEvents: int(s.DroppedEvents), DroppedLinks: int(s.DroppedLinks),
		Resource: resource, InstrumentationScope: scope,
	}
	if s.ParentID.IsValid() {
		stub.Parent = spanContext(s.TraceID, s.ParentID, s.TraceState, s.Flags)
	}
	for _, e := range s.Events {
		stub.Events = append(stub.Events, sdk.Event{Name: e.Name, Time: e.Time, Attributes: e.Attributes, DroppedAttributeCount: int(e.DroppedAttributes)})
	}
	for _, l := range s.Links {
		stub.Links = append(stub.Links, sdk.Link{
			SpanContext: spanContext(l.TraceID, l.SpanID, l.TraceState, l.Flags), Attributes: l.Attributes, DroppedAttributeCount: int(l.DroppedAttributes),
		})
	}
	return stub
}

func spanContext(traceID oteltrace.TraceID, spanID oteltrace.SpanID, state string, flags uint32) oteltrace.SpanContext {
	// A state that cannot be understood is to be passed over: W3C Trace Context, 3.3.
	parsed, _ := oteltrace.ParseTraceState(state)
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: oteltrace.TraceFlags(flags), TraceState: parsed,
	})
}
