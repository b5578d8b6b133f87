package trace

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"midge/trace/otlp"
)

const (
	// taskConnections is how many connections of a task are served at a time.
	taskConnections = 8
	// taskRequestTimeout is how long a task may take to send a request.
	taskRequestTimeout = 30 * time.Second
	// receiveStopTimeout is how long a request that has begun is waited for.
	receiveStopTimeout = time.Second
)

// Receive takes the spans that are sent to listener by OTLP over HTTP, as many and as
// large as a task may send, and has them appear below the span that ctx carries. It
// closes the listener.
//
// stop ends that, once the requests that have begun are answered or a second has
// passed, and says how many spans were too many. It must be called, once, whether or
// not ctx has ended.
func Receive(ctx context.Context, listener net.Listener, logger *slog.Logger) (stop func() (refused int64)) {
	// An abort leaves a task the time to send its last spans.
	adopting := context.WithoutCancel(ctx)
	receiver := otlp.NewReceiver(func(_ context.Context, spans []otlp.Span) error {
		if err := Adopt(adopting, spans); err != nil {
			// That a collector is away is not the task's concern: the spans are kept here.
			logger.Warn("spans of a task were not exported", "error", err)
		}
		return nil
	})
	server := &http.Server{
		Handler:        receiver,
		ReadTimeout:    taskRequestTimeout,
		WriteTimeout:   taskRequestTimeout,
		IdleTimeout:    2 * time.Minute, // longer than the time between two batches
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := server.Serve(netutil.LimitListener(listener, taskConnections))
		if !errors.Is(err, http.ErrServerClosed) {
			logger.Warn("spans of a task are no longer taken", "error", err)
		}
	}()
	return func() int64 {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), receiveStopTimeout)
		defer cancel()
		if server.Shutdown(ending) != nil {
			server.Close()
		}
		<-done
		return receiver.Refused()
	}
}

// Recording tells whether spans are being recorded, for those who would prepare something for them.
func Recording() bool { return recording.Load() != nil }
