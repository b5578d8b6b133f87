package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"midge/api"
	"midge/hijack"
	"midge/server/engine"
	"midge/server/eventlog"
	"midge/server/state"
)

// useHold is how long a container is kept after somebody was in it.
const useHold = 15 * time.Minute

// hijackRecorder writes who was in which container into the log of its build, and
// keeps the container meanwhile. Whoever tells it of sessions does not wait for the
// disk.
type hijackRecorder struct {
	logs *eventlog.Store
	// keep keeps a container until then.
	keep func(ctx context.Context, handle string, until time.Time, by string) error
	log  *slog.Logger

	mu     sync.Mutex
	queue  []func(context.Context) error
	more   chan struct{} // has an element when there may be something in queue
	closed chan struct{}
	done   chan struct{}
}

func newHijackRecorder(logs *eventlog.Store, keep func(context.Context, string, time.Time, string) error, log *slog.Logger) *hijackRecorder {
	r := &hijackRecorder{
		logs:   logs,
		keep:   keep,
		log:    log,
		more:   make(chan struct{}, 1),
		closed: make(chan struct{}),
		done:   make(chan struct{}),
	}
	go r.run()
	return r
}

// close writes what it was told and ends. Nobody may tell it anything afterwards.
func (r *hijackRecorder) close() {
	close(r.closed)
	<-r.done
}

func (r *hijackRecorder) run() {
	defer close(r.done)
	for {
		select {
		case <-r.more:
			r.drain()
		case <-r.closed:
			r.drain()
			return
		}
	}
}

func (r *hijackRecorder) drain() {
	r.mu.Lock()
	queue := r.queue
	r.queue = nil
	r.mu.Unlock()
	for _, write := range queue {
		if err := write(context.Background()); err != nil {
			r.log.Error("what became of a hijack session was not written", "error", err)
		}
	}
}

// later has write called, after what was given before.
func (r *hijackRecorder) later(write func(context.Context) error) {
	r.mu.Lock()
	r.queue = append(r.queue, write)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// SessionBegan implements hijack.Observer.
func (r *hijackRecorder) SessionBegan(session api.HijackSession) {
	event := hijackEvent(session)
	event.Time = session.BeginTime
	r.later(func(context.Context) error { return r.say(session.BuildID, event) })
	r.ContainerUsed(session)
}

// SessionEnded implements hijack.Observer.
func (r *hijackRecorder) SessionEnded(session api.HijackSession, end hijack.End) {
	event := hijackEvent(session)
	event.Time, event.Began, event.Message = session.EndTime, session.BeginTime, end.Message
	if end.Exit != nil && end.Message == "" {
		event.ExitStatus = &end.Exit.Code
	}
	r.later(func(context.Context) error {
		if end.Usage == nil {
			return r.say(session.BuildID, event)
		}
		return r.say(session.BuildID, event, *end.Usage)
	})
}

// ContainerUsed implements hijack.Observer.
func (r *hijackRecorder) ContainerUsed(session api.HijackSession) {
	until := time.Now().Add(useHold)
	r.later(func(ctx context.Context) error {
		err := r.keep(ctx, session.Container, until, session.User)
		if missing := (*state.NotFoundError)(nil); errors.As(err, &missing) || errors.Is(err, engine.ErrShutdown) {
			return nil // it went with the container, or goes on with the next server
		}
		return err
	})
}

func hijackEvent(session api.HijackSession) api.HijackEvent {
	return api.HijackEvent{
		Origin:    api.Origin{ID: session.PlanID},
		Container: session.Container,
		Session:   session.ID,
		User:      session.User,
		From:      session.From,
		Command:   session.Command,
	}
}

// say adds events to the log of a build.
func (r *hijackRecorder) say(build int, all ...api.EventData) error {
	log, err := r.logs.Open(build)
	if err != nil {
		return err
	}
	defer log.Close()
	var events []eventlog.Event
	for _, data := range all {
		event := api.NewEvent(data)
		events = append(events, eventlog.Event{Kind: event.Event, Version: event.Version, Data: event.Data})
	}
	_, err = log.Append(events...)
	return err
}
