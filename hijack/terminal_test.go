//go:build unix

package hijack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/term"

	"midge/api"
)

// screen is a terminal with somebody at it, who types and reads.
type screen struct {
	t       *testing.T
	keys    *os.File // the end of who sits there
	tty     *os.File // the end of programs
	shown   *buffer
	before  *term.State
	reading chan struct{}
}

func newScreen(t *testing.T, columns, rows uint16) *screen {
	t.Helper()
	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, keys: keys, tty: tty, shown: newBuffer(), reading: make(chan struct{})}
	s.resize(columns, rows)
	s.before, err = term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.reading)
		io.Copy(s.shown, keys)
	}()
	t.Cleanup(func() {
		tty.Close()
		keys.Close()
		<-s.reading
	})
	return s
}

func (s *screen) resize(columns, rows uint16) {
	s.t.Helper()
	if err := pty.Setsize(s.keys, &pty.Winsize{Cols: columns, Rows: rows}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *screen) types(text string) {
	s.t.Helper()
	if _, err := s.keys.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// shows waits until a text is shown, for the nth time.
func (s *screen) shows(text string, times int) {
	s.t.Helper()
	s.shown.await(s.t, fmt.Sprintf("%q on the screen", text), func(all string) bool { return strings.Count(all, text) >= times })
}

// isRestored checks that the terminal is as it was.
func (s *screen) isRestored() {
	s.t.Helper()
	after, err := term.GetState(int(s.tty.Fd()))
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(fmt.Sprint(s.before), fmt.Sprint(after)); diff != "" {
		s.t.Errorf("the terminal was not restored (-before +after):\n%s", diff)
	}
}

func (s *screen) options(endpoint Endpoint) Options {
	return Options{
		Endpoint: endpoint, Terminal: &Terminal{In: s.tty, Out: s.tty}, Escape: '~',
		Processes: []api.HijackProcess{{Path: "sh", Env: []string{"PS1=prompt> ", "TERM=xterm"}}},
		Stdout:    s.tty, Stderr: s.tty,
	}
}

func TestTerminal(t *testing.T) {
	for _, fly := range []bool{false, true} {
		t.Run(fmt.Sprintf("fly %v", fly), func(t *testing.T) {
			server := newServer(t, Config{})
			server.flyOnly = fly
			screen := newScreen(t, 100, 40)
			run := begin(t, screen.options(server.endpoint()))
			screen.shows("prompt> ", 1)
			screen.types("stty size; echo $TERM $GREETING\r")
			screen.shows("40 100\r\nxterm hello\r\n", 1)

			screen.types("echo caf\u00e9 \u2603\r")
			screen.shows("\r\ncaf\u00e9 \u2603\r\n", 1)
			screen.types("exit 6\r")
			run.exits(6)
			screen.isRestored()

			run = begin(t, screen.options(server.endpoint()))
			screen.shows("prompt> ", 4)
			screen.types("exec sh -c 'echo sta''rted; exec sleep 100000'\r")
			screen.shows("\r\nstarted\r\n", 1)
			screen.types("\x03")
			run.exits(130)
			screen.isRestored()
			server.forgotten()
		})
	}
}

func TestResize(t *testing.T) {
	server := newServer(t, Config{})
	screen := newScreen(t, 80, 24)
	options := screen.options(server.endpoint())
	options.Processes = script("trap 'stty size' WINCH; stty -echo; stty size; while :; do read line; done")
	begin(t, options)
	screen.shows("24 80\r\n", 1)
	for _, size := range []struct{ columns, rows uint16 }{{120, 50}, {0, 0}, {65535, 65535}} {
		screen.resize(size.columns, size.rows)
		// The kernel tells the foreground processes of the terminal, which we are not.
		if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
			t.Fatal(err)
		}
		screen.types("\r")
		screen.shows(fmt.Sprintf("%d %d\r\n", size.rows, size.columns), 1)
	}
}

func TestDetachAndAttach(t *testing.T) {
	server := newServer(t, Config{})
	screen := newScreen(t, 80, 24)
	run := begin(t, screen.options(server.endpoint()))
	session := next(t, run.session, "the session")
	screen.shows("prompt> ", 1)
	screen.types("echo a~.b\r")
	screen.shows("\r\na~.b\r\n", 1)
	screen.types("~?")
	screen.shows("detach: the session goes on", 1)
	screen.types("~~\r")
	screen.shows("\r\n~\r\n", 1)
	screen.shows("prompt> ", 3)
	screen.types("x=kept; echo set\r")
	screen.shows("\r\nset\r\n", 1)
	screen.types("~.")
	if got := run.wait(); got.err != nil || !got.Detached || got.Session != session {
		t.Fatalf("Run gave %+v, want detached", got)
	}
	screen.isRestored()
	if info := server.only().Info(); info.ID != session || info.EndTime != 0 || info.StepName != "one-off" || !info.TTY {
		t.Errorf("the session is %+v", info)
	}

	again := newScreen(t, 90, 30)
	options := again.options(server.endpoint())
	options.Session = session
	run = begin(t, options)
	again.shows("\r\nset\r\n", 1) // what came before
	again.types("echo $x; stty size; exit 5\r")
	again.shows("\r\nkept\r\n30 90\r\n", 1)
	run.exits(5)
	again.isRestored()
}

func TestSilentNetwork(t *testing.T) {
	server := newServer(t, Config{})
	net := newNetwork(t, server.http.Listener.Addr().String())
	screen := newScreen(t, 80, 24)
	run := begin(t, screen.options(Endpoint{URL: net.url()}))
	screen.shows("prompt> ", 1)
	net.mute()
	screen.types("echo one\r")
	screen.shows("reconnected after ", 1)
	screen.shows("\r\none\r\n", 1)
	net.mute()
	screen.types("echo two\r")
	screen.shows("reconnected after ", 2)
	screen.shows("\r\ntwo\r\n", 1)
	screen.types("exit 2\r")
	run.exits(2)
	if text := screen.shown.String(); strings.Count(text, "\r\none\r\n") != 1 || strings.Count(text, "\r\ntwo\r\n") != 1 {
		t.Errorf("the screen shows\n%s", text)
	}
}

func TestLeavingASilentNetwork(t *testing.T) {
	server := newServer(t, Config{})
	net := newNetwork(t, server.http.Listener.Addr().String())
	screen := newScreen(t, 80, 24)
	run := begin(t, screen.options(Endpoint{URL: net.url()}))
	screen.shows("prompt> ", 1)
	net.unplug()
	screen.shows("trying to reconnect (~. detaches)", 1)
	screen.types("\r~.")
	if got := run.wait(); got.err != nil || !got.Detached {
		t.Errorf("Run gave %+v, want detached", got)
	}
	screen.isRestored()
}

func TestFloodIsInterrupted(t *testing.T) {
	server := newServer(t, Config{Scrollback: 64 << 10})
	screen := newScreen(t, 80, 24)
	run := begin(t, screen.options(server.endpoint()))
	screen.shows("prompt> ", 1)
	screen.types("yes\r")
	screen.shows("y\r\ny\r\ny\r\n", 100_000)
	screen.types("\x03")
	screen.shows("prompt> ", 2)
	screen.types("exit\r")
	if got := run.wait(); got.err != nil {
		t.Errorf("Run gave %+v", got)
	}
}

func TestWatchingAndSharing(t *testing.T) {
	server := newServer(t, Config{})
	first := newScreen(t, 80, 24)
	run := begin(t, first.options(server.endpoint()))
	session := next(t, run.session, "the session")
	first.shows("prompt> ", 1)

	watching := newScreen(t, 80, 24)
	options := watching.options(server.endpoint())
	options.Session, options.ReadOnly = session, true
	watch := begin(t, options)
	next(t, watch.session, "the session")

	sharing := newScreen(t, 80, 24)
	options = sharing.options(server.endpoint())
	options.Session = session
	share := begin(t, options)
	next(t, share.session, "the session")

	watching.types("echo not mine\r")
	for i := range 6 {
		typist := []*screen{first, sharing}[i%2]
		typist.types(fmt.Sprintf("echo line $((%d + 100))\r", i))
		for _, screen := range []*screen{first, sharing, watching} {
			screen.shows(fmt.Sprintf("\r\nline %d\r\n", 100+i), 1)
		}
		if i == 3 {
			server.restart()
			for _, screen := range []*screen{first, sharing, watching} {
				screen.shows("reconnected after ", 1)
			}
		}
	}
	if info := server.only().Info(); info.Clients != 3 {
		t.Errorf("%d clients are attached, want 3", info.Clients)
	}
	watching.types("~.")
	if got := watch.wait(); !got.Detached {
		t.Errorf("Run gave %+v, want detached", got)
	}
	sharing.types("exit 3\r")
	run.exits(3)
	share.exits(3)
	for _, screen := range []*screen{first, sharing, watching} {
		if text := screen.shown.String(); strings.Contains(text, "not mine") {
			t.Errorf("what a watcher typed arrived:\n%s", text)
		}
		screen.isRestored()
	}
}

func TestSignalRestoresTheTerminal(t *testing.T) {
	server := newServer(t, Config{})
	screen := newScreen(t, 80, 24)
	run := begin(t, screen.options(server.endpoint()))
	screen.shows("prompt> ", 1)
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var signal *SignalError
	if got := run.wait(); !errors.As(got.err, &signal) || signal.Signal != syscall.SIGTERM {
		t.Errorf("Run gave %+v", got)
	}
	screen.isRestored()
	if server.only().hasEnded() {
		t.Error("the session has ended")
	}
}

func TestIdleTimeout(t *testing.T) {
	server := newServer(t, Config{IdleTimeout: 300 * time.Millisecond})
	screen := newScreen(t, 80, 24)
	run := begin(t, screen.options(server.endpoint()))
	result := run.wait()
	var report *Error
	if !asError(result.err, &report) || report.Code != CodeEnded || report.Message != "the session was idle for 300ms, and is ended" {
		t.Errorf("Run gave %+v", result)
	}
	screen.isRestored()
	end := next(t, server.observer.ended, "the end").end
	if end.Message != "the session was idle for 300ms, and is ended" || end.Exit == nil {
		t.Errorf("the observer was told %+v", end)
	}
}
