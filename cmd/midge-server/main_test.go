package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// serverEnv tells a copy of the test program to be midge-server.
const serverEnv = "MIDGE_SERVER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// program gives midge-server with those arguments, on a data dir and a socket in dir.
func program(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	agent, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), os.Args[0], append([]string{
		"--data-dir", filepath.Join(dir, "data"), "--socket", filepath.Join(dir, "midge.sock"), "--listen", "127.0.0.1:0",
		"--agent-path", agent,
	}, args...)...)
	command.Env = append(os.Environ(), serverEnv+"=1")
	return command
}

// shortDir is a directory whose path leaves room for the name of a socket, and that
// others than root can enter.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "midge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantFailure checks that the program fails with one line, and leaves nothing.
func wantFailure(t *testing.T, dir string, command *exec.Cmd, want string) {
	t.Helper()
	before := namesIn(t, dir)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	err := command.Run()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
	if got := stderr.String(); !strings.HasPrefix(got, "midge-server: ") || !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q, want one line with %q", got, want)
	}
	if after := namesIn(t, dir); after != before {
		t.Errorf("it has left\n%s\nbefore there was\n%s", after, before)
	}
}

func namesIn(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, "\n")
}

func TestWithoutRuntime(t *testing.T) {
	dir := shortDir(t)
	command := program(t, dir)
	command.Env = append(command.Env, "PATH="+dir)
	wantFailure(t, dir, command, "there is no OCI runtime on PATH")
}

func TestWithoutRoot(t *testing.T) {
	dir := shortDir(t)
	command := program(t, dir)
	command.Path = copyOfProgram(t, dir)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	wantFailure(t, dir, command, "none for nobody")
}

// A server whose workers are clusters needs nothing of this machine that root has.
func TestClusterWithoutRoot(t *testing.T) {
	dir := shortDir(t)
	command := program(t, dir, "--runtime", "kubernetes", "--kubeconfig", filepath.Join(dir, "none"), "--agent-image", "midge")
	command.Path = copyOfProgram(t, dir)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "there is no kubeconfig") {
		t.Errorf("it gave %q, %v", out, err)
	}
}

// copyOfProgram puts the test program where everybody can run it.
func copyOfProgram(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "program")
	from, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// pathWithout gives a PATH that has an OCI runtime, and nothing of what else a server uses.
func pathWithout(t *testing.T, dir string) string {
	t.Helper()
	program, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, "runc")); err != nil {
		t.Fatal(err)
	}
	return "PATH=" + bin
}

func TestWithoutBridge(t *testing.T) {
	dir := shortDir(t)
	path := pathWithout(t, dir)
	refused := program(t, dir)
	refused.Env = append(refused.Env, path)
	wantFailure(t, dir, refused, "the bridge network of containers cannot be had: the program nft is missing: install containernetworking-plugins and nftables; or give them another: --network=host")

	fallback := program(t, dir, "--network-fallback=host")
	fallback.Env = append(fallback.Env, path)
	stderr, err := fallback.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := fallback.Start(); err != nil {
		t.Fatal(err)
	}
	log := bufio.NewScanner(stderr)
	if line := waitForLine(t, log, "containers do not have the bridge network"); !strings.Contains(line, "instead=host") {
		t.Errorf("the server says %q", line)
	}
	waitForLine(t, log, "msg=serving")
	if err := fallback.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := fallback.Wait(); err != nil {
		t.Error(err)
	}
}

func TestWithoutAgent(t *testing.T) {
	dir := shortDir(t)
	wantFailure(t, dir, program(t, dir, "--agent-path", filepath.Join(dir, "none")), "midge-agent is missing")
}

// start starts the program and waits until it says that it serves. It gives the
// rest of its log.
func start(t *testing.T, command *exec.Cmd) *bufio.Scanner {
	t.Helper()
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	log := bufio.NewScanner(stderr)
	line := waitForLine(t, log, "msg=serving")
	for _, want := range []string{"url=http://127.0.0.1:", "socket=", "data_dir=", "workers="} {
		if !strings.Contains(line, want) {
			t.Errorf("the server says %q, want something with %s", line, want)
		}
	}
	return log
}

func waitForLine(t *testing.T, log *bufio.Scanner, text string) string {
	t.Helper()
	last := ""
	for log.Scan() {
		if last = log.Text(); strings.Contains(last, text) {
			return last
		}
	}
	t.Fatalf("the server ended before it said %q; last it said %q", text, last)
	return ""
}

func TestSignalsStopTheServer(t *testing.T) {
	for signal, becomes := range map[syscall.Signal]string{syscall.SIGTERM: "builds that run go on", syscall.SIGINT: "containers are destroyed"} {
		dir := shortDir(t)
		command := program(t, dir, "--destroy-on-exit="+strconv.FormatBool(signal == syscall.SIGINT))
		log := start(t, command)
		if err := command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		waitForLine(t, log, becomes)
		if err := command.Wait(); err != nil {
			t.Errorf("after %v: %v, want exit status 0", signal, err)
		}
		if names := namesIn(t, dir); names != "data" {
			t.Errorf("after %v there is %q, want the data dir alone", signal, names)
		}
	}
}

func TestSecondSignalLeavesAtOnce(t *testing.T) {
	dir := shortDir(t)
	// A plugin that was at work for the bridge would outlive the server, and the test.
	command := program(t, dir, "--shutdown-timeout", "1h", "--network", "host")
	log := start(t, command)
	// A request that never ends holds up the first signal.
	conn, err := net.Dial("unix", filepath.Join(dir, "midge.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /api/v1/teams/main/artifacts HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{"shutting down", "leaving at once"} {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		waitForLine(t, log, said)
	}
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
}

// A server that was killed is followed by another on the same data dir and socket.
func TestKilledServerIsFollowed(t *testing.T) {
	dir := shortDir(t)
	// A plugin that was at work for the bridge would outlive the first server.
	first := program(t, dir, "--network", "host")
	start(t, first)
	wantSecond := program(t, dir, "--socket", filepath.Join(dir, "other.sock"))
	wantFailure(t, dir, wantSecond, "is in use by another server")
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	second := program(t, dir, "--network", "host")
	start(t, second)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "midge.sock"))
	}}}
	response, err := client.Get("http://midge/api/v1/info")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v", response, err)
	}
	response.Body.Close()
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Error(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
