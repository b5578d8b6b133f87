package otlp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

var (
	errTruncated = errors.New("the message is cut")
	errWireType  = errors.New("a field is not of its type")
)

// field is a field of a message as it came.
type field struct {
	number   uint64
	wireType uint64
	value    uint64 // of varint, fixed64 and fixed32
	data     []byte // of lengthy
}

// fields calls each for the fields of a message. Groups, which only the first
// protobuf had, are refused.
func fields(message []byte, each func(field) error) error {
	for len(message) > 0 {
		f, rest, err := nextField(message)
		if err != nil {
			return err
		}
		if err := each(f); err != nil {
			return err
		}
		message = rest
	}
	return nil
}

func nextField(message []byte) (f field, rest []byte, err error) {
	key, n := binary.Uvarint(message)
	if n <= 0 {
		return field{}, nil, errTruncated
	}
	message = message[n:]
	f.number, f.wireType = key>>3, key&7
	switch f.wireType {
	case varint:
		f.value, n = binary.Uvarint(message)
		if n <= 0 {
			return field{}, nil, errTruncated
		}
		return f, message[n:], nil
	case fixed64:
		if len(message) < 8 {
			return field{}, nil, errTruncated
		}
		f.value = binary.LittleEndian.Uint64(message)
		return f, message[8:], nil
	case fixed32:
		if len(message) < 4 {
			return field{}, nil, errTruncated
		}
		f.value = uint64(binary.LittleEndian.Uint32(message))
		return f, message[4:], nil
	case lengthy:
		length, n := binary.Uvarint(message)
		if n <= 0 || length > uint64(len(message)-n) {
			return field{}, nil, errTruncated
		}
		f.data = message[n : n+int(length)]
		return f, message[n+int(length):], nil
	}
	return field{}, nil, errWireType
}

// inner calls decode with the message that a field is.
func (f field) inner(decode func([]byte) error) error {
	if f.wireType != lengthy {
		return errWireType
	}
	return decode(f.data)
}

func (f field) text(to *string) error {
	if f.wireType != lengthy {
		return errWireType
	}
	*to = strings.ToValidUTF8(string(f.data), "\uFFFD")
	return nil
}

func (f field) id(to []byte) error {
	if f.wireType != lengthy {
		return errWireType
	}
	copyID(to, f.data)
	return nil
}

func (f field) count(to *uint32) error {
	if f.wireType == lengthy {
		return errWireType
	}
	*to = uint32(f.value)
	return nil
}

