package otlp

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync/atomic"
)

// Receiver takes spans over HTTP, in JSON and in protobuf, at /v1/traces. Metrics and
// logs, which programs that send spans often send too, it takes and forgets.
//
// It is made for senders that are not trusted: it bounds the spans in all, the bytes
// of a request and what is kept of a span. It may serve many requests at once.
type Receiver struct {
	// MaxSpans is how many spans are taken in all; further ones are refused, as the
	// protocol has it, by the number and the reason.
	MaxSpans int64
	// MaxRequest is how many bytes a request may have, unpacked.
	MaxRequest int64
	// Limits bound each span.
	Limits Limits
	// Take keeps spans. It may be called from many goroutines.
	Take func(ctx context.Context, spans []Span) error

	taken, refused atomic.Int64
}

// NewReceiver gives a Receiver with bounds that suit a task.
func NewReceiver(take func(ctx context.Context, spans []Span) error) *Receiver {
	return &Receiver{MaxSpans: 10_000, MaxRequest: 4 << 20, Limits: DefaultLimits, Take: take}
}

// Refused tells how many spans were more than MaxSpans.
func (r *Receiver) Refused() int64 { return r.refused.Load() }

const (
	jsonType     = "application/json"
	protobufType = "application/x-protobuf"
)

func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	mediaType, _, err := mime.ParseMediaType(request.Header.Get("Content-Type"))
	switch {
	case request.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "spans are to be posted", http.StatusMethodNotAllowed)
		return
	case err != nil || (mediaType != jsonType && mediaType != protobufType):
		http.Error(w, "spans are taken as "+jsonType+" or "+protobufType, http.StatusUnsupportedMediaType)
		return
	}
	switch request.URL.Path {
	case "/v1/traces":
		r.receive(w, request, mediaType)
	case "/v1/metrics", "/v1/logs":
		answer(w, mediaType, 0)
	default:
		http.NotFound(w, request)
	}
}

func (r *Receiver) receive(w http.ResponseWriter, request *http.Request, mediaType string) {
	body, err := r.read(request)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	decode := DecodeProtobuf
	if mediaType == jsonType {
		decode = DecodeJSON
	}
	spans, err := decode(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	kept, refused := r.admit(spans)
	if len(kept) > 0 {
		if err := r.Take(request.Context(), kept); err != nil {
			http.Error(w, "the spans could not be kept: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	answer(w, mediaType, refused)
}

// tooLargeError tells that a request has more bytes than a Receiver takes.
type tooLargeError struct{ limit int64 }

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("the request is larger than %d bytes", e.limit)
}

func statusOf(err error) int {
	if _, ok := errors.AsType[*tooLargeError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// read reads a request's body, unpacked.
func (r *Receiver) read(request *http.Request) ([]byte, error) {
	var body io.Reader = request.Body
	switch encoding := request.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("unpack the request: %w", err)
		}
		body = unpacked
	default:
		return nil, fmt.Errorf("the request is packed with %q, which is not understood; gzip is", encoding)
	}
	data, err := io.ReadAll(io.LimitReader(body, r.MaxRequest+1))
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if int64(len(data)) > r.MaxRequest {
		return nil, &tooLargeError{r.MaxRequest}
	}
	return data, nil
}

// admit takes as many spans as may still come, cut down to the limits.
func (r *Receiver) admit(spans []Span) (kept []Span, refused int64) {
	n := int64(len(spans))
	before := r.taken.Add(n) - n
	admitted := min(n, max(0, r.MaxSpans-before))
	r.taken.Add(admitted - n)
	refused = n - admitted
	r.refused.Add(refused)

	kept = spans[:admitted]
	var resource *Resource
	for i := range kept {
		r.Limits.Apply(&kept[i])
		if kept[i].Resource != resource {
			resource = kept[i].Resource
			r.Limits.ApplyResource(resource)
		}
	}
	return kept, refused
}

// answer tells the sender what became of its spans: an ExportTraceServiceResponse.
func answer(w http.ResponseWriter, mediaType string, refused int64) {
	const reason = "there are as many spans of this task as are kept"
	w.Header().Set("Content-Type", mediaType)
	if mediaType == protobufType {
		var response encoder
		if refused > 0 {
			response.message(1, func(e *encoder) {
				e.number(1, uint64(refused))
				e.text(2, reason)
			})
		}
		_, _ = w.Write(response.data)
		return
	}
	type partialSuccess struct {
		Rejected signedNumber `json:"rejectedSpans,omitempty"`
		Message  string       `json:"errorMessage,omitempty"`
	}
	var response struct {
		PartialSuccess *partialSuccess `json:"partialSuccess,omitempty"`
	}
	if refused > 0 {
		response.PartialSuccess = &partialSuccess{signedNumber(refused), reason}
	}
	_ = json.NewEncoder(w).Encode(response)
}
