package hijack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"midge/runtime"
	"midge/terminal"
)

const (
	// terminalWindow is how much output may be under way to a terminal. It is small, so
	// that little of a flood is left once it was interrupted.
	terminalWindow = 256 << 10
)

// client is the user's end of a session over our own wire. It outlives the
// connections that carry it.
type client struct {
	*user
	name   string
	window int64
	out    *outbox
	in     *inbox
	wake   chan struct{} // holds one when there may be something to send

	session string
	toolbox bool          // the command is one of the worker's own
	timeout time.Duration // how long the server may be out of reach

	mu      sync.Mutex
	control []frame // what is to be sent before anything else
}

func newClient(user *user) *client {
	c := &client{
		user: user, name: newID(), window: maxWindow,
		out: newOutbox(), in: newInbox(), wake: make(chan struct{}, 1),
		timeout: beginPatience,
	}
	if user.options.Terminal != nil {
		c.window = terminalWindow
	}
	return c
}

// run begins the session over a first connection and stays to its end.
func (c *client) run(ctx context.Context, cancel context.CancelCauseFunc, conn *connection) (Result, error) {
	conn, reply, err := c.beginOver(ctx, conn)
	if err != nil {
		return Result{}, err
	}
	defer conn.socket.CloseNow()
	c.session = reply.Session
	c.timeout = time.Duration(reply.Timeout) * time.Second
	c.in.begin(reply.Sequence)
	c.out.resume(reply.Input, int(reply.Window))
	result := Result{Session: c.session}
	if c.options.Began != nil {
		c.options.Began(c.session, reply.Command)
	}
	if err := c.makeRaw(); err != nil {
		return result, err
	}
	if c.toolbox {
		c.show(c.line("the commands of this session are midge's own busybox, after those that the image has"))
	}
	stop := c.start(ctx, cancel)
	exit, err := c.converse(ctx, conn)
	result.ExitStatus, result.OOMKilled, result.Usage = exit.ExitStatus, exit.OOMKilled, exit.Usage
	if ended := (*Error)(nil); errors.As(err, &ended) {
		result.Usage = ended.usage
	}
	if written := c.in.flush(ctx); err == nil {
		err = written
	}
	stop()
	if errors.Is(err, errDetached) {
		result.Detached = true
		return result, nil
	}
	return result, err
}

// beginPatience is how long a server may be away that was lost before the session began.
const beginPatience = time.Minute

