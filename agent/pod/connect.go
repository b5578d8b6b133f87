package pod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Connect joins standard input and output to the unix socket, until either ends.
func Connect(ctx context.Context, socket string) error {
	conn, err := dialFirst(ctx, socket)
	if err != nil {
		return fmt.Errorf("reach the pod's first process: %w", err)
	}
	defer conn.Close()
	if _, err := io.WriteString(os.Stdout, greeting); err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() {
		_, err := io.Copy(conn, os.Stdin)
		ended <- err
	}()
	go func() {
		_, err := io.Copy(os.Stdout, conn)
		ended <- err
	}()
	// The other copy ends with the program.
	err = <-ended
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil // the server, or the pod, is gone
	}
	return err
}

// dialFirst connects to the first process, which may only just have been started.
func dialFirst(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var dialer net.Dialer
	var absent error
	for {
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if absent != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
			return nil, absent // which says more than that the time is over
		}
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			return conn, err
		}
		absent = err
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// startTimeout is how long the first process may take until it listens.
const startTimeout = 2 * time.Second

// greeting is what Connect writes before the rest. It changes when an end that is
// older would misread what follows.
const greeting = "midge-pod 1\n"

// ReadGreeting reads what comes first on a stream that Connect serves.
func ReadGreeting(r io.Reader) error {
	b := make([]byte, len(greeting))
	if n, err := io.ReadFull(r, b); err != nil {
		if n > 0 {
			err = fmt.Errorf("%w after %q", err, b[:n])
		}
		return fmt.Errorf("the pod's first process cannot be reached: %w", err)
	}
	if string(b) != greeting {
		return fmt.Errorf("the pod's midge-agent is of another version: it says %q", b)
	}
	return nil
}
