package main

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// listenAsManager listens as a service manager does. It gives the socket, and what waits
// for what is told next.
func listenAsManager(t *testing.T, dir string) (socket string, told func() string) {
	t.Helper()
	socket = filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	return socket, func() string {
		t.Helper()
		state := make([]byte, 1000)
		n, err := manager.Read(state)
		if err != nil {
			t.Fatal(err)
		}
		return string(state[:n])
	}
}

// A service manager is told when the server serves and when it stops, and what the server
// starts has none.
func TestServiceManagerIsTold(t *testing.T) {
	dir := shortDir(t)
	socket, told := listenAsManager(t, dir)
	command := program(t, dir)
	command.Env = append(command.Env, notifyVariable+"="+socket)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if state := told(); !strings.HasPrefix(state, "READY=1\nSTATUS=Serving http://127.0.0.1:") {
		t.Errorf("it is told %q first", state)
	}
	conn, err := net.Dial("unix", filepath.Join(dir, "midge.sock"))
	if err != nil {
		t.Fatalf("the server is not there when it says so: %v", err)
	}
	conn.Close()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if state := told(); state != "STOPPING=1" {
		t.Errorf("it is told %q last", state)
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

func TestServiceManagerIsToldOfAFailure(t *testing.T) {
	dir := shortDir(t)
	socket, told := listenAsManager(t, dir)
	command := program(t, dir, "--gc-grace", "soon")
	command.Env = append(command.Env, notifyVariable+"="+socket)
	wantFailure(t, dir, command, "gc-grace")
	if got := told(); !strings.HasPrefix(got, "STATUS=the setting --gc-grace: ") || strings.Contains(got, "\n") {
		t.Errorf("it is told %q", got)
	}
}

// Programs that the server starts know of no service manager.
func TestServiceManagerIsHidden(t *testing.T) {
	t.Setenv(notifyVariable, "/nowhere")
	manager := findServiceManager()
	if err := hideServiceManager(); err != nil {
		t.Fatal(err)
	}
	if manager.socket != "/nowhere" || findServiceManager().socket != "" {
		t.Errorf("it is %+v, and others find %+v", manager, findServiceManager())
	}
	if err := manager.tell("READY=1"); err == nil || !strings.Contains(err.Error(), notifyVariable) {
		t.Errorf("where nobody listens the error is %v", err)
	}
	if err := (serviceManager{}).tell("READY=1"); err != nil {
		t.Errorf("without a service manager the error is %v", err)
	}
}
