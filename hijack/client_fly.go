package hijack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/coder/websocket"

	"midge/api"
	"midge/runtime"
	"midge/terminal"
)

// flyLink carries a session over fly's wire, with a server that speaks no other,
// such as a Concourse. Neither end counts what it sends: a connection that is lost is lost.
type flyLink struct {
	*client
	socket *websocket.Conn
	// last tells that no other command will be tried. Until then input is kept, as
	// long as nothing shows that this one runs, for the next.
	last bool

	sending sync.Mutex
}

// errNotFound tells that the server has nothing at the path of the command.
var errNotFound = newError(CodeNotFound, "there is no such command in the container")

// runFly begins a session and stays to its end.
func (c *client) runFly(ctx context.Context, cancel context.CancelCauseFunc, socket *websocket.Conn) (Result, error) {
	if c.options.Session != "" {
		return Result{}, newError(CodeNoSession, "this server keeps no sessions, so there is none to attach to")
	}
	if err := c.makeRaw(); err != nil {
		return Result{}, err
	}
	stop := c.start(ctx, cancel)
	var result Result
	err := error(newError(CodeRefused, "no command was given"))
	for i, process := range c.options.Processes {
		if i > 0 {
			if socket, err = c.options.Endpoint.dial(ctx); err != nil {
				break
			}
		}
		c.out.resume(0, inputWindow)
		link := &flyLink{client: c, socket: socket, last: i == len(c.options.Processes)-1}
		result.ExitStatus, err = link.carry(ctx, process)
		if !errors.Is(err, errNotFound) {
			break
		}
	}
	if written := c.in.flush(ctx); err == nil {
		err = written
	}
	stop()
	if errors.Is(err, errDetached) {
		// The server ends it with the connection.
		result.Detached, err = true, nil
	}
	return result, err
}

// carry runs a process to its end.
func (l *flyLink) carry(ctx context.Context, process api.HijackProcess) (int, error) {
	l.socket.SetReadLimit(16 * maxMessage) // fly's server sends what it reads, base64 and all
	defer l.socket.CloseNow()
	if err := l.write(process); err != nil {
		return 0, fmt.Errorf("ask for the session: %w", err)
	}
	within, end := context.WithCancel(ctx)
	defer end()
	var running sync.WaitGroup
	ended := make(chan error, 3)
	run := func(f func(context.Context) error) {
		running.Go(func() {
			defer l.guard()
			ended <- f(within)
		})
	}
	run(l.receive)
	run(l.send)
	run(func(ctx context.Context) error { return keepAlive(ctx, l.socket, pingInterval) })
	l.wakeSender()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	end()
	l.socket.CloseNow()
	running.Wait()
	var exit *exited
	if errors.As(err, &exit) {
		return exit.ExitStatus, nil
	}
	return 0, err
}

func (l *flyLink) write(message any) error {
	encoded, err := json.Marshal(message)
	if err != nil {
		return err
	}
	l.sending.Lock()
	defer l.sending.Unlock()
	return l.socket.Write(context.Background(), websocket.MessageText, encoded)
}

// receive takes what the server sends until the exit status, which is an *exited.
func (l *flyLink) receive(ctx context.Context) error {
	for {
		_, message, err := l.socket.Read(context.Background())
		if err != nil {
			return fmt.Errorf("the connection was lost, and this server cannot go on with a session: %w", err)
		}
		var output api.HijackOutput
		if err := json.Unmarshal(message, &output); err != nil {
			return malformed("a message is not the JSON of output")
		}
		if err := l.handle(ctx, output); err != nil {
			return err
		}
	}
}

func (l *flyLink) handle(ctx context.Context, output api.HijackOutput) error {
	switch {
	case output.ExitStatus != nil:
		return &exited{exitReport{ExitStatus: *output.ExitStatus}}
	case output.ExecutableNotFound:
		return errNotFound
	case output.Error != "":
		return newError(CodeFailed, "%s", terminal.Line(output.Error))
	}
	for stream, data := range map[runtime.Stream][]byte{runtime.Stdout: output.Stdout, runtime.Stderr: output.Stderr} {
		if len(data) == 0 {
			continue
		}
		if err := l.in.awaitRoom(ctx); err != nil {
			return err
		}
		if err := l.in.add(stream, l.in.position(), data); err != nil {
			return err
		}
	}
	return nil
}

// send sends what there is to send, and waits for more.
func (l *flyLink) send(ctx context.Context) error {
	var buffer []byte
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.wake:
		}
		for {
			f, ok := l.nextControl()
			if !ok {
				if f, buffer, ok = l.out.next(buffer); !ok {
					break
				}
			}
			if err := l.sendFrame(f); err != nil {
				return err
			}
		}
	}
}

// sendFrame sends what fly's wire has for a frame.
func (l *flyLink) sendFrame(f frame) error {
	switch f.kind {
	case frameInput:
		err := l.write(api.HijackInput{Stdin: f.data})
		end := f.offset + int64(len(f.data))
		if l.last || l.in.position() > 0 || end > inputWindow/2 {
			l.out.drop(end)
		}
		return err
	case frameCloseStdin:
		return l.write(api.HijackInput{Closed: true})
	case frameResize:
		return l.write(api.HijackInput{TTY: &api.HijackTTY{WindowSize: api.HijackWindowSize{
			Columns: int(f.size.Columns), Rows: int(f.size.Rows),
		}}})
	case frameSignal:
		// There is no message for it; hanging up is what is left.
		return &SignalError{signalOf(runtime.Signal(f.data))}
	}
	return nil
}
