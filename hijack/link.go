package hijack

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	// probeAfter is how long an answer to what was sent may be missing, beyond what one
	// takes, before a ping asks whether the other end is there.
	probeAfter = 250 * time.Millisecond
	// patience is how long that ping may be without an answer, beyond what one takes,
	// before another connection is tried; a pipe that is full is slow to answer.
	terminalPatience = 500 * time.Millisecond
	pipePatience     = 10 * time.Second
	// maxAllowance bounds what an answer is thought to take.
	maxAllowance = 5 * time.Second
	// lookInterval is how often it is looked at.
	lookInterval = 100 * time.Millisecond
	// leaveTimeout bounds how long leaving takes when the other end does not answer.
	leaveTimeout = 500 * time.Millisecond
)

// link carries a session over one connection.
type link struct {
	*client
	conn     *connection
	patience time.Duration

	acknowledged int64        // the output that was
	sentAt       atomic.Int64 // when input was sent last, in Unix nanoseconds
	roundTrip    atomic.Int64 // how long the last ping took, in nanoseconds
	answered     atomic.Int64 // when the last ping that has its answer was sent

	// successor is a connection that was made because this one does not answer.
	successor *websocket.Conn
	// lostAt is when the other end was heard last.
	lostAt time.Time
}

func newLink(c *client, conn *connection) *link {
	l := &link{client: c, conn: conn, patience: pipePatience, acknowledged: c.in.position()}
	if c.options.Terminal != nil {
		l.patience = terminalPatience
		conn.cuttable() // a person who leaves is not kept
	}
	return l
}

// carry carries frames both ways until the command has ended, which is an *exited,
// or something else ends the connection, and closes it.
func (l *link) carry(ctx context.Context) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	var receiving, sending sync.WaitGroup
	ended := make(chan error, 3)
	run := func(running *sync.WaitGroup, f func(context.Context) error) {
		running.Go(func() {
			defer l.guard()
			ended <- f(within)
		})
	}
	run(&receiving, l.receive)
	run(&sending, l.send)
	run(&sending, l.watch)
	l.wakeSender()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	cancel()
	if l.isOver(ctx, err) && (ctx.Err() != nil || l.in.flush(ctx) == nil) {
		l.leave(&sending)
	}
	l.conn.socket.CloseNow()
	sending.Wait()
	receiving.Wait()
	if l.successor == nil {
		l.lostAt = time.Unix(0, l.conn.heard.Load())
	}
	return err
}

// leave sends what is still to be sent, and closes the connection for good. All of the
// output is written: the server need not keep the end of the session for us.
func (l *link) leave(sending *sync.WaitGroup) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	defer l.conn.closeWhen(ctx)()
	sending.Wait()
	l.post(frame{kind: frameEndAck})
	for f, ok := l.nextControl(); ok; f, ok = l.nextControl() {
		if l.conn.send(f) != nil {
			return
		}
	}
	l.conn.socket.Close(websocket.StatusNormalClosure, "")
}

// receive takes what the server sends.
func (l *link) receive(context.Context) error {
	for {
		f, err := l.conn.receive()
		if err != nil {
			return err
		}
		if err := l.handle(f); err != nil {
			return err
		}
	}
}

func (l *link) handle(f frame) error {
	switch f.kind {
	case frameOutput:
		// A piece that leaves most of its buffer empty would keep too much memory.
		if len(f.data) < largePiece || len(f.data) < cap(l.conn.received)/4 {
			return l.in.add(f.stream, f.offset, f.data)
		}
		var err error
		l.conn.received, err = l.in.adopt(f.stream, f.offset, f.data, l.conn.received)
		return err
	case frameInputAck:
		l.out.drop(f.offset)
		l.wakeSender()
	case frameLost:
		l.in.skip(f.offset + f.count)
		l.show(l.line(fmt.Sprintf("%d bytes of output are lost here: nobody read them before newer output took their place", f.count)))
	case framePing:
		l.post(frame{kind: framePong, offset: f.offset})
	case framePong:
		l.noteRoundTrip(f.offset)
	case frameExit:
		report, err := decodeMessage[exitReport](f)
		if err != nil {
			return err
		}
		return &exited{report}
	case frameError:
		return reported(f)
	default:
		return malformed("it is %s, which a server does not send here", f.kind)
	}
	return nil
}

// send sends what there is to send, and waits for more.
func (l *link) send(ctx context.Context) error {
	var buffer []byte
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.wake:
		}
		for {
			f, ok := l.nextFrame(&buffer)
			if !ok {
				break
			}
			if err := l.conn.send(f); err != nil {
				return err
			}
			if f.kind == frameInput {
				l.sentAt.Store(time.Now().UnixNano())
			}
		}
	}
}

// nextFrame gives what is to be sent next, false when that is nothing.
func (l *link) nextFrame(buffer *[]byte) (f frame, ok bool) {
	if f, ok := l.nextControl(); ok {
		return f, true
	}
	// Not every piece of output is acknowledged: a keystroke's echo would cost a message.
	if written := l.in.acknowledgeable(); written-l.acknowledged >= l.window/4 {
		l.acknowledged = written
		return frame{kind: frameOutputAck, offset: written}, true
	}
	f, *buffer, ok = l.out.next(*buffer)
	return f, ok
}

// watch pings, and finds out when the connection no longer carries anything: the
// network drops packets without a word, and it takes minutes until the system says so.
func (l *link) watch(ctx context.Context) error {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	var pinged, unanswered int64 // when; unanswered is 0 when no ping is without its answer
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		now, heard, sent := time.Now().UnixNano(), l.conn.heard.Load(), l.sentAt.Load()
		allowance := min(2*l.roundTrip.Load(), int64(maxAllowance))
		if heard > unanswered {
			unanswered = 0
		}
		switch {
		case unanswered == 0 && (now-pinged > int64(pingInterval) || sent > heard && now-sent > int64(probeAfter)+allowance):
			pinged, unanswered = now, now
			l.post(frame{kind: framePing, offset: now})
		case unanswered != 0 && now-unanswered > int64(l.patience)+allowance:
			// What else is heard may have been on its way for long, and what we send may
			// still wait until the system sends it again.
			recovered := func() bool { return l.answered.Load() >= unanswered }
			l.lostAt = time.Unix(0, heard)
			socket, err := l.redial(ctx, l.lostAt, recovered)
			if socket != nil || err != nil {
				l.successor = socket
				return errSilent
			}
		}
	}
}

// noteRoundTrip learns from the answer to a ping how long one takes.
func (l *link) noteRoundTrip(pinged int64) {
	l.answered.Store(pinged)
	if took := time.Now().UnixNano() - pinged; took > 0 && took < int64(time.Minute) {
		l.roundTrip.Store(took)
	}
}
