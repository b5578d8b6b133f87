package machine

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// newMachine makes a machine with an image of its own.
func newMachine(t *testing.T, config Config) *Machine {
	t.Helper()
	var store Store
	config.Files = NewFileSystem(store.NewImage())
	if err := config.Files.MakeDevices(); err != nil {
		t.Fatal(err)
	}
	return New(config)
}

// transcript collects what a session writes.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (o *transcript) write(_ context.Context, stream int, p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	close(o.changed)
	o.changed = make(chan struct{})
	return nil
}

// clear forgets what was written.
func (o *transcript) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Reset()
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// endLater ends a session at the end of the test.
func endLater(t *testing.T, session *Session) {
	t.Cleanup(func() {
		session.Signal("KILL")
		<-session.Done()
	})
}

// TestTerminalModes has a terminal pass keys on as they are, and not echo them.
func TestTerminalModes(t *testing.T) {
	output := newTranscript()
	session, err := newMachine(t, Config{}).Start(Command{
		Path: "/bin/sh", Args: []string{"-c", "stty raw -echo; echo ready; head -c 2 | wc -c; stty sane; echo sane; exec cat"}, Dir: "/",
		Env: []string{"PATH=/bin"}, Output: output.write, Terminal: &WindowSize{80, 24},
	})
	if err != nil {
		t.Fatal(err)
	}
	endLater(t, session)
	for _, step := range []struct{ await, keys string }{
		{"ready\n", "\x03\x04"}, {"sane\r\n", "lino\x7fe\r"}, {"lino\b \be\r\nline\r\n", "\x04"},
	} {
		output.await(t, step.await)
		if _, err := session.Write(t.Context(), []byte(step.keys)); err != nil {
			t.Fatal(err)
		}
	}
	<-session.Done()
	if status := session.Status(); status.Code != 0 {
		t.Errorf("it ended with %+v, having written %q", status, output)
	}
}

// await waits until the transcript contains text.
func (o *transcript) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		o.mu.Lock()
		seen, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if strings.Contains(seen, text) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no %q in the output %q", text, seen)
		}
	}
}

func run(t *testing.T, m *Machine, script string, args ...string) (string, Status) {
	t.Helper()
	output := newTranscript()
	session, err := m.Start(Command{
		Path: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...), Dir: "/root",
		Env: []string{"PATH=/bin:/usr/bin", "HOME=/root"}, Output: output.write,
	})
	if err != nil {
		t.Fatal(err)
	}
	<-session.Done()
	return output.String(), session.Status()
}

// TestInteractiveShell types at a shell.
func TestInteractiveShell(t *testing.T) {
	output := newTranscript()
	session, err := newMachine(t, Config{}).Start(Command{
		Path: "/bin/sh", Dir: "/root", Env: []string{"PATH=/bin", "PS1=$ "}, Output: output.write, Terminal: &WindowSize{80, 24},
	})
	if err != nil {
		t.Fatal(err)
	}
	endLater(t, session)
	for _, step := range []struct{ await, keys string }{
		{"$ ", "for i in 1 2\n"},
		{"> ", "do echo x$i; done\n"},
		{"x1\r\nx2\r\n$ ", "half a line\x03"},
		{"half a line^C\r\n$ ", "echo one \\\n"},
		{"> ", "two\n"},
		{"one two\r\n$ ", "sh -c 'echo star\"\"ted; sleep 1000'; echo left\n"},
		{"started\r\n", "\x03"},
		{"^C\r\nleft\r\n$ ", "if; then\n"},
		{"sh: 1:", "nothing\n"},
		{"sh: nothing: not found\r\n$ ", "trap 'echo bye' EXIT\n"},
		{"$ ", "kill $$; (exit 3)\n"},
		{"(exit 3)\r\n$ ", "\x04"},
	} {
		output.await(t, step.await)
		output.clear()
		if _, err := session.Write(t.Context(), []byte(step.keys)); err != nil {
			t.Fatal(err)
		}
	}
	<-session.Done()
	if status := session.Status(); status.Code != 3 || !strings.HasSuffix(output.String(), "bye\r\n") {
		t.Errorf("it ended with %+v, having written %q", status, output)
	}
}

// TestStdinIsAScript has a shell read its script from a pipe, of which the
// commands in it read as well.
func TestStdinIsAScript(t *testing.T) {
	output := newTranscript()
	session, err := newMachine(t, Config{}).Start(Command{
		Path: "/bin/sh", Dir: "/", Env: []string{"PATH=/bin"}, Output: output.write, Stdin: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Write(t.Context(), []byte("read x\ninput\necho got $x\nif true\nthen exit 4; fi\necho no\n")); err != nil {
		t.Fatal(err)
	}
	<-session.Done()
	if status := session.Status(); status.Code != 4 || output.String() != "got input\n" {
		t.Errorf("it ended with %+v, having written %q", status, output)
	}
	if _, err := session.Write(t.Context(), []byte("more")); err == nil {
		t.Error("a session that has ended takes input")
	}
}
