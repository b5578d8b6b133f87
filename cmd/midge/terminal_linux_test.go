package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"midge/api"
	"midge/client"
	"midge/server/servertest"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// session is a midge on a terminal of its own.
type session struct {
	t       *testing.T
	command *exec.Cmd
	screen  *os.File // the terminal's other side

	mu     sync.Mutex
	output bytes.Buffer  // all that was shown
	more   chan struct{} // closed when there is more of it
	ended  bool
}

// onTerminal starts midge on a terminal, in dir.
func onTerminal(t *testing.T, dir string, environment []string, args ...string) *session {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), asMidge+"=1", "TERM=xterm", "NO_COLOR=", "HOME="+dir, "XDG_CONFIG_HOME="+dir)
	command.Env = append(command.Env, environment...)
	return startOnTerminal(t, command)
}

// startOnTerminal starts a program on a terminal.
func startOnTerminal(t *testing.T, command *exec.Cmd) *session {
	t.Helper()
	return startOnTerminalOf(t, command, 100)
}

// startOnTerminalOf starts a program on a terminal that is so many columns wide.
func startOnTerminalOf(t *testing.T, command *exec.Cmd, columns uint16) *session {
	t.Helper()
	c := &session{t: t, command: command, more: make(chan struct{})}
	var err error
	if c.screen, err = pty.StartWithSize(c.command, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	go c.read()
	t.Cleanup(func() {
		c.command.Process.Kill()
		c.command.Wait()
		c.screen.Close()
	})
	return c
}

// read takes in what is shown until the terminal is closed.
func (c *session) read() {
	buffer := make([]byte, 4096)
	for {
		n, err := c.screen.Read(buffer)
		c.mu.Lock()
		c.output.Write(buffer[:n])
		c.ended = err != nil
		close(c.more)
		c.more = make(chan struct{})
		ended := c.ended
		c.mu.Unlock()
		if ended {
			return
		}
	}
}

// await waits until text is shown, and gives all that was.
func (c *session) await(text string) string {
	c.t.Helper()
	return c.until("does not show "+text, func(shown string) bool { return strings.Contains(shown, text) })
}

// until waits until what is shown is as wanted.
func (c *session) until(otherwise string, wanted func(shown string) bool) string {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		shown, more, ended := c.output.String(), c.more, c.ended
		c.mu.Unlock()
		if wanted(shown) {
			return shown
		}
		if ended {
			c.t.Fatalf("midge %s, but ended with:\n%s", otherwise, shown)
		}
		select {
		case <-more:
		case <-deadline:
			c.t.Fatalf("midge %s, but:\n%s", otherwise, shown)
		}
	}
}

// enter types something.
func (c *session) enter(keys string) {
	c.t.Helper()
	if _, err := io.WriteString(c.screen, keys); err != nil {
		c.t.Fatal(err)
	}
}

const interrupt = "\x03"

// exits waits for the end, and gives all that was shown and the exit status.
func (c *session) exits() (shown string, status int) {
	c.t.Helper()
	err := c.command.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.ended {
		more := c.more
		c.mu.Unlock()
		<-more
		c.mu.Lock()
	}
	return c.output.String(), c.command.ProcessState.ExitCode()
}

// startServer gives a test a server and a directory with the files of testdata/workspace.
func startServer(t *testing.T) (server *servertest.Server, dir string) {
	t.Helper()
	server, err := servertest.NewServer(servertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/workspace")); err != nil {
		t.Fatal(err)
	}
	return server, dir
}

func socketOf(server *servertest.Server) string { return "MIDGE_TARGET=unix://" + server.Socket }

