package client

import (
	"context"
	"errors"
	"math/rand/v2"
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
		return err
	}
	if !o.told && o.client.options.Notify != nil {
		o.told = true
		o.client.options.Notify(Notice{Lost: err})
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
		o.client.options.Notify(Notice{For: time.Since(o.began)})
	}
	o.began, o.told = time.Time{}, false
}
