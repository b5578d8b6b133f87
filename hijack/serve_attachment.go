package hijack

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"midge/runtime"
	"midge/trace"
)

// framesAttachment is a client that speaks our own wire.
type framesAttachment struct {
	*attachment
	conn   *connection
	window int64 // how many bytes of output may be under way

	// next is the sequence number of the next byte of output to send,
	// written that of the next the client has not written yet.
	next    int64
	written atomic.Int64
	moved   chan struct{} // holds one when written has changed

	// input is how many bytes of input the client was told that the process has,
	// which this server may not have seen.
	input   int64
	pending *pendingInput

	told atomic.Bool // the client was sent how the session ended

	// span ends with the session or with the connection, whichever is first.
	span trace.Span
}

func newFramesAttachment(session *Session, client string, window int64, readOnly bool) *framesAttachment {
	return &framesAttachment{
		attachment: &attachment{session: session, client: client, readOnly: readOnly},
		window:     min(max(window, minWindow), maxWindow),
		moved:      make(chan struct{}, 1),
	}
}

// serve carries frames both ways until the command has ended and the client has
// all of its output, or something else ends the connection.
func (a *framesAttachment) serve(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	a.cancel = cancel
	a.session.attach(a.attachment)
	taken := max(a.input, a.session.input.taken(a.client))
	a.pending = newPendingInput(taken)

	ended := make(chan error, 5)
	run := func(f func(context.Context) error) {
		running.Go(func() { ended <- f(ctx) })
	}
	err := a.conn.send(encodeMessage(frameAttached, a.reply(taken)))
	if err == nil {
		run(a.receive)
		run(a.takeInput)
		run(a.sendOutput)
		interval := a.session.sessions.config.PingInterval
		run(func(ctx context.Context) error { return a.conn.ping(ctx, interval) })
		run(func(ctx context.Context) error { return a.conn.awaitSilence(ctx, interval) })
		select {
		case err = <-ended:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	cancel(err)
	a.session.detach(a.attachment)
	if errors.Is(err, errAcknowledged) {
		a.session.drop()
	}
	a.conn.finish(err)
	running.Wait()
}

// errAcknowledged tells that the client knows how the session ended.
var errAcknowledged = errors.New("the end was acknowledged")

func (a *framesAttachment) reply(taken int64) attachedReply {
	info := a.session.Info()
	return attachedReply{
		Session: info.ID, Command: info.Command, TTY: info.TTY, ReadOnly: a.readOnly,
		Sequence: a.next, Input: taken, Window: inputWindow,
		Timeout: int64(a.session.sessions.config.SessionTimeout.Seconds()),
	}
}

// receive takes what the client sends. It never waits for the process's input, so
// that a signal gets past input which nobody reads.
func (a *framesAttachment) receive(ctx context.Context) error {
	for {
		f, err := a.conn.receive()
		if err != nil {
			return err
		}
		if err := a.handle(ctx, f); err != nil {
			return err
		}
	}
}

func (a *framesAttachment) handle(ctx context.Context, f frame) error {
	switch f.kind {
	case frameOutputAck:
		return a.acknowledge(f.offset)
	case framePing:
		return a.conn.send(frame{kind: framePong, offset: f.offset})
	case framePong:
		return nil
	case frameEndAck:
		if a.told.Load() {
			return errAcknowledged
		}
		return nil
	}
	if a.readOnly {
		return malformed("it is %s, and who only watches may not send that", f.kind)
	}
	switch f.kind {
	case frameInput:
		a.session.use()
		return a.pending.add(f.offset, f.data)
	case frameCloseStdin:
		return a.pending.end(f.offset)
	case frameResize:
		return a.resize(ctx, f.size)
	case frameSignal:
		return a.signal(ctx, runtime.Signal(f.data))
	case frameEnd:
		a.session.End("the client ended it")
		return nil
	}
	return malformed("it is %s, which a client does not send here", f.kind)
}

func (a *framesAttachment) acknowledge(sequence int64) error {
	if sequence > a.session.seen.Load() {
		return malformed("output before %d is acknowledged, and there is none", sequence)
	}
	if sequence > a.written.Load() {
		a.written.Store(sequence)
		select {
		case a.moved <- struct{}{}:
		default:
		}
	}
	return nil
}

func (a *framesAttachment) resize(ctx context.Context, size runtime.WindowSize) error {
	if !a.session.Info().TTY {
		return malformed("it is a resize, and the session has no terminal")
	}
	// A process that has ended meanwhile has no terminal to be resized.
	_ = a.session.process.Resize(ctx, size)
	return nil
}

func (a *framesAttachment) signal(ctx context.Context, signal runtime.Signal) error {
	switch signal {
	case runtime.SignalInterrupt, runtime.SignalTerminate, runtime.SignalKill, runtime.SignalHangup, runtime.SignalQuit:
	default:
		return malformed("the signal %q is none of INT, TERM, KILL, HUP and QUIT", signal)
	}
	// Nor one to be sent a signal: how it ended is for sendOutput to tell.
	_ = a.session.process.Signal(ctx, signal)
	return nil
}

// ackDelay is how long a little input waits to be acknowledged: its echo goes first.
const ackDelay = 20 * time.Millisecond

// takeInput gives the process what the client sent, and acknowledges it.
func (a *framesAttachment) takeInput(ctx context.Context) error {
	delay := time.NewTimer(ackDelay)
	defer delay.Stop()
	var taken, acknowledged int64
	acknowledge := func() error {
		if taken == acknowledged {
			return nil
		}
		acknowledged = taken
		return a.conn.send(frame{kind: frameInputAck, offset: taken})
	}
	deaf := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-delay.C:
			if err := acknowledge(); err != nil {
				return err
			}
			continue
		case <-a.pending.ready:
		}
		offset, data, closed := a.pending.take()
		if taken, deaf = a.giveInput(ctx, offset, data, deaf); ctx.Err() != nil {
			return ctx.Err()
		}
		if taken-acknowledged < inputWindow/4 {
			delay.Reset(ackDelay)
		} else if err := acknowledge(); err != nil {
			return err
		}
		if closed && !deaf {
			deaf = true
			// A process that has ended meanwhile needs no end of its input.
			_ = a.session.process.CloseStdin(ctx)
		}
	}
}

