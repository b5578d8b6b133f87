package endtoend

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/term"

	"midge/terminal"
)

// screen is a command at a terminal of its own, and what it has sent there.
type screen struct {
	t        *testing.T
	cmd      *exec.Cmd
	terminal *os.File
	shown    output
	done     chan struct{}
}

func startScreen(t *testing.T, cmd *exec.Cmd) *screen {
	t.Helper()
	s := &screen{t: t, cmd: cmd}
	s.start(97, 31, &s.shown)
	return s
}

// start starts the command. What it sends goes to shown.
func (s *screen) start(columns, rows int, shown io.Writer) {
	s.t.Helper()
	var err error
	if s.terminal, err = pty.StartWithSize(s.cmd, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		// It ends with an error once the command has, and nobody is left at the terminal.
		_, _ = io.Copy(shown, s.terminal)
	}()
	s.t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.done
		s.terminal.Close()
	})
}

func (s *screen) write(text string) {
	s.t.Helper()
	if _, err := s.terminal.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// bracketedPaste is what a bash tells the terminal before and after each line.
var bracketedPaste = strings.NewReplacer("\x1b[?2004h", "", "\x1b[?2004l\r", "")

// text is what the command has sent, without what is told the terminal of pasting.
func (s *screen) text() string { return bracketedPaste.Replace(s.shown.String()) }

func (s *screen) waitFor(text string) {
	s.t.Helper()
	eventually(s.t, "the terminal shows "+text, func() error {
		if shown := s.text(); !strings.Contains(shown, text) {
			return fmt.Errorf("it shows %q", shown)
		}
		return nil
	})
}

// resize changes the size of the terminal.
func (s *screen) resize(columns, rows uint16) {
	s.t.Helper()
	if err := pty.Setsize(s.terminal, &pty.Winsize{Cols: columns, Rows: rows}); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits until the command has ended, and all that it sent is there.
func (s *screen) wait() int {
	s.cmd.Wait()
	<-s.done
	return s.cmd.ProcessState.ExitCode()
}

// wantExit waits for the command's end, its status, and a terminal that is as it was.
func (s *screen) wantExit(status int) {
	s.t.Helper()
	if got := s.wait(); got != status {
		s.t.Errorf("exit status %d, want %d; the terminal shows %q", got, status, s.text())
	}
	s.wantRestored()
}

// wantRestored checks that the terminal has the modes of a new one.
func (s *screen) wantRestored() {
	s.t.Helper()
	fresh, tty, err := pty.Open()
	if err != nil {
		s.t.Fatal(err)
	}
	defer fresh.Close()
	defer tty.Close()
	want, err := term.GetState(int(fresh.Fd()))
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := term.GetState(int(s.terminal.Fd()))
	if err != nil {
		s.t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		s.t.Errorf("the terminal's modes are %v, and were %v", got, want)
	}
}

// emulator is a screen that understands what it is sent: it has rows of characters,
// and answers what programs ask a terminal.
type emulator struct {
	*screen
	terminal *vt.SafeEmulator
}

func startEmulator(t *testing.T, cmd *exec.Cmd, columns, rows int) *emulator {
	t.Helper()
	e := &emulator{screen: &screen{t: t, cmd: cmd}, terminal: vt.NewSafeEmulator(columns, rows)}
	e.start(columns, rows, io.MultiWriter(&e.shown, e.terminal))
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		// Without a reader the first question would be the last.
		_, _ = io.Copy(e.screen.terminal, e.terminal)
	}()
	t.Cleanup(func() {
		e.cmd.Process.Kill()
		<-e.done
		// Not the terminal's own Close, which may not be called beside its Read.
		e.terminal.InputPipe().(io.Closer).Close()
		<-answered
	})
	return e
}

// resize changes the size of the terminal.
func (e *emulator) resize(columns, rows int) {
	e.t.Helper()
	e.terminal.Resize(columns, rows)
	e.screen.resize(uint16(columns), uint16(rows))
}

// rows are what is shown, without the spaces at the ends.
func (e *emulator) rows() []string {
	rows := make([]string, e.terminal.Height())
	// Not CellAt, whose cell may be written to meanwhile.
	for y, row := range strings.Split(terminal.Text(e.terminal.Render()), "\n") {
		rows[y] = strings.TrimRight(row, " \r")
	}
	return rows
}

// waitForRows waits until the rows that are shown are right.
func (e *emulator) waitForRows(what string, right func(rows []string) bool) {
	e.t.Helper()
	eventually(e.t, what, func() error {
		if rows := e.rows(); !right(rows) {
			return fmt.Errorf("the terminal shows\n%s", strings.Join(rows, "\n"))
		}
		return nil
	})
}

// waitForRow waits until a row is that.
func (e *emulator) waitForRow(row string) {
	e.t.Helper()
	e.waitForRows("a row "+row, func(rows []string) bool {
		for _, shown := range rows {
			if shown == row {
				return true
			}
		}
		return false
	})
}
