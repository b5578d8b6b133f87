package hijack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/muesli/cancelreader"

	"midge/api"
	"midge/runtime"
	"midge/trace"
)

// Options say what session Run joins the user to, and how.
type Options struct {
	Endpoint Endpoint
	// Heard tells that the server has answered before. Then it is waited for, a minute at
	// the most, when it cannot be reached for the first connection.
	Heard bool

	// Processes are the commands to run, each if nothing is at the path of the one
	// before. Run sets TTY by Terminal.
	Processes []api.HijackProcess

	// Session is an id of a session to attach to instead.
	Session string
	// ReadOnly has the session attached to be watched only.
	ReadOnly bool

	// Terminal is the user's, when the session is to have one. Without it stdin is
	// read to its end, and stdout and stderr are apart.
	Terminal *Terminal
	// Escape is the character that begins commands to Run at the start of a line
	// typed at a terminal; 0 is none.
	Escape byte

	Stdin  io.Reader // Terminal.In if nil and there is a terminal
	Stdout io.Writer
	Stderr io.Writer

	// Notices takes what Run itself says, between the output; nil is Stderr.
	Notices io.Writer
	// Quiet has Run not say what becomes of the connection.
	Quiet bool

	// Began is called with the session's id and its command once it is there; nil if
	// nobody asks. A server that knows no sessions has none.
	Began func(session string, command []string)
}

// Result says how Run left the session.
type Result struct {
	// Session is its id, "" when the server knows no sessions.
	Session string
	// ExitStatus is the command's, unless Detached.
	ExitStatus int
	// OOMKilled tells that the kernel has killed a process of the container, which had
	// used up its memory, while the command ran.
	OOMKilled bool
	// Detached tells that the session goes on without us.
	Detached bool
	// Usage is what the session has used, nil while it goes on or when that is not known.
	Usage *api.StepUsage
}

// SignalError tells that Run left the session, which goes on, for a signal.
type SignalError struct{ Signal os.Signal }

func (e *SignalError) Error() string {
	return fmt.Sprintf("detached by the signal %q", e.Signal.String())
}