// giveInput gives the process input and says how much of the client's it has now.
// A process that has closed its input or has ended is deaf: what it would
// be given counts as taken, and how it ended is for sendOutput to tell.
func (a *framesAttachment) giveInput(ctx context.Context, offset int64, data []byte, deaf bool) (int64, bool) {
	end := offset + int64(len(data))
	if len(data) == 0 || deaf {
		return end, deaf
	}
	taken, err := a.session.input.write(ctx, a.client, offset, data)
	if err != nil {
		return end, true
	}
	return taken, false
}

// sendOutput sends the process's output to its end and then how it ended.
func (a *framesAttachment) sendOutput(ctx context.Context) error {
	send := func(chunk runtime.Chunk) error { return a.sendChunk(ctx, chunk) }
	if err := a.session.output(ctx, a.next, send); err != nil {
		return err
	}
	return a.sendEnd(ctx)
}

func (a *framesAttachment) sendChunk(ctx context.Context, chunk runtime.Chunk) error {
	if chunk.Sequence > a.next {
		lost := frame{kind: frameLost, offset: a.next, count: chunk.Sequence - a.next}
		if err := a.conn.send(lost); err != nil {
			return err
		}
		a.next = chunk.Sequence
		a.written.Store(max(a.written.Load(), a.next))
	}
	for data := chunk.Data; len(data) > 0; {
		n := min(len(data), maxOutput, int(a.window/2))
		if err := a.awaitWindow(ctx, int64(n)); err != nil {
			return err
		}
		if err := a.conn.send(frame{kind: frameOutput, stream: chunk.Stream, offset: a.next, data: data[:n]}); err != nil {
			return err
		}
		a.next += int64(n)
		data = data[n:]
	}
	return nil
}

// awaitWindow waits until n more bytes may be under way.
func (a *framesAttachment) awaitWindow(ctx context.Context, n int64) error {
	for a.next+n-a.written.Load() > a.window {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.moved:
		}
	}
	return nil
}

// sendEnd waits for the command's end, tells the client, and waits for it to
// acknowledge that. A session that was ended for a reason has no exit status worth
// telling.
func (a *framesAttachment) sendEnd(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-a.session.ended:
	}
	end := a.session.end
	message := encodeMessage(frameError, errorReport{CodeEnded, end.Message, end.Usage})
	if end.Message == "" {
		message = encodeMessage(frameExit, exitReport{
			ExitStatus: end.Exit.Code, Signal: end.Exit.Signal, OOMKilled: end.Exit.OOMKilled, Usage: end.Usage,
		})
	}
	a.told.Store(true)
	if end.Exit != nil {
		a.span.Set(trace.ExitStatus(end.Exit.Code))
	}
	a.span.End(nil)
	if err := a.conn.send(message); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}
