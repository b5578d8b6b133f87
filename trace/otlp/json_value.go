package otlp

import (
	"encoding/json"
	"math"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
)

const (
	// maxDepth bounds how far values may be nested; what is below is left out.
	maxDepth = 8
	// maxElements bounds the elements of a list or a map; the rest is left out. For
	// every length there is, attribute makes a type that is never freed.
	maxElements = 64
)

// jsonValue is an AnyValue: at most one of its fields is set.
type jsonValue struct {
	String  *string       `json:"stringValue,omitempty"`
	Bool    *bool         `json:"boolValue,omitempty"`
	Int     *signedNumber `json:"intValue,omitempty"`
	Double  *double       `json:"doubleValue,omitempty"`
	Array   *jsonArray    `json:"arrayValue,omitempty"`
	KVList  *jsonKVList   `json:"kvlistValue,omitempty"`
	RawData *[]byte       `json:"bytesValue,omitempty"`
}

type jsonArray struct {
	Values []jsonValue `json:"values"`
}

type jsonKVList struct {
	Values []jsonKeyValue `json:"values"`
}

// signedNumber is a number of 64 bits: a string, though a number is understood too.
type signedNumber int64

func (n signedNumber) MarshalText() ([]byte, error) {
	return strconv.AppendInt(nil, int64(n), 10), nil
}

func (n *signedNumber) UnmarshalJSON(text []byte) error {
	value, err := strconv.ParseInt(unquote(text), 10, 64)
	*n = signedNumber(value)
	return err
}

// double is a number, or one of the strings that protobuf's JSON has for what JSON
// has no number for.
type double float64

func (d double) MarshalJSON() ([]byte, error) {
	switch value := float64(d); {
	case math.IsNaN(value):
		return []byte(`"NaN"`), nil
	case math.IsInf(value, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(value, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(value)
	}
}

func (d *double) UnmarshalJSON(text []byte) error {
	value, err := strconv.ParseFloat(unquote(text), 64)
	*d = double(value)
	return err
}

func encodeJSONValue(value attribute.Value) jsonValue {
	switch value.Type() {
	case attribute.STRING:
		return jsonValue{String: new(value.AsString())}
	case attribute.BOOL:
		return jsonValue{Bool: new(value.AsBool())}
	case attribute.INT64:
		return jsonValue{Int: new(signedNumber(value.AsInt64()))}
	case attribute.FLOAT64:
		return jsonValue{Double: new(double(value.AsFloat64()))}
	case attribute.BYTESLICE:
		return jsonValue{RawData: new(value.AsByteSlice())}
	case attribute.MAP:
		list := &jsonKVList{Values: []jsonKeyValue{}}
		for _, pair := range value.AsMap() {
			list.Values = append(list.Values, jsonKeyValue{string(pair.Key), encodeJSONValue(pair.Value)})
		}
		return jsonValue{KVList: list}
	}
	if values, ok := elements(value); ok {
		array := &jsonArray{Values: []jsonValue{}}
		for _, element := range values {
			array.Values = append(array.Values, encodeJSONValue(element))
		}
		return jsonValue{Array: array}
	}
	return jsonValue{}
}

// elements gives the elements of a slice of whatever kind.
func elements(value attribute.Value) ([]attribute.Value, bool) {
	switch value.Type() {
	case attribute.SLICE:
		return value.AsSlice(), true
	case attribute.STRINGSLICE:
		return each(value.AsStringSlice(), attribute.StringValue), true
	case attribute.BOOLSLICE:
		return each(value.AsBoolSlice(), attribute.BoolValue), true
	case attribute.INT64SLICE:
		return each(value.AsInt64Slice(), attribute.Int64Value), true
	case attribute.FLOAT64SLICE:
		return each(value.AsFloat64Slice(), attribute.Float64Value), true
	}
	return nil, false
}

func each[T any](from []T, value func(T) attribute.Value) []attribute.Value {
	values := make([]attribute.Value, len(from))
	for i, element := range from {
		values[i] = value(element)
	}
	return values
}

func (v jsonValue) decode(depth int) attribute.Value {
	switch {
	case v.String != nil:
		return attribute.StringValue(*v.String)
	case v.Bool != nil:
		return attribute.BoolValue(*v.Bool)
	case v.Int != nil:
		return attribute.Int64Value(int64(*v.Int))
	case v.Double != nil:
		return attribute.Float64Value(float64(*v.Double))
	case v.RawData != nil:
		return attribute.ByteSliceValue(*v.RawData)
	case v.Array != nil && depth < maxDepth:
		kept := v.Array.Values[:min(len(v.Array.Values), maxElements)]
		values := make([]attribute.Value, len(kept))
		for i, element := range kept {
			values[i] = element.decode(depth + 1)
		}
		return attribute.SliceValue(values...)
	case v.KVList != nil && depth < maxDepth:
		kept := v.KVList.Values[:min(len(v.KVList.Values), maxElements)]
		pairs := make([]attribute.KeyValue, len(kept))
		for i, pair := range kept {
			pairs[i] = attribute.KeyValue{Key: attribute.Key(pair.Key), Value: pair.Value.decode(depth + 1)}
		}
		return attribute.MapValue(pairs...)
	}
	return attribute.Value{}
}
