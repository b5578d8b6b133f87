package main

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// notifyVariable names the socket on which a service manager listens, see sd_notify(3).
const notifyVariable = "NOTIFY_SOCKET"

// A serviceManager has started the server, as systemd does, and is told when it serves.
// The zero value is none, which is told nothing.
type serviceManager struct{ socket string }

// findServiceManager gives the service manager.
func findServiceManager() serviceManager { return serviceManager{os.Getenv(notifyVariable)} }

// hideServiceManager has no program know of it that the server starts: runc would have a
// container know.
func hideServiceManager() error { return os.Unsetenv(notifyVariable) }

// tellFailure tells it why the server ends, which it shows beside the service's state.
// In the log that is soon far above what it says there itself of containers that live on.
func (m serviceManager) tellFailure(err error) error {
	return m.tell("STATUS=" + strings.ReplaceAll(err.Error(), "\n", "; "))
}

// tell tells it a state: lines of assignments.
func (m serviceManager) tell(state string) error {
	if m.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("reach the service manager that %s names: %w", notifyVariable, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell the service manager that %s names: %w", notifyVariable, err)
	}
	return nil
}
