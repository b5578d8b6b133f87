// Package realserver runs the real programs for tests: midge-server with real
// containers, and midge against it. It needs root and what make deps installs.
//
// A server may be killed and started again on its data dir, which may be a disk of
// its own. What a test leaves on the machine is found by comparing inventories.
package realserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"midge/test/source"
)

// patience is how long is waited for what should come at once.
const patience = 2 * time.Minute

// programs is where Main has built midge, midge-server and midge-agent.
var programs string

// Main builds the programs, runs the tests and gives their exit status.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "midge-programs.")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// A task may run as somebody else, and the way to its agent must be open.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", "build", "-o", dir, "midge/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	programs = dir
	return m.Run()
}

// Options say what is special about a server. The zero value is fine for most tests.
type Options struct {
	// DataDir is its data dir; "" is one of its own.
	DataDir string
	// Args are further flags of midge-server.
	Args []string
	// Env are further variables of midge-server.
	Env []string
	// Leave has the server leave its containers when it is stopped, as it does for its
	// users. One that is started after it takes them along.
	Leave bool
}

// Server is a midge-server with a directory of its own. Its methods are for one
// goroutine at a time, but for Command.
type Server struct {
	// Dir has the socket, homes and whatever a test puts there.
	Dir string
	// DataDir is where the server keeps everything.
	DataDir string

	t       testing.TB
	options Options
	args    []string
	process *exec.Cmd
	exited  chan struct{}
	log     Output
}

// Start starts a server, which ends with the test and takes its containers along.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	if err := source.Look(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "midge-test.")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &Server{Dir: dir, DataDir: options.DataDir, t: t, options: options}
	if s.DataDir == "" {
		s.DataDir = s.Path("data")
	}
	s.args = append([]string{"--data-dir", s.DataDir, "--listen", "127.0.0.1:0",
		"--socket", s.Path("midge.sock")}, options.Args...)
	if options.Leave {
		s.Start()
	}
	s.args = append(s.args, "--destroy-on-exit")
	if !options.Leave {
		s.Start()
	}
	t.Cleanup(s.Stop)
	return s
}

// Path gives the path of a file in the server's directory.
func (s *Server) Path(name string) string { return filepath.Join(s.Dir, name) }

// Target is the server's unix socket, as the CLI names it.
func (s *Server) Target() string { return "unix://" + s.Path("midge.sock") }

// Start starts the process of a server that was killed or stopped, and waits until
// it takes requests.
func (s *Server) Start() {
	s.t.Helper()
	said := len(s.log.String())
	s.process = exec.Command(filepath.Join(programs, "midge-server"), s.args...)
	s.process.Env = append(os.Environ(), s.options.Env...)
	s.process.Stdout, s.process.Stderr = &s.log, &s.log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	s.exited = exited
	go func(process *exec.Cmd) {
		// How it ends is for those to see who wait for it.
		_ = process.Wait()
		close(exited)
	}(s.process)
	Eventually(s.t, "the server serves", func() error {
		select {
		case <-s.exited:
			s.t.Fatalf("the server ended:\n%s", s.log.String())
		default:
		}
		if !strings.Contains(s.log.String()[said:], "msg=serving") {
			return errors.New("it does not say so yet")
		}
		return nil
	})
}

// PID is the id of the server's process.
func (s *Server) PID() int { return s.process.Process.Pid }

// Log is what the server has logged, over all its starts.
func (s *Server) Log() string { return s.log.String() }

// URL is the server's address for those who log in.
func (s *Server) URL() string {
	s.t.Helper()
	log := s.log.String()
	_, rest, found := strings.Cut(log[strings.LastIndex(log, "msg=serving"):], "url=")
	url, _, _ := strings.Cut(rest, " ")
	if !found || url == "" {
		s.t.Fatalf("the server does not say its URL:\n%s", log)
	}
	return url
}

// Kill ends the server as the kernel does when memory is out. Containers stay.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.process.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
}

// AwaitKill waits until somebody else has killed the server.
func (s *Server) AwaitKill() {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Fatalf("the server was not killed:\n%s", s.log.String())
	}
	if status := s.process.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		s.t.Errorf("the server ended with %v:\n%s", s.process.ProcessState, s.log.String())
	}
}

// Dump ends the server and has it log what each of its goroutines does, for who wants to
// know why it does not do something.
func (s *Server) Dump() {
	s.t.Helper()
	if err := s.process.Process.Signal(syscall.SIGQUIT); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
	s.t.Logf("the server's log:\n%s", s.log.String())
}

// Stop ends the server as an operator does, unless it has ended.
func (s *Server) Stop() {
	s.t.Helper()
	select {
	case <-s.exited:
		return
	default:
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Error(err)
	}
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.process.Process.Signal(syscall.SIGQUIT)
		<-s.exited
		s.t.Errorf("the server did not end:\n%s", s.log.String())
	}
	if s.t.Failed() {
		s.t.Logf("the server's log:\n%s", s.log.String())
	}
}

// Command is a command of the CLI for this server, in a home of its own.
func (s *Server) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := Midge(ctx, s.Path("home"), args...)
	cmd.Dir = s.Dir
	cmd.Env = append(cmd.Env, "MIDGE_TARGET="+s.Target())
	return cmd
}

// Midge is a command of the CLI in a home, for a server that the home or the arguments name.
func Midge(ctx context.Context, home string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "midge"), args...)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=")
	return cmd
}

// ServerCommand is a command of midge-server.
func ServerCommand(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, filepath.Join(programs, "midge-server"), args...)
}

// Result is what a command did.
type Result struct {
	Stdout, Stderr string
	Status         int
}

// Midge runs a command of the CLI to its end.
func (s *Server) Midge(args ...string) Result {
	s.t.Helper()
	return Run(s.t, s.Command(s.t.Context(), args...))
}

// Run runs a command to its end.
func Run(t testing.TB, cmd *exec.Cmd) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Its goroutines say where it hangs.
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(syscall.SIGABRT) })
	defer timer.Stop()
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Want checks an exit status and words that have to be in what was printed.
func (r Result) Want(t testing.TB, status int, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(r.Stdout+r.Stderr, word) {
			t.Errorf("nothing says %q in\n%s%s", word, r.Stdout, r.Stderr)
		}
	}
	if r.Status != status {
		t.Errorf("exit status %d, want %d:\n%s%s", r.Status, status, r.Stdout, r.Stderr)
	}
}

// Script writes a task that runs a shell script on the host image, with what else
// the task file has, and gives its path.
func (s *Server) Script(name, script, rest string) string {
	s.t.Helper()
	indented := strings.ReplaceAll(strings.TrimSpace(script), "\n", "\n    ")
	return s.Write(name+".yml", "platform: linux\nrun:\n  path: sh\n  args:\n  - -c\n  - |\n    "+indented+"\n"+rest)
}

// Write writes a file in the server's directory and gives its path.
func (s *Server) Write(name, text string) string {
	s.t.Helper()
	path := s.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// Eventually waits for something to be so of which nobody tells.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after %v: %v", what, patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Output collects what a process prints, while others read it.
type Output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

// String is what was written until now.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}
