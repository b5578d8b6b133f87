//go:build unix

package hijack

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// watchSignals gives the signals that a session heeds. With a terminal those typed
// go to the other end and never come here.
func watchSignals() (<-chan os.Signal, func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	// Caught, a pipe that nobody reads is an error of writing instead of the end
	// of the program.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	return signals, func() {
		signal.Stop(signals)
		signal.Stop(pipe)
	}
}

// watchSize calls changed, at once and whenever the terminal's size has changed,
// until ctx ends.
func (t *Terminal) watchSize(ctx context.Context, changed func()) {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-resized:
			changed()
		}
	}
}
