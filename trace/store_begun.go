package trace

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/trace/otlp"
)

// openSpan is a span that has begun and not ended.
type openSpan struct {
	span    otlp.Span
	written bool
}

// Begin notes a span of a build that has begun. It is written when it has not ended by
// the next time that spans are.
func (s *Store) Begin(span otlp.Span) {
	if buildOf(&span) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.limits.pending {
		return
	}
	s.open[span.SpanID] = &openSpan{span: span}
	s.wakeUp()
}

// addBegun adds to what is to be written the spans that have begun since the last time.
// The caller holds mu.
func (s *Store) addBegun(spans map[buildFile][]otlp.Span) {
	for _, open := range s.open {
		if !open.written {
			open.written = true
			key := buildFile{open.span.TraceID, buildOf(&open.span)}
			spans[key] = append(spans[key], open.span)
		}
	}
}

// interrupted is why a span has no end.
const interrupted = "the server was killed before this had ended"

// settle gives the spans of a build that have ended, and those that never will because
// their process is gone: these last until another takes up the build, or else to the
// last moment that is known of their own. The caller holds mu.
func (s *Store) settle(spans []otlp.Span) []otlp.Span {
	ended := make(map[oteltrace.SpanID]bool)
	for i := range spans {
		if !spans[i].End.IsZero() {
			ended[spans[i].SpanID] = true
		}
	}
	var settled []otlp.Span
	for _, span := range spans {
		if span.End.IsZero() {
			if _, running := s.open[span.SpanID]; running || ended[span.SpanID] {
				continue
			}
			span.End, span.Status, span.Message = endOf(&span, spans), codes.Error, interrupted
			span.Attributes = append(slices.Clone(span.Attributes), Interrupted)
		}
		settled = append(settled, span)
	}
	return settled
}

// endOf is when a span ended at the latest whose process was killed.
func endOf(span *otlp.Span, all []otlp.Span) time.Time {
	process, last, next := processOf(span), span.Start, time.Time{}
	for i := range all {
		other := &all[i]
		switch {
		case processOf(other) == process:
			for _, moment := range []time.Time{other.Start, other.End} {
				if moment.After(last) {
					last = moment
				}
			}
		case other.Start.After(span.Start) && (next.IsZero() || other.Start.Before(next)):
			next = other.Start
		}
	}
	if next.After(last) {
		return next
	}
	return last
}

// processOf tells the spans of a process of the server from those of others.
func processOf(span *otlp.Span) attribute.Value {
	process, _ := span.Resource.Attribute(semconv.ServiceInstanceIDKey)
	return process
}
