package otlp

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Whatever a task sends for its spans, what is taken of it is bounded.
func FuzzReceiver(f *testing.F) {
	const spans = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"x"}]}]}]}`
	f.Add("/v1/traces", "application/json", "", []byte(spans))
	f.Add("/v1/traces", "application/x-protobuf", "gzip", []byte{0x1f, 0x8b, 8, 0})
	f.Add("/v1/metrics", "application/json; charset=utf-8", "", []byte("{}"))
	f.Add("/v1/traces", "text/plain", "deflate", []byte("\n"))
	f.Fuzz(func(t *testing.T, path, contentType, encoding string, body []byte) {
		taken := int64(0)
		r := NewReceiver(func(_ context.Context, spans []Span) error {
			taken += int64(len(spans))
			return nil
		})
		r.MaxSpans, r.MaxRequest = 10, 64<<10
		request := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		request.URL.Path = path
		request.Header.Set("Content-Type", contentType)
		request.Header.Set("Content-Encoding", encoding)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, request)
		if taken > r.MaxSpans || w.Code >= http.StatusInternalServerError {
			t.Errorf("%d spans were taken, and the status is %d", taken, w.Code)
		}
	})
}
