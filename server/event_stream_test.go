package server

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"midge/server/eventlog"
)

// A follower that knows midge hears from an idle server now and then; fly does not,
// as Concourse's server is silent.
func TestIdleStream(t *testing.T) {
	for _, midge := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			log, err := eventlog.NewStore(t.TempDir()).Open(1)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			recorder := httptest.NewRecorder()
			stream := newEventStream(recorder, log, 0, midge)
			ctx, cancel := context.WithTimeout(t.Context(), 10*aliveInterval+time.Second)
			defer cancel()
			if err := stream.run(ctx); err != context.DeadlineExceeded {
				t.Fatalf("got error %v, want that the time is over", err)
			}
			want := 0
			if midge {
				want = 10
			}
			if got := strings.Count(recorder.Body.String(), ":\n\n"); got != want {
				t.Errorf("midge %v: heard %d times, want %d", midge, got, want)
			}
		})
	}
}

// countingWriter counts flushes.
type countingWriter struct {
	bytes.Buffer
	flushes int
}

func (w *countingWriter) Header() http.Header              { return http.Header{} }
func (w *countingWriter) WriteHeader(int)                  {}
func (w *countingWriter) Flush()                           { w.flushes++ }
func (w *countingWriter) SetWriteDeadline(time.Time) error { return nil }

func TestStreamFlushesWhatIsThereAtOnce(t *testing.T) {
	log, err := eventlog.NewStore(t.TempDir()).Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	const events = 500
	for range events {
		if _, err := log.Append(eventlog.Event{Kind: "log", Version: "5.1", Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Finish(eventlog.Event{Kind: "status", Version: "1.0", Data: []byte(`{}`)}, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	w := &countingWriter{}
	if err := newEventStream(w, log, 0, false).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(w.Bytes(), []byte("event: event\n")); got != events+1 {
		t.Errorf("got %d events, want %d", got, events+1)
	}
	if w.flushes > 10 {
		t.Errorf("%d events were flushed %d times", events+1, w.flushes)
	}
}
