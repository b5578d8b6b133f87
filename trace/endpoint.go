package trace

import (
	"fmt"
	"net/http"
	"strconv"

	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/trace/otlp"
)

// Endpoint answers a GET of a trace, whose id is the path value "id", with its spans
// as OTLP in JSON: the parts of it that visible says who asks may see. One of which
// that is none is not found.
func (s *Store) Endpoint(visible func(r *http.Request, part Part) (bool, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := oteltrace.TraceIDFromHex(r.PathValue("id"))
		if err != nil {
			http.Error(w, fmt.Sprintf("%q is no trace id: that has 32 hexadecimal digits", r.PathValue("id")), http.StatusBadRequest)
			return
		}
		parts, err := s.Trace(id)
		if err != nil {
			s.log.Error("a trace cannot be read", "trace", id, "error", err)
			http.Error(w, "the trace cannot be read", http.StatusInternalServerError)
			return
		}
		var spans []otlp.Span
		for _, part := range parts {
			ok, err := visible(r, part)
			if err != nil {
				s.log.Error("it cannot be told who may see a trace", "trace", id, "error", err)
				http.Error(w, "the trace cannot be read", http.StatusInternalServerError)
				return
			}
			if ok {
				spans = append(spans, part.Spans...)
			}
		}
		if len(spans) == 0 {
			http.Error(w, "trace "+id.String()+" is not known", http.StatusNotFound)
			return
		}
		body, err := otlp.EncodeJSON(spans)
		if err != nil {
			s.log.Error("a trace cannot be encoded", "trace", id, "error", err)
			http.Error(w, "the trace cannot be encoded", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}
}
