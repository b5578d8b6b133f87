package otlp

import (
	"encoding/binary"
	"math"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// The wire types of protobuf: https://protobuf.dev/programming-guides/encoding/.
const (
	varint  = 0
	fixed64 = 1
	lengthy = 2
	fixed32 = 5
)

// encoder writes a message of protobuf. Fields that are 0 or empty are left out.
// Field numbers are those of opentelemetry-proto's trace.proto, common.proto and
// resource.proto.
type encoder struct{ data []byte }

func (e *encoder) key(field, wireType uint64) {
	e.data = binary.AppendUvarint(e.data, field<<3|wireType)
}

func (e *encoder) number(field, value uint64) {
	if value != 0 {
		e.presentNumber(field, value)
	}
}

func (e *encoder) presentNumber(field, value uint64) {
	e.key(field, varint)
	e.data = binary.AppendUvarint(e.data, value)
}

func (e *encoder) fixed64(field, value uint64) {
	if value != 0 {
		e.key(field, fixed64)
		e.data = binary.LittleEndian.AppendUint64(e.data, value)
	}
}

func (e *encoder) fixed32(field uint64, value uint32) {
	if value != 0 {
		e.key(field, fixed32)
		e.data = binary.LittleEndian.AppendUint32(e.data, value)
	}
}

func (e *encoder) text(field uint64, text string) {
	if text != "" {
		e.presentText(field, text)
	}
}

// presentText writes text even if it is empty. Text is UTF-8, or nobody takes the message.
func (e *encoder) presentText(field uint64, text string) {
	e.bytes(field, []byte(strings.ToValidUTF8(text, "\uFFFD")))
}

func (e *encoder) bytes(field uint64, data []byte) {
	e.key(field, lengthy)
	e.data = binary.AppendUvarint(e.data, uint64(len(data)))
	e.data = append(e.data, data...)
}

// message writes a message within the message.
func (e *encoder) message(field uint64, write func(*encoder)) {
	var inner encoder
	write(&inner)
	e.bytes(field, inner.data)
}

// EncodeProtobuf gives spans as an ExportTraceServiceRequest in protobuf.
func EncodeProtobuf(spans []Span) []byte {
	var request encoder
	byResource(spans, func(resource *Resource, scopes []scopeSpans) {
		request.message(1, func(e *encoder) {
			e.message(1, func(e *encoder) { e.attributes(1, resource.Attributes) })
			for _, group := range scopes {
				e.message(2, func(e *encoder) { e.scope(group) })
			}
			e.text(3, resource.SchemaURL)
		})
	})
	return request.data
}

func (e *encoder) scope(group scopeSpans) {
	e.message(1, func(e *encoder) {
		e.text(1, group.scope.Name)
		e.text(2, group.scope.Version)
	})
	for _, span := range group.spans {
		e.message(2, func(e *encoder) { e.span(span) })
	}
	e.text(3, group.scope.SchemaURL)
}

func (e *encoder) span(s *Span) {
	e.bytes(1, s.TraceID[:])
	e.bytes(2, s.SpanID[:])
	e.text(3, s.TraceState)
	if s.ParentID.IsValid() {
		e.bytes(4, s.ParentID[:])
	}
	e.text(5, s.Name)
	e.number(6, uint64(s.Kind))
	e.fixed64(7, unixNanos(s.Start))
	e.fixed64(8, unixNanos(s.End))
	e.attributes(9, s.Attributes)
	e.number(10, uint64(s.DroppedAttributes))
	for _, event := range s.Events {
		e.message(11, func(e *encoder) {
			e.fixed64(1, unixNanos(event.Time))
			e.text(2, event.Name)
			e.attributes(3, event.Attributes)
			e.number(4, uint64(event.DroppedAttributes))
		})
	}
	e.number(12, uint64(s.DroppedEvents))
	for _, link := range s.Links {
		e.message(13, func(e *encoder) {
			e.bytes(1, link.TraceID[:])
			e.bytes(2, link.SpanID[:])
			e.text(3, link.TraceState)
			e.attributes(4, link.Attributes)
			e.number(5, uint64(link.DroppedAttributes))
			e.fixed32(6, link.Flags)
		})
	}
	e.number(14, uint64(s.DroppedLinks))
	e.message(15, func(e *encoder) {
		e.text(2, s.Message)
		e.number(3, statusNumber(s.Status))
	})
	e.fixed32(16, s.Flags)
}

func (e *encoder) attributes(field uint64, attributes []attribute.KeyValue) {
	for _, a := range attributes {
		e.message(field, func(e *encoder) { e.attribute(a) })
	}
}

func (e *encoder) attribute(a attribute.KeyValue) {
	e.text(1, string(a.Key))
	e.message(2, func(e *encoder) { e.value(a.Value) })
}

// value writes an AnyValue. Its fields are alternatives, of which one that is 0 is there all the same.
func (e *encoder) value(value attribute.Value) {
	switch value.Type() {
	case attribute.STRING:
		e.presentText(1, value.AsString())
	case attribute.BOOL:
		e.presentNumber(2, truth(value.AsBool()))
	case attribute.INT64:
		e.presentNumber(3, uint64(value.AsInt64()))
	case attribute.FLOAT64:
		e.key(4, fixed64)
		e.data = binary.LittleEndian.AppendUint64(e.data, math.Float64bits(value.AsFloat64()))
	case attribute.BYTESLICE:
		e.bytes(7, value.AsByteSlice())
	case attribute.MAP:
		e.message(6, func(e *encoder) { e.attributes(1, value.AsMap()) })
	default:
		if values, ok := elements(value); ok {
			e.message(5, func(e *encoder) {
				for _, element := range values {
					e.message(1, func(e *encoder) { e.value(element) })
				}
			})
		}
	}
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
