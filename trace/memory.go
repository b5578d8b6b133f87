package trace

import (
	"slices"
	"sync"

	"midge/trace/otlp"
)

// Memory keeps the spans of a command. Its methods may be called from many goroutines.
type Memory struct {
	mu      sync.Mutex
	most    int
	spans   []otlp.Span
	dropped int
}

// NewMemory gives a Memory that keeps at most most spans.
func NewMemory(most int) *Memory { return &Memory{most: most} }

// Keep keeps a span. When there is no room it takes the place of a shorter one or is
// dropped, so that the long ones, which hold the others together, stay.
func (m *Memory) Keep(span otlp.Span) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.spans) < m.most {
		m.spans = append(m.spans, span)
		return
	}
	place := &m.spans[m.dropped%m.most]
	m.dropped++
	if span.End.Sub(span.Start) > place.End.Sub(place.Start) {
		*place = span
	}
}

// Spans gives what is kept, in no order, and how many spans there was no room for.
func (m *Memory) Spans() (spans []otlp.Span, dropped int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.spans), m.dropped
}
