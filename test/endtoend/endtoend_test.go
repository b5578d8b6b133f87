// Package endtoend tests midge as its users meet it: the real binaries, a real
// server, real containers. It needs root and what make deps installs.
package endtoend

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"midge/test/source"
)

// binaries is where TestMain has built midge, midge-server and midge-agent.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "midge-endtoend.")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// A task may run as somebody else, and the way to its tools must be open.
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
	binaries = dir
	return m.Run()
}

// patience is how long a test waits for what should come at once.
const patience = 10 * time.Minute

// server is a midge-server that a test started.
type server struct {
	t       *testing.T
	dir     string // data, socket and home are below it
	socket  string
	wrap    []string // a program that runs the server, and its arguments; nil for none
	args    []string
	process *exec.Cmd
	exited  chan struct{}
	log     *output
}

// startServer starts a server with a data directory of its own, and at the end of
// the test stops it and checks that nothing of it is left on the machine.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := newServer(t, args...)
	s.serve()
	return s
}

// newServer makes the directory of a server.
func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	if err := source.Look(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "midge-test.")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir, socket: filepath.Join(dir, "midge.sock")}
	s.args = append([]string{"--data-dir", s.path("data"), "--listen", "127.0.0.1:0",
		"--socket", s.socket, "--destroy-on-exit"}, args...)
	return s
}

// serve starts the server for as long as the test runs.
func (s *server) serve() {
	s.t.Helper()
	s.start()
	s.t.Cleanup(func() {
		s.stop()
		s.checkNothingLeft()
	})
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) target() string { return "unix://" + s.socket }

// start starts the server's process and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	s.log = new(output)
	line := slices.Concat(s.wrap, []string{filepath.Join(binaries, "midge-server")}, s.args)
	s.process = exec.Command(line[0], line[1:]...)
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan struct{})
	go func() {
		s.process.Wait()
		close(s.exited)
	}()
	eventually(s.t, "the server is ready", func() error {
		select {
		case <-s.exited:
			s.t.Fatalf("the server ended:\n%s", s.log)
		default:
		}
		return exec.Command(filepath.Join(binaries, "midge"), "status", "-t", s.target()).Run()
	})
}

// kill ends the server as a power cut would, leaving its containers.
func (s *server) kill() {
	s.t.Helper()
	if err := s.process.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
}

// stop ends the server as an operator would.
func (s *server) stop() {
	s.t.Helper()
	select {
	case <-s.exited:
		return
	default:
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.process.Process.Kill()
		s.t.Errorf("the server did not end:\n%s", s.log)
	}
	if s.t.Failed() {
		s.t.Logf("the server's log:\n%s", s.log)
	}
}

// checkNothingLeft checks that the machine has no mount, process or cgroup of the server.
func (s *server) checkNothingLeft() {
	s.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, s.dir) {
			s.t.Errorf("a mount is left: %s", line)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range processes {
		text, err := os.ReadFile(file)
		if err == nil && bytes.Contains(text, []byte(s.dir)) {
			s.t.Errorf("a process is left: %s", bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
		}
	}
}

// result is what a command did.
type result struct {
	stdout, stderr string
	status         int
}

// command is a command of the CLI for this server, in a home of its own.
func (s *server) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(binaries, "midge"), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.path("home"), "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "MIDGE_TARGET="+s.target())
	return cmd
}

// midge runs a command of the CLI to its end.
func (s *server) midge(args ...string) result {
	s.t.Helper()
	return runCommand(s.t, s.command(args...))
}

func runCommand(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Signal(syscall.SIGABRT) })
	defer timer.Stop()
	cmd.Wait()
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// want checks an exit status and words that have to be in what was printed.
func (r result) want(t *testing.T, status int, words ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d", r.status, status)
	}
	for _, word := range words {
		if !strings.Contains(r.stdout+r.stderr, word) {
			t.Errorf("nothing says %q", word)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", r.stdout, r.stderr)
	}
}

// wantError checks a status that is not 0 and one sentence on stderr.
func (r result) wantError(t *testing.T, status int, words ...string) {
	t.Helper()
	r.want(t, status, words...)
	if lines := strings.Count(strings.TrimSpace(r.stderr), "\n"); lines > 3 {
		t.Errorf("the error has %d lines:\n%s", lines+1, r.stderr)
	}
}

// task writes a task file below the server's directory and gives its path.
func (s *server) task(name, text string) string {
	s.t.Helper()
	path := s.path(name + ".yml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// script is a task that runs a shell script on the host image, with what else the task file has.
func (s *server) script(name, script, rest string) string {
	s.t.Helper()
	indented := strings.ReplaceAll(strings.TrimSpace(script), "\n", "\n    ")
	return s.task(name, "platform: linux\nrun:\n  path: sh\n  args:\n  - -ec\n  - |\n    "+indented+"\n"+rest)
}

// write writes files below the server's directory.
func (s *server) write(files map[string]string) {
	s.t.Helper()
	for name, text := range files {
		path := s.path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) wantFile(name, text string) {
	s.t.Helper()
	got, err := os.ReadFile(s.path(name))
	if err != nil || string(got) != text {
		s.t.Errorf("%s: %q, %v; want %q", name, got, err, text)
	}
}

// eventually waits for something outside of the test's reach to be so.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not so after %v: %v", what, patience, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// output collects what a process prints, while others read it.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}
