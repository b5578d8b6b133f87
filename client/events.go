package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"

	"midge/api"
)

// Events gives the events of a build in their order: those after the event whose id is
// after ("" for all of them), then those to come, to the last one. A connection that
// breaks is made again where it stopped, so that no event is lost and none is given
// twice. The last pair has the error, if there is one, and no event.
func (c *Client) Events(ctx context.Context, build int, after string) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		f := follower{client: c, build: build, yield: yield, outage: outage{client: c}}
		if err := f.resume(after); err != nil {
			yield(api.Event{}, err)
			return
		}
		if err := f.follow(ctx); err != nil && err != errStopped {
			yield(api.Event{}, err)
		}
	}
}

// errStopped tells that who ranges over the events wants no more of them.
var errStopped = errors.New("stopped")

// follower reads one build's events over as many connections as it takes.
type follower struct {
	client *Client
	build  int
	yield  func(api.Event, error) bool
	outage outage

	last     int64 // the id of the last event given, -1 before the first
	finished bool  // the build's final status was among them
}

func (f *follower) resume(after string) (err error) {
	f.last = -1
	if after == "" {
		return nil
	}
	f.last, err = strconv.ParseInt(after, 10, 64)
	return err
}

// follow connects until the stream has ended or cannot be had.
func (f *follower) follow(ctx context.Context) error {
	silent := false // the last failure was met with silence
	for {
		before := f.last
		err := f.connection(ctx)
		if err == nil || err == errStopped {
			return err
		}
		if f.finished && errors.Is(err, io.EOF) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !f.worthRepeating(err) {
			return err
		}
		// A proxy that cuts an idle connection is not worth a word: come back at once
		// and in silence, and make an outage of it only when that fails.
		if f.last > before || !silent {
			silent, f.outage.delay = true, 0
			continue
		}
		if err := f.outage.wait(ctx, err); err != nil {
			return err
		}
	}
}

// worthRepeating reports whether a new connection may bring what this one did not.
func (f *follower) worthRepeating(err error) bool {
	var unreachable *UnreachableError
	var refused *ServerError
	switch {
	case errors.As(err, &unreachable):
		return f.client.expects()
	case errors.As(err, &refused):
		return f.client.heard.Load() && (refused.passing() || refused.turnedAway())
	}
	return false
}

// connection reads events from one connection. It gives nil when the build's log is
// complete.
func (f *follower) connection(ctx context.Context) error {
	r := buildRequest(http.MethodGet, f.build, "events")
	r.header = http.Header{"Accept": {"text/event-stream"}, api.EventsHeader: {"1"}}
	if f.last >= 0 {
		r.header.Set("Last-Event-ID", strconv.FormatInt(f.last, 10))
	}
	response, err := f.client.send(ctx, r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	f.outage.over()
	frames := newFrameReader(response.Body)
	for {
		frame, err := frames.next()
		switch {
		case errors.Is(err, errFrameTooLong):
			return f.client.strange(err.Error())
		case err != nil:
			return f.client.transportError(ctx, err, false)
		case string(frame.event) == "end":
			return nil
		case string(frame.event) != "event":
			continue
		}
		if err := f.give(frame); err != nil {
			return err
		}
	}
}

// give yields the frame's event, unless it was given before.
func (f *follower) give(frame frame) error {
	id, err := strconv.ParseInt(string(frame.id), 10, 64)
	if err != nil {
		return f.client.strange("an event has no number")
	}
	if id <= f.last {
		return nil
	}
	var event api.Event
	if err := json.Unmarshal(frame.data, &event); err != nil {
		return f.client.strange("an event is no JSON")
	}
	event.ID = string(frame.id)
	if event.Event == api.EventStatus {
		var status api.StatusEvent
		if json.Unmarshal(event.Data, &status) == nil && status.Status.Finished() {
			f.finished = true
		}
	}
	f.last = id
	if !f.yield(event, nil) {
		return errStopped
	}
	return nil
}
