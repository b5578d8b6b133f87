package trace

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Transport makes a span of every request that goes through base, and tells the
// server of it by a traceparent header. While nothing is recorded it is base itself.
func Transport(base http.RoundTripper) http.RoundTripper {
	r := recording.Load()
	if r == nil {
		return base
	}
	return otelhttp.NewTransport(base, append(r.httpOptions(), otelhttp.WithSpanNameFormatter(clientSpanName))...)
}

// Handler makes a span of every request that next serves, below the client's when
// that sent a traceparent header. While nothing is recorded it is next itself.
func Handler(next http.Handler) http.Handler {
	r := recording.Load()
	if r == nil {
		return next
	}
	return otelhttp.NewHandler(next, "", append(r.httpOptions(), otelhttp.WithSpanNameFormatter(serverSpanName))...)
}

func (r *recorder) httpOptions() []otelhttp.Option {
	return []otelhttp.Option{
		otelhttp.WithTracerProvider(r.provider),
		otelhttp.WithPropagators(propagator),
		otelhttp.WithSpanOptions(oteltrace.WithAttributes(Debug)),
	}
}

// clientSpanName names the same requests the same, so that they can be added up:
// the parts of a path that are ids are left out.
func clientSpanName(_ string, r *http.Request) string {
	var name strings.Builder
	name.WriteString(r.Method + " ")
	for part := range strings.SplitSeq(strings.TrimPrefix(r.URL.Path, "/"), "/") {
		if isID(part) {
			part = "{id}"
		}
		name.WriteString("/" + part)
	}
	return name.String()
}

// isID takes numbers, and what is long and has a digit in it, as ids and digests have.
func isID(part string) bool {
	const longest = 20 // of words in paths
	digits := 0
	for _, r := range part {
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	// The v1 of /api/v1 is no id.
	return digits > 0 && (digits == len(part) || len(part) > longest)
}

// serverSpanName takes the pattern of the route once that is known.
func serverSpanName(_ string, r *http.Request) string {
	if r.Pattern == "" {
		return r.Method
	}
	if strings.Contains(r.Pattern, " ") {
		return r.Pattern
	}
	return r.Method + " " + r.Pattern
}