// Run begins a session, or attaches to one, and stays until its command has ended or
// the user detaches. A connection that is lost is made again for as long as the
// server keeps the session, and for a minute when that has not begun. The terminal is as it was before when Run returns.
//
// What the server says against the session is an *Error, an answer that is no
// session a *ResponseError. Cancelling ctx detaches.
func Run(ctx context.Context, options Options) (result Result, err error) {
	ctx, span := trace.StartSpan(ctx, "session")
	defer func() {
		if err == nil && !result.Detached {
			span.Set(trace.ExitStatus(result.ExitStatus))
		}
		span.End(err)
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for i := range options.Processes {
		if err := setTerminal(&options.Processes[i], options.Terminal); err != nil {
			return Result{}, err
		}
	}
	user := newUser(options)
	client := newClient(user)
	socket, err := client.connect(ctx)
	if err != nil {
		return Result{}, err
	}
	defer socket.CloseNow()
	// Before the terminal is changed: no signal may end us then.
	var stop func()
	user.signals, stop = watchSignals()
	defer stop()
	defer user.restore()
	if socket.Subprotocol() != Subprotocol {
		return client.runFly(ctx, cancel, socket)
	}
	return client.run(ctx, cancel, newConnection(socket))
}

func setTerminal(process *api.HijackProcess, terminal *Terminal) error {
	process.TTY = nil
	if terminal == nil {
		return nil
	}
	size, err := terminal.size()
	if err != nil {
		return err
	}
	process.TTY = &api.HijackTTY{WindowSize: api.HijackWindowSize{Columns: int(size.Columns), Rows: int(size.Rows)}}
	return nil
}

// user is the user's end: what is typed, where output goes, and signals.
type user struct {
	options Options
	stdin   io.Reader
	escape  escape
	signals <-chan os.Signal
}

func newUser(options Options) *user {
	if options.Notices == nil {
		options.Notices = options.Stderr
	}
	u := &user{options: options, stdin: options.Stdin}
	if options.Terminal != nil {
		u.escape.char = options.Escape
		if u.stdin == nil {
			u.stdin = options.Terminal.In
		}
	}
	return u
}

func (u *user) makeRaw() error {
	if u.options.Terminal == nil {
		return nil
	}
	return u.options.Terminal.makeRaw()
}

func (u *user) restore() {
	if u.options.Terminal != nil {
		_ = u.options.Terminal.restore()
	}
}

// guard restores the terminal when a goroutine panics, and lets the panic go on.
func (u *user) guard() {
	if problem := recover(); problem != nil {
		u.restore()
		panic(problem)
	}
}

// line makes a line that stands alone, whatever the cursor's place.
func (u *user) line(text string) string {
	if u.options.Terminal == nil {
		return text + "\n"
	}
	return "\r\n" + strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"
}

func (u *user) help() string {
	c := string(u.escape.char)
	return c + ".  detach: the session goes on, and can be attached to again\n" +
		c + c + "  send " + c + "\n" +
		c + "?  this help\n" +
		"(at the start of a line only)"
}

// errDetached tells that the user has asked to leave the session.
var errDetached = errors.New("detached")

// input is where the user's input goes.
type input interface {
	// put takes input, and waits while there is no room. It reports false when there is
	// nobody for it any more.
	put(data []byte) bool
	// end says that no input follows.
	end()
	// show shows the user a line.
	show(line string)
}

// readInput passes the user's input on until its end, a command to detach, which is
// errDetached, or ctx's end.
func (u *user) readInput(ctx context.Context, to input) error {
	reader, err := cancelreader.NewReader(u.stdin)
	if err != nil {
		// A file, or something else that one never waits for.
		reader = nil
	} else {
		stop := context.AfterFunc(ctx, func() { reader.Cancel() })
		defer reader.Close()
		defer stop()
	}
	buffer := make([]byte, maxData)
	for {
		n, err := u.read(reader, buffer)
		if err := u.pass(buffer[:n], to); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			to.end()
			return nil
		case err != nil:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("read input: %w", err)
		}
	}
}

func (u *user) read(reader cancelreader.CancelReader, buffer []byte) (int, error) {
	if reader == nil {
		return u.stdin.Read(buffer)
	}
	return reader.Read(buffer)
}

// pass passes on what was typed, but for the commands that are for us.
func (u *user) pass(typed []byte, to input) error {
	for len(typed) > 0 {
		send, command, rest := u.escape.next(typed)
		typed = rest
		if !to.put(send) {
			return io.ErrClosedPipe
		}
		switch command {
		case escapeDetach:
			return errDetached
		case escapeHelp:
			to.show(u.line(u.help()))
		}
	}
	return nil
}

// SameSignal is how soon after one that was passed on a signal is no second one: timeout
// and npm send a program what its group, or its terminal, has sent it as well.
const SameSignal = 100 * time.Millisecond

// heedSignals passes the signals of a user without a terminal on to the process, the
// first time; the second detaches, as any does with a terminal.
func (u *user) heedSignals(ctx context.Context, pass func(runtime.Signal)) error {
	var passed time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-u.signals:
			name, known := passedSignals[s]
			switch {
			case u.options.Terminal != nil || !known:
				return &SignalError{s}
			case passed.IsZero():
				passed = time.Now()
				pass(name)
			case time.Since(passed) >= SameSignal:
				return &SignalError{s}
			}
		}
	}
}

// passedSignals are the signals that are passed on.
var passedSignals = map[os.Signal]runtime.Signal{
	os.Interrupt:    runtime.SignalInterrupt,
	syscall.SIGTERM: runtime.SignalTerminate,
	syscall.SIGQUIT: runtime.SignalQuit,
}

// signalOf gives the signal that has that name.
func signalOf(name runtime.Signal) os.Signal {
	for s, n := range passedSignals {
		if n == name {
			return s
		}
	}
	return os.Kill
}

// since says how long ago a time was, by the wall's clock: the other stands still
// while a laptop sleeps.
func since(t time.Time) time.Duration {
	d := time.Now().Round(0).Sub(t.Round(0))
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
