package otlp

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// reserved begins the keys of attributes that mean something to midge.
const reserved = "midge."

// Origin is the attribute of a span that a task sent: the id of the span that ran the task.
const Origin attribute.Key = "midge.origin"

// Adopt puts spans that a task sent below the span that ran it: they become part of
// its trace whatever trace they said they were of, and those without a parent get it
// as theirs, as do those whose parent is above, the span that it is itself below. A
// parent may still come, for it ends after its children; until then, and if it never
// does, Origin tells where its children belong.
//
// Attributes that only midge may set are taken off, spans that say they are that
// span are left out.
func Adopt(spans []Span, traceID trace.TraceID, parent, above trace.SpanID) []Span {
	adopted := make([]Span, 0, len(spans))
	resources := map[*Resource]*Resource{}
	for _, span := range spans {
		if span.SpanID == parent {
			continue
		}
		span.TraceID = traceID
		if !span.ParentID.IsValid() || span.ParentID == span.SpanID || span.ParentID == above {
			span.ParentID = parent
		}
		span.Attributes = append(withoutReserved(span.Attributes), Origin.String(parent.String()))
		span.Resource = adoptResource(resources, span.Resource)
		adopted = append(adopted, span)
	}
	return adopted
}

func adoptResource(adopted map[*Resource]*Resource, resource *Resource) *Resource {
	if resource == nil {
		return nil
	}
	if adopted[resource] == nil {
		adopted[resource] = &Resource{Attributes: withoutReserved(resource.Attributes), SchemaURL: resource.SchemaURL}
	}
	return adopted[resource]
}

func withoutReserved(attributes []attribute.KeyValue) []attribute.KeyValue {
	return slices.DeleteFunc(slices.Clone(attributes), func(a attribute.KeyValue) bool {
		return strings.HasPrefix(string(a.Key), reserved)
	})
}
