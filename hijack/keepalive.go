package hijack

import (
	"context"
	"time"

	"github.com/coder/websocket"
)

// every does something at each interval, until that fails or ctx ends.
func every(ctx context.Context, interval time.Duration, do func() error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := do(); err != nil {
			return err
		}
	}
}

// pingSocket pings by the websocket's own ping, and waits a while for the answer. That it
// is late is no failure: who does not answer may be busy writing.
func pingSocket(ctx context.Context, socket *websocket.Conn, interval time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, interval/2)
	defer cancel()
	_ = socket.Ping(ctx)
}

// keepAlive pings until ctx ends, so that nothing on the way takes the connection for idle.
func keepAlive(ctx context.Context, socket *websocket.Conn, interval time.Duration) error {
	return every(ctx, interval, func() error {
		pingSocket(ctx, socket, interval)
		return nil
	})
}