// DecodeProtobuf gives the spans of an ExportTraceServiceRequest. Spans with ids
// that are none are left out, fields that are not known are passed over.
func DecodeProtobuf(data []byte) ([]Span, error) {
	var spans []Span
	err := fields(data, func(f field) error {
		if f.number != 1 {
			return nil
		}
		return f.inner(func(data []byte) error {
			decoded, err := decodeResourceSpans(data)
			spans = append(spans, decoded...)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("decode spans in protobuf: %w", err)
	}
	return spans, nil
}

func decodeResourceSpans(data []byte) ([]Span, error) {
	resource := new(Resource)
	var spans []Span
	err := fields(data, func(f field) error {
		switch f.number {
		case 1:
			return f.inner(func(data []byte) error {
				return fields(data, func(f field) error {
					if f.number != 1 {
						return nil
					}
					return f.attribute(&resource.Attributes, 0)
				})
			})
		case 2:
			return f.inner(func(data []byte) error {
				decoded, err := decodeScopeSpans(data)
				spans = append(spans, decoded...)
				return err
			})
		case 3:
			return f.text(&resource.SchemaURL)
		}
		return nil
	})
	for i := range spans {
		spans[i].Resource = resource
	}
	return spans, err
}

func decodeScopeSpans(data []byte) ([]Span, error) {
	var scope Scope
	var spans []Span
	err := fields(data, func(f field) error {
		switch f.number {
		case 1:
			return f.inner(func(data []byte) error {
				return fields(data, func(f field) error {
					switch f.number {
					case 1:
						return f.text(&scope.Name)
					case 2:
						return f.text(&scope.Version)
					}
					return nil
				})
			})
		case 2:
			return f.inner(func(data []byte) error {
				span, err := decodeSpan(data)
				if err == nil && span.TraceID.IsValid() && span.SpanID.IsValid() {
					spans = append(spans, span)
				}
				return err
			})
		case 3:
			return f.text(&scope.SchemaURL)
		}
		return nil
	})
	for i := range spans {
		spans[i].Scope = scope
	}
	return spans, err
}

func decodeSpan(data []byte) (Span, error) {
	var span Span
	err := fields(data, func(f field) error {
		switch f.number {
		case 1:
			return f.id(span.TraceID[:])
		case 2:
			return f.id(span.SpanID[:])
		case 3:
			return f.text(&span.TraceState)
		case 4:
			return f.id(span.ParentID[:])
		case 5:
			return f.text(&span.Name)
		case 6:
			span.Kind = kind(f.value)
		case 7:
			span.Start = moment(f.value)
		case 8:
			span.End = moment(f.value)
		case 9:
			return f.attribute(&span.Attributes, 0)
		case 10:
			return f.count(&span.DroppedAttributes)
		case 11:
			return f.inner(func(data []byte) error {
				event, err := decodeEvent(data)
				span.Events = append(span.Events, event)
				return err
			})
		case 12:
			return f.count(&span.DroppedEvents)
		case 13:
			return f.inner(func(data []byte) error {
				link, err := decodeLink(data)
				span.Links = append(span.Links, link)
				return err
			})
		case 14:
			return f.count(&span.DroppedLinks)
		case 15:
			return f.inner(span.decodeStatus)
		case 16:
			return f.count(&span.Flags)
		}
		return nil
	})
	return span, err
}

func (s *Span) decodeStatus(data []byte) error {
	return fields(data, func(f field) error {
		switch f.number {
		case 2:
			return f.text(&s.Message)
		case 3:
			s.Status = statusCode(f.value)
		}
		return nil
	})
}

func decodeEvent(data []byte) (Event, error) {
	var event Event
	err := fields(data, func(f field) error {
		switch f.number {
		case 1:
			event.Time = moment(f.value)
		case 2:
			return f.text(&event.Name)
		case 3:
			return f.attribute(&event.Attributes, 0)
		case 4:
			return f.count(&event.DroppedAttributes)
		}
		return nil
	})
	return event, err
}

func decodeLink(data []byte) (Link, error) {
	var link Link
	err := fields(data, func(f field) error {
		switch f.number {
		case 1:
			return f.id(link.TraceID[:])
		case 2:
			return f.id(link.SpanID[:])
		case 3:
			return f.text(&link.TraceState)
		case 4:
			return f.attribute(&link.Attributes, 0)
		case 5:
			return f.count(&link.DroppedAttributes)
		case 6:
			return f.count(&link.Flags)
		}
		return nil
	})
	return link, err
}

// attribute adds the KeyValue that a field is.
func (f field) attribute(to *[]attribute.KeyValue, depth int) error {
	return f.inner(func(data []byte) error {
		var key string
		var value attribute.Value
		err := fields(data, func(f field) error {
			switch f.number {
			case 1:
				return f.text(&key)
			case 2:
				return f.inner(func(data []byte) (err error) {
					value, err = decodeValue(data, depth)
					return err
				})
			}
			return nil
		})
		*to = append(*to, attribute.KeyValue{Key: attribute.Key(key), Value: value})
		return err
	})
}

// decodeValue decodes an AnyValue; the last of its alternatives wins.
func decodeValue(data []byte, depth int) (attribute.Value, error) {
	var value attribute.Value
	err := fields(data, func(f field) (err error) {
		switch f.number {
		case 1:
			var text string
			err = f.text(&text)
			value = attribute.StringValue(text)
		case 2:
			value = attribute.BoolValue(f.value != 0)
		case 3:
			value = attribute.Int64Value(int64(f.value))
		case 4:
			value = attribute.Float64Value(math.Float64frombits(f.value))
		case 5:
			err = f.inner(func(data []byte) (err error) {
				value, err = decodeArray(data, depth+1)
				return err
			})
		case 6:
			err = f.inner(func(data []byte) (err error) {
				value, err = decodeMap(data, depth+1)
				return err
			})
		case 7:
			err = f.inner(func(data []byte) error {
				value = attribute.ByteSliceValue(data)
				return nil
			})
		}
		return err
	})
	return value, err
}

func decodeArray(data []byte, depth int) (attribute.Value, error) {
	if depth > maxDepth {
		return attribute.Value{}, nil
	}
	var values []attribute.Value
	err := fields(data, func(f field) error {
		if f.number != 1 || len(values) == maxElements {
			return nil
		}
		return f.inner(func(data []byte) error {
			value, err := decodeValue(data, depth)
			values = append(values, value)
			return err
		})
	})
	return attribute.SliceValue(values...), err
}

func decodeMap(data []byte, depth int) (attribute.Value, error) {
	if depth > maxDepth {
		return attribute.Value{}, nil
	}
	var pairs []attribute.KeyValue
	err := fields(data, func(f field) error {
		if f.number != 1 || len(pairs) == maxElements {
			return nil
		}
		return f.attribute(&pairs, depth)
	})
	return attribute.MapValue(pairs...), err
}