// status asks the server what has become of a build.
func status(t *testing.T, server *servertest.Server, build int) api.BuildStatus {
	t.Helper()
	c, err := client.New(client.Options{URL: "unix://" + server.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := c.Build(t.Context(), build)
	if err != nil {
		t.Fatal(err)
	}
	return b.Status
}

func TestFirstInterruptAborts(t *testing.T) {
	server, dir := startServer(t)
	c := onTerminal(t, dir, []string{socketOf(server)}, "execute", "-c", "wait.yml", "-o", "report=report")
	c.await("ready")
	c.enter(interrupt)
	shown, exit := c.exits()
	if exit != 3 || !strings.Contains(shown, "\r"+string(bold)+"aborting") || !strings.Contains(shown, "aborted") {
		t.Errorf("exit status %d, shown is\n%s", exit, shown)
	}
	if got := status(t, server, 1); got != api.StatusAborted {
		t.Errorf("the build is %s", got)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "report", "so-far.txt")); err != nil || string(content) != "begun\n" {
		t.Errorf("its output is %q, %v", content, err)
	}
}

func TestSecondInterruptLeaves(t *testing.T) {
	server, dir := startServer(t)
	stubborn := `{platform: linux, run: {path: sh, args: [-c, "trap '' TERM; echo rea''dy; while true; do sleep 1; done"]}}`
	if err := os.WriteFile(filepath.Join(dir, "stubborn.yml"), []byte(stubborn), 0o666); err != nil {
		t.Fatal(err)
	}
	c := onTerminal(t, dir, []string{socketOf(server)}, "execute", "-c", "stubborn.yml")
	c.await("ready")
	c.enter(interrupt)
	c.await("aborting")
	c.enter(interrupt)
	shown, exit := c.exits()
	if exit != exitLeft || !strings.Contains(shown, "\rmidge: left at once") {
		t.Errorf("exit status %d, shown is\n%q", exit, shown)
	}
}

// Ctrl-\ leaves at once, and tells nothing of what the program is made of.
func TestQuit(t *testing.T) {
	server, dir := startServer(t)
	c := onTerminal(t, dir, []string{socketOf(server)}, "execute", "-c", "wait.yml")
	c.await("ready")
	c.enter("\x1c")
	shown, exit := c.exits()
	if exit != 131 || !strings.Contains(shown, "\rmidge: quit\r\n") || strings.Contains(shown, "goroutine") {
		t.Errorf("exit status %d, shown is\n%q", exit, shown)
	}
	if got := status(t, server, 1); got != api.StatusStarted {
		t.Errorf("the build is %s", got)
	}
}

func TestInterruptEndsOnlyTheWatching(t *testing.T) {
	server, dir := startServer(t)
	executing := onTerminal(t, dir, []string{socketOf(server)}, "execute", "-c", "wait.yml")
	executing.await("ready")
	watching := onTerminal(t, dir, []string{socketOf(server)}, "watch", "-b", "1")
	watching.await("ready")
	watching.enter(interrupt)
	if shown, exit := watching.exits(); exit == 0 {
		t.Errorf("exit status %d, shown is\n%s", exit, shown)
	}
	if got := status(t, server, 1); got != api.StatusStarted {
		t.Errorf("the build is %s", got)
	}
	executing.enter(interrupt)
	executing.exits()
}

// A server that is restarted in the middle costs one line, and nothing comes twice.
func TestRestartUnderAnExecution(t *testing.T) {
	server, dir := startServer(t)
	c := onTerminal(t, dir, []string{socketOf(server)}, "execute", "-c", "wait.yml")
	c.await("ready")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	c.await("waiting for the server")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.await("it is back")
	c.enter(interrupt)
	shown, exit := c.exits()
	if exit != 3 || strings.Count(shown, "ready") != 1 {
		t.Errorf("exit status %d, shown is\n%s", exit, shown)
	}
}

func TestColoursAndBars(t *testing.T) {
	server, dir := startServer(t)
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := os.WriteFile(filepath.Join(dir, "src", "large"), large, 0o666); err != nil {
		t.Fatal(err)
	}
	execute := []string{"execute", "-c", "hello.yml", "-i", "src=src", "-o", "report=report"}
	shown, exit := onTerminal(t, dir, []string{socketOf(server)}, execute...).exits()
	if exit != 0 || !strings.Contains(shown, "uploading src") || !strings.Contains(shown, string(green)+"succeeded") {
		t.Errorf("exit status %d, shown is\n%q", exit, shown)
	}
	shown, exit = onTerminal(t, dir, []string{socketOf(server), "NO_COLOR=1"}, execute...).exits()
	if exit != 0 || strings.Contains(shown, string(green)) || strings.Contains(shown, "\r\r\n") {
		t.Errorf("with NO_COLOR, exit status %d, shown is\n%q", exit, shown)
	}
	for _, name := range []string{"dumb", ""} {
		if err := os.WriteFile(filepath.Join(dir, "src", "large"), append(large, name...), 0o666); err != nil {
			t.Fatal(err)
		}
		shown, exit = onTerminal(t, dir, []string{socketOf(server), "TERM=" + name}, execute...).exits()
		if exit != 0 || strings.Contains(shown, "\x1b") || strings.Contains(shown, "uploading src") {
			t.Errorf("on a terminal %q, exit status %d, shown is\n%q", name, exit, shown)
		}
	}
	shown, exit = onTerminal(t, dir, []string{socketOf(server)}, append(execute, "--quiet")...).exits()
	if exit != 0 || shown != "hello from sources\r\na warning\r\n" {
		t.Errorf("quiet, exit status %d, shown is\n%q", exit, shown)
	}
}

func TestClearTaskCacheAsks(t *testing.T) {
	server, dir := startServer(t)
	for answer, want := range map[string]string{"y\n": "0 caches removed", "\n": "nothing was done", "no\n": "nothing was done"} {
		c := onTerminal(t, dir, []string{socketOf(server)}, "clear-task-cache", "-s", "one-off")
		c.await("[yN]: ")
		c.enter(answer)
		if shown, _ := c.exits(); !strings.Contains(shown, want) {
			t.Errorf("after %q, shown is\n%s", answer, shown)
		}
	}
}

// More than --max-upload is sent only when the person says so, who is told what it is.
func TestLargeUploadAsks(t *testing.T) {
	for answer, want := range map[string]struct {
		text string
		exit int
	}{"y\n": {"hello from sources", 0}, "\n": {"nothing was done", 1}} {
		server, dir := startServer(t)
		c := onTerminal(t, dir, []string{socketOf(server), "XDG_CACHE_HOME=" + t.TempDir()}, "execute", "-c", "hello.yml", "-i", "src=src", "--max-upload", "3")
		if shown := c.await("send it? [yN]: "); !strings.Contains(shown, "would send 8 B, most of it name.txt") {
			t.Errorf("the question is\n%s", shown)
		}
		c.enter(answer)
		if shown, exit := c.exits(); !strings.Contains(shown, want.text) || exit != want.exit {
			t.Errorf("after %q, exit status %d, shown is\n%s", answer, exit, shown)
		}
	}
}

// Where no terminal is, there are no control characters.
func TestWithoutTerminal(t *testing.T) {
	server, dir := startServer(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, "execute", "-c", "hello.yml", "-i", "src=src", "-o", "report=report")
	command.Dir = dir
	command.Env = append(os.Environ(), asMidge+"=1", "HOME="+dir, socketOf(server))
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if stdout.String() != "hello from sources\n" {
		t.Errorf("stdout is %q", &stdout)
	}
	if !strings.Contains(stderr.String(), "a warning\n") || bytes.ContainsAny(stderr.Bytes(), "\x1b\r") {
		t.Errorf("stderr is %q", &stderr)
	}
}

// SIGTERM aborts as an interrupt does.
func TestTerminate(t *testing.T) {
	server, dir := startServer(t)
	c := onTerminal(t, dir, []string{socketOf(server)}, "execute", "-c", "wait.yml")
	c.await("ready")
	if err := c.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if shown, exit := c.exits(); exit != 3 {
		t.Errorf("exit status %d, shown is\n%s", exit, shown)
	}
}
