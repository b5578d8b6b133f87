package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"midge/api"
	"midge/execute"
	"midge/terminal"
)

// Exit statuses besides those of tasks.
const (
	exitError   = 1 // the command line or the request was wrong
	exitLeft    = 2 // left at once, by a second interrupt
	exitAborted = 3
	exitUnknown = 3                          // a check that cannot tell how the server is, as monitoring systems have it
	exitQuit    = 128 + int(syscall.SIGQUIT) // left at once by that signal
	exitUnread  = 128 + int(syscall.SIGPIPE) // nobody reads what is printed
)

// exitStatus is the error of a command that has said all there is to say, and ends
// with a status of its own.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// failure is an error that has an exit status other than the usual one.
type failure struct {
	error
	status int
}

func (f *failure) Unwrap() error { return f.error }

// errLeft is the error of a command that a second interrupt ended.
var errLeft = errors.New("left at once; the build may still be running")

// fail says on stderr why the command failed, and gives the status to exit with. It is
// the only place where errors are shown.
func (p *program) fail(err error) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	if p.waiting.Swap(false) {
		fmt.Fprintln(p.stderr) // it did not come back
	}
	if errors.Is(err, errLeft) {
		io.WriteString(p.stderr, p.stderr.overKey())
	}
	text := p.typed(terminal.Text(err.Error()))
	var config *api.ConfigError
	prefix := p.errorPrefix()
	if errors.As(err, &config) {
		// Editors find the places in a file by lines that begin with its name.
		prefix = ""
	}
	for line := range strings.Lines(text) {
		fmt.Fprintf(p.stderr, "%s%s\n", prefix, strings.TrimSuffix(line, "\n"))
	}
	return exitStatusOf(err)
}

// withLost adds to how a command has ended that some of what it printed is lost, which
// leaves a status of its own as it is. Who stops reading wants no more of it: of that
// nothing is said, as of other programs, which SIGPIPE ends.
func withLost(err error, stdout *stream) error {
	lost := stdout.lost.Load()
	if lost == nil {
		return err
	}
	var status exitStatus
	isLost := err == nil || errors.Is(err, *lost)
	switch {
	case errors.As(err, &status):
		return &failure{*lost, int(status)}
	case isLost && errors.Is(*lost, syscall.EPIPE):
		return exitStatus(exitUnread)
	case isLost:
		return cmp.Or(err, *lost)
	}
	return errors.Join(err, *lost)
}

// exitStatusOf gives the status that the command exits with for an error, 0 for none.
func exitStatusOf(err error) int {
	var status exitStatus
	var failed *failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &failed):
		return failed.status
	case errors.Is(err, execute.ErrAbortedEarly):
		return exitAborted
	case errors.Is(err, errLeft):
		return exitLeft
	}
	return exitError
}
