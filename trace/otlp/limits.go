package otlp

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// Limits bound what is kept of a span that somebody else sent.
type Limits struct {
	Attributes int // of a span, an event or a link
	Events     int
	Links      int
	Text       int // bytes of a name, a message or a value
}

// DefaultLimits leave a span at most about 300 kB, and usually all it has.
var DefaultLimits = Limits{Attributes: 64, Events: 32, Links: 16, Text: 1024}

// Apply cuts a span down to the limits and counts what was left out. Text that is no
// UTF-8 is made so.
func (l Limits) Apply(s *Span) {
	s.Name, s.Message, s.TraceState = l.text(s.Name), l.text(s.Message), l.text(s.TraceState)
	s.Scope = Scope{l.text(s.Scope.Name), l.text(s.Scope.Version), l.text(s.Scope.SchemaURL)}
	l.attributes(&s.Attributes, &s.DroppedAttributes)
	if over := len(s.Events) - l.Events; over > 0 {
		s.Events, s.DroppedEvents = s.Events[:l.Events], s.DroppedEvents+uint32(over)
	}
	for i := range s.Events {
		e := &s.Events[i]
		e.Name = l.text(e.Name)
		l.attributes(&e.Attributes, &e.DroppedAttributes)
	}
	if over := len(s.Links) - l.Links; over > 0 {
		s.Links, s.DroppedLinks = s.Links[:l.Links], s.DroppedLinks+uint32(over)
	}
	for i := range s.Links {
		l.attributes(&s.Links[i].Attributes, &s.Links[i].DroppedAttributes)
	}
}

// ApplyResource cuts a resource down to the limits.
func (l Limits) ApplyResource(r *Resource) {
	var dropped uint32
	r.SchemaURL = l.text(r.SchemaURL)
	l.attributes(&r.Attributes, &dropped)
}

func (l Limits) attributes(attributes *[]attribute.KeyValue, dropped *uint32) {
	if over := len(*attributes) - l.Attributes; over > 0 {
		*attributes, *dropped = (*attributes)[:l.Attributes], *dropped+uint32(over)
	}
	for i := range *attributes {
		a := &(*attributes)[i]
		a.Key = attribute.Key(l.text(string(a.Key)))
		a.Value = l.value(a.Value)
	}
}

// value cuts text, and takes the text of what is nested.
func (l Limits) value(value attribute.Value) attribute.Value {
	switch value.Type() {
	case attribute.BOOL, attribute.INT64, attribute.FLOAT64, attribute.EMPTY:
		return value
	case attribute.STRING:
		return attribute.StringValue(l.text(value.AsString()))
	}
	if text := value.String(); len(text) > l.Text {
		return attribute.StringValue(l.text(text))
	}
	return value
}

func (l Limits) text(text string) string {
	if len(text) > l.Text {
		text = text[:l.Text]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
