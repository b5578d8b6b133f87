package hijack

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"

	"midge/api"
	"midge/runtime"
)

// flyAttachment is a client that speaks fly's wire: JSON in text messages. It
// cannot come back, so its session ends with its connection.
type flyAttachment struct {
	*attachment
	socket *websocket.Conn

	sending sync.Mutex
	buffer  []byte

	offset int64 // of the input
	// deaf tells that the process takes no more input: it was closed, or the
	// process has closed it or has ended.
	deaf bool
}

func (s *Sessions) serveFly(ctx context.Context, socket *websocket.Conn, place Place) {
	socket.SetReadLimit(maxMessage)
	a := &flyAttachment{socket: socket}
	process, err := a.firstMessage(ctx, s.config.HandshakeTimeout)
	if err != nil {
		a.finish(err)
		return
	}
	client := "fly-" + newID()
	session, err := s.start(ctx, place, process, client)
	if err != nil {
		a.refuse(process, err)
		return
	}
	a.attachment = &attachment{session: session, client: client}
	a.serve(ctx)
}

func (a *flyAttachment) firstMessage(ctx context.Context, timeout time.Duration) (api.HijackProcess, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var process api.HijackProcess
	_, message, err := a.socket.Read(ctx)
	if err == nil && json.Unmarshal(message, &process) != nil {
		err = malformed("the first message is not the JSON of a process")
	}
	return process, err
}

// refuse tells why the command does not run. For a bare bash, which fly asks for
// when its user names no command, that is the message upon which it asks for sh.
func (a *flyAttachment) refuse(process api.HijackProcess, err error) {
	var report *Error
	if errors.As(err, &report) && report.Code == CodeNotFound && process.Path == "bash" && len(process.Args) == 0 {
		if a.send(api.HijackOutput{ExecutableNotFound: true}) == nil {
			a.socket.Close(websocket.StatusNormalClosure, "")
		}
		return
	}
	a.finish(err)
}

// finish tells the client why the connection ends, nil being that all is said, and closes it.
func (a *flyAttachment) finish(err error) {
	status, report := goodbye(err)
	if status == -1 {
		a.socket.CloseNow()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { a.socket.CloseNow() })()
	if report != nil && a.send(api.HijackOutput{Error: report.Message}) != nil {
		return
	}
	a.socket.Close(status, "")
}

func (a *flyAttachment) send(output api.HijackOutput) error {
	encoded, err := json.Marshal(output)
	if err != nil {
		return err
	}
	a.sending.Lock()
	defer a.sending.Unlock()
	return a.socket.Write(context.Background(), websocket.MessageText, encoded)
}

func (a *flyAttachment) serve(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	a.cancel = cancel
	a.session.attach(a.attachment)

	ended := make(chan error, 3)
	run := func(f func(context.Context) error) {
		running.Go(func() { ended <- f(ctx) })
	}
	run(a.receive)
	run(a.sendOutput)
	run(func(ctx context.Context) error {
		return keepAlive(ctx, a.socket, a.session.sessions.config.PingInterval)
	})
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	cancel(err)
	a.session.detach(a.attachment)
	a.finish(err)
	running.Wait()
	if a.session.sessions.ctx.Err() != nil {
		return
	}
	if !a.session.hasEnded() {
		a.session.End("its client has gone, and cannot come back")
		return
	}
	a.session.drop()
}

// receive takes input for the process, and waits until it takes it.
func (a *flyAttachment) receive(ctx context.Context) error {
	for {
		_, message, err := a.socket.Read(context.Background())
		if err != nil {
			return err
		}
		var input api.HijackInput
		if err := json.Unmarshal(message, &input); err != nil {
			return malformed("a message is not the JSON of input")
		}
		if err := a.handle(ctx, input); err != nil {
			return err
		}
	}
}

func (a *flyAttachment) handle(ctx context.Context, input api.HijackInput) error {
	if len(input.Stdin) > 0 && !a.deaf {
		a.session.use()
		taken, err := a.session.input.write(ctx, a.client, a.offset, input.Stdin)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.offset, a.deaf = taken, err != nil
	}
	if input.TTY != nil && a.session.Info().TTY {
		size, err := windowSize(input.TTY.WindowSize)
		if err != nil {
			return err
		}
		// A process that has ended meanwhile has no terminal to be resized.
		_ = a.session.process.Resize(ctx, size)
	}
	if input.Closed && !a.deaf {
		a.deaf = true
		// A process that has ended meanwhile needs no end of its input.
		_ = a.session.process.CloseStdin(ctx)
	}
	return nil
}

// sendOutput sends the process's output to its end and then its exit status, which is nil.
func (a *flyAttachment) sendOutput(ctx context.Context) error {
	if err := a.session.output(ctx, 0, a.sendChunk); err != nil {
		return err
	}
	return a.sendEnd(ctx)
}

// sendChunk writes by hand what encoding/json would: output is most of what is sent.
func (a *flyAttachment) sendChunk(chunk runtime.Chunk) error {
	a.sending.Lock()
	defer a.sending.Unlock()
	message := append(a.buffer[:0], `{"stdout":"`...)
	if chunk.Stream == runtime.Stderr {
		message = append(a.buffer[:0], `{"stderr":"`...)
	}
	message = base64.StdEncoding.AppendEncode(message, chunk.Data)
	message = append(message, `"}`...)
	a.buffer = message
	return a.socket.Write(context.Background(), websocket.MessageText, message)
}

func (a *flyAttachment) sendEnd(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-a.session.ended:
	}
	end := a.session.end
	if end.Message != "" {
		return &Error{Code: CodeEnded, Message: end.Message}
	}
	return a.send(api.HijackOutput{ExitStatus: &end.Exit.Code})
}