// connect makes the first connection. A server that has been heard before is waited for, and
// one that is busy for as long as it says.
func (c *client) connect(ctx context.Context) (*websocket.Conn, error) {
	began, told := time.Now(), false
	for {
		socket, err := c.options.Endpoint.connect(ctx)
		if err == nil || !c.options.Heard || ctx.Err() != nil {
			return socket, err
		}
		after, isBusy := busy(err)
		if response := (*ResponseError)(nil); !isBusy && errors.As(err, &response) || isBusy && time.Since(began)+after > beginPatience {
			return nil, err
		}
		if !isBusy {
			return c.redial(ctx, began, func() bool { return false })
		}
		if !told && !c.options.Quiet {
			told = true
			// Nothing else is shown before the session has begun.
			if _, err := fmt.Fprintf(c.options.Notices, "waiting for the server: %v\n", err); err != nil {
				return nil, err
			}
		}
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Of connections that were made, and broke before the session began: a server that is
// there and cuts each of them is not waited for.
const (
	beginAttempts = 5
	beginDelay    = 100 * time.Millisecond // before the second attempt, and then twice as long
)

// beginOver begins the session over conn or, when that breaks, over others, and gives the
// one that has it. What is asked for again the server knows by the client's name: it has
// one session of it, however often its answer was lost.
func (c *client) beginOver(ctx context.Context, conn *connection) (*connection, attachedReply, error) {
	delay, lostAt := beginDelay, time.Now()
	for attempt := 1; ; attempt++ {
		reply, err := c.begin(ctx, conn)
		if err == nil {
			return conn, reply, nil
		}
		conn.socket.CloseNow()
		if attempt == beginAttempts || c.isOver(ctx, err) {
			return nil, attachedReply{}, err
		}
		select {
		case <-ctx.Done():
			return nil, attachedReply{}, err
		case <-time.After(delay):
		}
		delay *= 2
		socket, err := c.redial(ctx, lostAt, func() bool { return false })
		if err != nil {
			return nil, attachedReply{}, err
		}
		conn = newConnection(socket)
	}
}

// begin asks for the session, by the first of the commands that is there.
func (c *client) begin(ctx context.Context, conn *connection) (attachedReply, error) {
	if c.options.Session != "" {
		return c.handshake(ctx, conn, encodeMessage(frameAttach, attachRequest{
			Session: c.options.Session, Client: c.name, Window: c.window, ReadOnly: c.options.ReadOnly,
		}))
	}
	err := error(newError(CodeRefused, "no command was given"))
	for _, process := range c.options.Processes {
		var reply attachedReply
		reply, err = c.handshake(ctx, conn, encodeMessage(frameStart, startRequest{Process: process, Client: c.name, Window: c.window}))
		var missing *Error
		if !errors.As(err, &missing) || missing.Code != CodeNotFound {
			c.toolbox = process.Toolbox
			return reply, err
		}
	}
	return attachedReply{}, err
}

// resume asks to go on with the session over another connection.
func (c *client) resume(ctx context.Context, conn *connection) error {
	from := c.in.position()
	reply, err := c.handshake(ctx, conn, encodeMessage(frameAttach, attachRequest{
		Session: c.session, Client: c.name, Window: c.window, From: &from, Input: c.out.acknowledged(), ReadOnly: c.options.ReadOnly,
	}))
	if err != nil {
		return err
	}
	c.out.resume(reply.Input, int(reply.Window))
	return nil
}

func (c *client) handshake(ctx context.Context, conn *connection, request frame) (attachedReply, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	defer conn.closeWhen(ctx)()
	if err := conn.send(request); err != nil {
		return attachedReply{}, fmt.Errorf("ask for the session: %w", err)
	}
	f, err := conn.receive()
	if err != nil {
		return attachedReply{}, fmt.Errorf("wait for the session: %w", err)
	}
	switch f.kind {
	case frameAttached:
		return decodeMessage[attachedReply](f)
	case frameError:
		return attachedReply{}, reported(f)
	}
	return attachedReply{}, malformed("it is %s, and should be attached or error", f.kind)
}

// reported gives the error that the server reports, or that of reading it.
func reported(f frame) error {
	report, err := decodeMessage[errorReport](f)
	if err != nil {
		return err
	}
	return &Error{Code: report.Code, Message: terminal.Line(report.Message), usage: report.Usage}
}

// start has the user's input, signals and window sizes taken, and the output
// written, until stop is called. What of these ends the session cancels it.
func (c *client) start(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	run := func(f func(context.Context) error) {
		running.Go(func() {
			defer c.guard()
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	written := c.startWriting(cancel)
	run(func(ctx context.Context) error {
		return c.heedSignals(ctx, func(s runtime.Signal) { c.post(frame{kind: frameSignal, data: []byte(s)}) })
	})
	if c.options.Terminal != nil && !c.options.ReadOnly {
		run(func(ctx context.Context) error {
			c.options.Terminal.watchSize(ctx, c.sendSize)
			return nil
		})
	}
	typing := c.startReading(ctx, cancel)
	return func() {
		end()
		c.out.close()
		c.in.close()
		running.Wait()
		// What cannot be interrupted is not waited for: a pipe that nobody reads,
		// and a reader that is no file.
		select {
		case <-written:
		case <-ctx.Done():
		}
		if _, isFile := c.stdin.(*os.File); isFile {
			<-typing
		}
	}
}

// startWriting writes output as it arrives. What it gives is closed at the end.
func (c *client) startWriting(cancel context.CancelCauseFunc) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.guard()
		if err := c.in.write(c.writers(), c.wakeSender); err != nil {
			c.post(frame{kind: frameEnd})
			cancel(fmt.Errorf("write output: %w", err))
		}
	}()
	return done
}

// startReading passes the user's input on. What it gives is closed at the end.
func (c *client) startReading(ctx context.Context, cancel context.CancelCauseFunc) <-chan struct{} {
	done := make(chan struct{})
	if c.stdin == nil || c.options.ReadOnly && c.options.Terminal == nil {
		c.end()
		close(done)
		return done
	}
	go func() {
		defer close(done)
		defer c.guard()
		if err := c.readInput(ctx, c); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	}()
	return done
}

func (c *client) put(data []byte) bool {
	if c.options.ReadOnly {
		return true
	}
	ok := c.out.put(data)
	c.wakeSender()
	return ok
}

func (c *client) end() {
	if c.options.ReadOnly {
		return
	}
	c.out.end()
	c.wakeSender()
}

func (c *client) show(line string) { c.in.show(line) }

// remark shows a line about the connection, which a quiet user does not want.
func (c *client) remark(line string) {
	if !c.options.Quiet {
		c.show(line)
	}
}

func (c *client) writers() writers {
	return writers{c.options.Stdout, c.options.Stderr, c.options.Notices}
}

func (c *client) sendSize() {
	if size, err := c.options.Terminal.size(); err == nil {
		c.post(frame{kind: frameResize, size: size})
	}
}

// post has a frame sent over the present connection, or the next.
func (c *client) post(f frame) {
	c.mu.Lock()
	c.control = append(c.control, f)
	c.mu.Unlock()
	c.wakeSender()
}

// nextControl gives the frame that was posted first and not sent yet.
func (c *client) nextControl() (frame, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.control) == 0 {
		return frame{}, false
	}
	f := c.control[0]
	c.control = slices.Delete(c.control, 0, 1)
	return f, true
}

func (c *client) wakeSender() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// converse carries the session to its end, over as many connections as it takes.
func (c *client) converse(ctx context.Context, conn *connection) (exitReport, error) {
	for {
		link := newLink(c, conn)
		err := link.carry(ctx)
		var exit *exited
		if errors.As(err, &exit) {
			return exit.exitReport, nil
		}
		if ctx.Err() != nil {
			return exitReport{}, context.Cause(ctx)
		}
		if c.isOver(ctx, err) {
			return exitReport{}, err
		}
		if conn, err = c.reconnect(ctx, link); err != nil {
			return exitReport{}, err
		}
	}
}

// isOver tells whether a connection that ended by err is not to be made again.
func (c *client) isOver(ctx context.Context, err error) bool {
	var exit *exited
	var report *Error
	var bad *malformedError
	return ctx.Err() != nil || errors.As(err, &exit) || errors.As(err, &report) || errors.As(err, &bad)
}

// exited tells that the command has ended.
type exited struct{ exitReport }

func (e *exited) Error() string { return fmt.Sprintf("exit status %d", e.ExitStatus) }
