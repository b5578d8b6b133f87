package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstDelay = 50 * time.Millisecond
	maxDelay   = 3 * time.Second
)

// strangerPatience is how long a server may be away that has cut a connection and never
// answered: one that was killed as it took the request is back by then. What cuts every
// connection, as a tunnel with nothing at its other end, is not worth more.
const strangerPatience = 15 * time.Second

// expects reports whether a server that cannot be reached is expected to come back.
func (c *Client) expects() bool {
	if c.heard.Load() {
		return true
	}
	met := c.met.Load()
	return met != 0 && time.Since(time.Unix(0, met)) < strangerPatience
}

// absence is what the user was told of the server's being away. Several calls may wait for
// it at once, and the user is told once. It is shared by all teams' clients.
type absence struct {
	mu   sync.Mutex
	lost time.Time // since when; zero while it is there
}

// begin tells that the server is away, unless that was told.
func (a *absence) begin(at time.Time, err error, notify func(Notice)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost.IsZero() {
		a.lost = at
		notify(Notice{Lost: err})
	}
}

// end tells that it is back, unless that was told.
func (a *absence) end(notify func(Notice)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.lost.IsZero() {
		notify(Notice{For: time.Since(a.lost)})
	}
	a.lost = time.Time{}
}

// outage is the time from losing a server to having it back. The zero value with a
// client is ready; it is used by one goroutine.
type outage struct {
	client *Client
	began  time.Time // zero while there is none
	told   bool
	delay  time.Duration
}

// wait sleeps before the next attempt after err, longer each time. It returns err when
// the client's patience is at its end, and the cause when ctx is done.
func (o *outage) wait(ctx context.Context, err error) error {
	now := time.Now()
	if o.began.IsZero() {
		o.began = now
	}
	if now.Sub(o.began) >= o.client.options.Patience {
		o.client.absence.end(func(Notice) {}) // the error says it
		return err
	}
	if !o.told {
		o.told = true
		o.client.absence.begin(now, err, o.client.options.Notify)
	}
	timer := time.NewTimer(o.nextDelay(err))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// nextDelay doubles the delay up to maxDelay and scatters it, so that many clients do
// not come back at the same instant. A server that names a delay gets it.
func (o *outage) nextDelay(err error) time.Duration {
	o.delay = min(max(2*o.delay, firstDelay), maxDelay)
	var refused *ServerError
	if errors.As(err, &refused) && refused.RetryAfter > 0 {
		return min(refused.RetryAfter, o.client.options.Patience)
	}
	return o.delay/2 + rand.N(o.delay/2+1)
}

// over ends the outage, if there is one.
func (o *outage) over() {
	if o.told {
		o.client.absence.end(o.client.options.Notify)
	}
	o.began, o.told = time.Time{}, false
}
