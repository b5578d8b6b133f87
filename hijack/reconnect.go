package hijack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"

	"midge/trace"
)

const (
	// attemptTimeout bounds one attempt to connect. Another begins long before:
	// the system repeats what it sent into a network that was down only after seconds.
	attemptTimeout = 2 * time.Second
	// patientAttempts is how often an attempt may take patientTimeout instead, for networks
	// on which every connection takes long.
	patientAttempts = 20
	patientTimeout  = 15 * time.Second
	// quietTime is how long the user is not told of a lost connection.
	quietTime = 3 * time.Second
)

// attemptInterval is how long after one attempt to connect the next begins.
func attemptInterval(lost time.Duration) time.Duration {
	switch {
	case lost < time.Minute:
		return 50 * time.Millisecond
	case lost < 10*time.Minute:
		return 250 * time.Millisecond
	}
	return time.Second
}

// reconnect makes a connection again that was lost, and goes on with the session.
func (c *client) reconnect(ctx context.Context, lost *link) (_ *connection, err error) {
	ctx, span := trace.StartSpan(ctx, "reconnect")
	defer func() { span.End(err) }()
	socket := lost.successor
	for {
		if socket == nil {
			if socket, err = c.redial(ctx, lost.lostAt, func() bool { return false }); err != nil {
				return nil, err
			}
		}
		conn := newConnection(socket)
		err = c.resume(ctx, conn)
		if err == nil {
			c.remark(c.line(fmt.Sprintf("reconnected after %v", since(lost.lostAt))))
			if c.options.Terminal != nil && !c.options.ReadOnly {
				c.sendSize()
			}
			return conn, nil
		}
		socket.CloseNow()
		socket = nil
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if c.isOver(ctx, err) {
			return nil, err
		}
	}
}

// redial connects to the server again, trying until it is there, the time is over for which it
// keeps the session, or recovered says that the connection of before works again:
// then it gives nil.
func (c *client) redial(ctx context.Context, lostAt time.Time, recovered func() bool) (*websocket.Conn, error) {
	var running sync.WaitGroup
	defer running.Wait()
	dialing, cancel := context.WithCancel(ctx)
	defer cancel()
	dialed := make(chan dialResult)
	told := false
	for attempts := 0; ; attempts++ {
		lost := since(lostAt)
		switch {
		case recovered():
			if told {
				c.remark(c.line(fmt.Sprintf("reconnected after %v", lost)))
			}
			return nil, nil
		case lost > c.timeout && c.session == "":
			return nil, fmt.Errorf("the server was out of reach for %v, and no session has begun", lost)
		case lost > c.timeout:
			return nil, fmt.Errorf("the server was out of reach for %v, and keeps sessions for %v: this one is over", lost, c.timeout)
		case lost > quietTime && !told:
			told = true
			c.remark(c.line(c.lostMessage()))
		}
		timeout := attemptTimeout
		if attempts%patientAttempts == 0 {
			timeout = patientTimeout
		}
		running.Go(func() { c.attempt(dialing, timeout, dialed) })
		next := time.NewTimer(attemptInterval(lost))
		select {
		case result := <-dialed:
			if result.err == nil {
				next.Stop()
				return result.socket, nil
			}
			var response *ResponseError
			if errors.As(result.err, &response) && response.permanent() {
				next.Stop()
				if c.session == "" {
					return nil, response
				}
				return nil, fmt.Errorf("go on with session %s: %w", c.session, response)
			}
			if after, ok := busy(result.err); ok {
				next.Reset(after)
			}
			select {
			case <-next.C:
			case <-ctx.Done():
			}
		case <-next.C:
		case <-ctx.Done():
		}
		next.Stop()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

type dialResult struct {
	socket *websocket.Conn
	err    error
}

// attempt tries to connect once, and closes a connection that nobody waits for any more.
func (c *client) attempt(ctx context.Context, timeout time.Duration, dialed chan<- dialResult) {
	defer c.guard()
	trying, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	socket, err := c.options.Endpoint.dial(trying)
	select {
	case dialed <- dialResult{socket, err}:
	case <-ctx.Done():
		if err == nil {
			socket.CloseNow()
		}
	}
}

func (c *client) lostMessage() string {
	message := "connection lost, trying to reconnect"
	if c.escape.char != 0 {
		message += fmt.Sprintf(" (%c. detaches)", c.escape.char)
	}
	return message
}
