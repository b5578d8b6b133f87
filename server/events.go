package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"midge/api"
	"midge/server/eventlog"
)

const (
	// followTimeout is how long a follower may take to read what is there. One that
	// takes longer is let go, and may come back where it stopped.
	followTimeout = 5 * time.Minute
	// aliveInterval is how often a follower that knows midge is told, when nothing
	// else is to be told, that the connection still stands.
	aliveInterval = 15 * time.Second
)

// buildEvents streams the events of a build, those that are there and those to come.
func (s *Server) buildEvents(w http.ResponseWriter, r *http.Request) {
	build, ok := s.buildOfPath(w, r, viewer)
	if !ok {
		return
	}
	from := int64(0)
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		id, err := strconv.ParseInt(last, 10, 64)
		if err != nil || id < 0 {
			fail(w, http.StatusBadRequest, "the Last-Event-ID is %q and should be the number of an event", last)
			return
		}
		from = id + 1
	}
	log, err := s.logs.Open(build.ID)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer log.Close()
	if build.Status.Finished() && log.Next() == 0 {
		fail(w, http.StatusGone, "the log of build %d is no longer kept", build.ID)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Atc-Stream-Version", "2.0")
	// A server that goes away tells followers by ending their streams.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.streams, cancel)()
	stream := newEventStream(w, log, from, r.Header.Get(api.EventsHeader) != "")
	if err := stream.run(ctx); err != nil && ctx.Err() == nil {
		s.log.WarnContext(r.Context(), "following a build ended", "build", build.ID, "error", err)
	}
}

// eventStream writes the events of one build to one follower.
type eventStream struct {
	reader     *eventlog.Reader
	next       int64 // number of the event after the last written
	midge      bool  // the follower wants midge's own events
	writer     *bufio.Writer
	controller *http.ResponseController
	envelope   []byte
}

func newEventStream(w http.ResponseWriter, log *eventlog.Log, from int64, midge bool) *eventStream {
	return &eventStream{
		reader:     log.From(from),
		next:       from,
		midge:      midge,
		writer:     bufio.NewWriterSize(w, 32<<10),
		controller: http.NewResponseController(w),
	}
}

// run writes events until the last of them is written or ctx ends. However fast they
// come, what is there is flushed once.
func (e *eventStream) run(ctx context.Context) error {
	e.begin()
	if err := e.flush(); err != nil {
		return err
	}
	for {
		events, err := e.wait(ctx)
		e.begin()
		switch {
		case errors.Is(err, io.EOF):
			return e.end()
		case err != nil:
			return err
		}
		for _, event := range events {
			if err := e.write(event); err != nil {
				return err
			}
		}
		if err := e.flush(); err != nil {
			return err
		}
	}
}

// wait gives the next events. To a follower that knows midge it tells now and then
// that there are none yet, so that a connection that is dead shows itself to both ends.
func (e *eventStream) wait(ctx context.Context) ([]eventlog.Event, error) {
	if !e.midge {
		return e.reader.Next(ctx)
	}
	for {
		bounded, cancel := context.WithTimeout(ctx, aliveInterval)
		events, err := e.reader.Next(bounded)
		silent := err != nil && bounded.Err() != nil && ctx.Err() == nil
		cancel()
		if !silent {
			return events, err
		}
		e.begin()
		if _, err := e.writer.WriteString(":\n\n"); err != nil {
			return nil, err
		}
		if err := e.flush(); err != nil {
			return nil, err
		}
	}
}

func (e *eventStream) write(event eventlog.Event) error {
	e.next = event.ID + 1
	if !e.midge && midgeEvents[event.Kind] {
		return nil
	}
	e.writer.WriteString("id: ")
	e.writer.WriteString(strconv.FormatInt(event.ID, 10))
	e.writer.WriteString("\nevent: event\ndata: ")
	e.envelope = event.AppendEnvelope(e.envelope[:0])
	e.writer.Write(e.envelope)
	_, err := e.writer.WriteString("\n\n")
	return err
}

// end tells that no event follows.
func (e *eventStream) end() error {
	e.writer.WriteString("id: ")
	e.writer.WriteString(strconv.FormatInt(e.next, 10))
	if _, err := e.writer.WriteString("\nevent: end\ndata\n\n"); err != nil {
		return err
	}
	return e.flush()
}

// begin starts the time that the follower has to read what is written next.
func (e *eventStream) begin() {
	_ = e.controller.SetWriteDeadline(time.Now().Add(followTimeout))
}

func (e *eventStream) flush() error {
	if err := e.writer.Flush(); err != nil {
		return err
	}
	return e.controller.Flush()
}

// midgeEvents are the kinds that a follower gets only when it asks for them.
var midgeEvents = map[string]bool{
	api.EventWaiting: true,
	api.EventHold:    true,
	api.EventHijack:  true,
	api.EventUsage:   true,
	api.EventSystem:  true,
	api.EventCause:   true,
}
