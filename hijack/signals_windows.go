package hijack

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// watchSignals gives the signals that a session heeds.
func watchSignals() (<-chan os.Signal, func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return signals, func() { signal.Stop(signals) }
}

// watchSize calls changed, at once and whenever the terminal's size has changed,
// until ctx ends.
// Windows does not tell of it, so it is looked at.
func (t *Terminal) watchSize(ctx context.Context, changed func()) {
	const interval = 250 * time.Millisecond
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last, _ := t.size()
	changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if size, err := t.size(); err == nil && size != last {
			last = size
			changed()
		}
	}
}
