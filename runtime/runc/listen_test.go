package runc_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"midge/runtime"
	"midge/runtime/runc"
	"midge/runtime/runc/network"
)

// say is a script that sends a line to an address.
func say(line string, address net.Addr) string {
	tcp := address.(*net.TCPAddr)
	return fmt.Sprintf("exec bash -c 'echo %s >/dev/tcp/%s/%d'", line, tcp.IP, tcp.Port)
}

func listen(t *testing.T, c runtime.Container, id string) net.Listener {
	t.Helper()
	listener, err := c.(runtime.Listening).Listen(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// hear gives what the next connection brings.
func hear(t *testing.T, listener net.Listener) string {
	t.Helper()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkListening has a process of the container say something before and after its start.
func checkListening(t *testing.T, c runtime.Container) {
	t.Helper()
	listener := listen(t, c, "task")
	wait(t, run(t, c, "other", say("early", listener.Addr())))
	again := listen(t, c, "task")
	if listener.Addr().String() != again.Addr().String() {
		t.Errorf("the process has the addresses %v and %v", listener.Addr(), again.Addr())
	}
	if got := hear(t, again); got != "early\n" {
		t.Errorf("the first connection brought %q", got)
	}
	p := run(t, c, "task", say("late", listener.Addr()))
	if status := wait(t, p); status.Code != 0 {
		t.Errorf("the task's status is %+v: %s", status, output(t, p, runtime.Stderr))
	}
	if got := hear(t, listener); got != "late\n" {
		t.Errorf("the second connection brought %q", got)
	}
}

func TestListen(t *testing.T) {
	w := newWorker(t)
	for name, spec := range map[string]runtime.ContainerSpec{
		"host": {}, "hermetic": {Hermetic: true}, "privileged": {Privileged: true},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Handle = "listen-" + name
			checkListening(t, newContainer(t, w, spec))
		})
	}
}

func TestListenOnBridge(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	w := newWorker(t, func(o *runc.Options) {
		o.Network = runc.NetworkBridge
		o.Bridge = network.Defaults
		o.Bridge.Subnet = netip.MustParsePrefix("10.213.8.0/24")
		o.Bridge.Ready = 1
	})
	checkListening(t, newContainer(t, w, runtime.ContainerSpec{}))
}

// Two containers on the machine's network have their own, and once a process has
// ended nobody waits where its listener was.
func TestListenersOfTwoContainers(t *testing.T) {
	w := newWorker(t)
	first := newContainer(t, w, runtime.ContainerSpec{Handle: "first"})
	second := newContainer(t, w, runtime.ContainerSpec{Handle: "second"})
	a, b := listen(t, first, "task"), listen(t, second, "task")
	if a.Addr().String() == b.Addr().String() {
		t.Fatalf("two containers have the address %v", a.Addr())
	}
	wait(t, run(t, first, "task", "exit 0"))
	var missing *runtime.NotFoundError
	if _, err := first.(runtime.Listening).Listen(t.Context(), "task"); !errors.As(err, &missing) {
		t.Errorf("the process that has ended has a listener, or %v", err)
	}
	a.Close()
	// The supervisor closes its own once it has recorded the end.
	if conn, err := net.Dial("tcp", a.Addr().String()); err == nil {
		// The kernel resets what nobody will accept.
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("somebody still listens for a process that has ended")
		}
		conn.Close()
	}
	if wait(t, run(t, second, "task", say("still", b.Addr()))); hear(t, b) != "still\n" {
		t.Error("the other container's listener has gone")
	}
}

// What a process sends while no server is there waits for the next one.
func TestListenerOutlivesServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	at := func(o *runc.Options) { o.StateDir = dir }
	spec := runtime.ContainerSpec{Handle: "stays", Dir: "/work", Image: runtime.ImageSpec{Host: true}}
	worker := newWorker(t, at)
	c := newContainer(t, worker, spec)
	listener := listen(t, c, "task")
	p, err := c.Run(t.Context(), runtime.ProcessSpec{
		ID: "task", Path: "sh", Args: []string{"-c", "read line; (" + say("hello", listener.Addr()) + "); read line"}, Stdin: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if _, err := p.Write(t.Context(), 0, []byte("go\n")); err != nil {
		t.Fatal(err)
	}
	worker.Close()
	again, err := newWorker(t, at).LookupContainer(t.Context(), "stays")
	if err != nil {
		t.Fatal(err)
	}
	listener, err = again.(runtime.Listening).Listen(t.Context(), "task")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if got := hear(t, listener); got != "hello\n" {
		t.Errorf("the connection brought %q", got)
	}
}

func TestEnvironment(t *testing.T) {
	c := newContainer(t, newWorker(t), runtime.ContainerSpec{Env: []string{"FROM=spec"}})
	env, err := c.(runtime.Listening).Environment(t.Context())
	if err != nil || len(env) != 1 || env[0] != "FROM=spec" {
		t.Errorf("the environment is %q, %v", env, err)
	}
}
