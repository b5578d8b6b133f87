package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"midge/server/servertest"
)

// nobody is the user that a test of root runs midge as, to be refused something.
const nobody = 65534

// midgeCommand gives a midge that runs in dir and has its home there.
func midgeCommand(t *testing.T, dir string, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), asMidge+"=1", "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"))
	command.Env = append(command.Env, environment...)
	return command
}

// unprivileged gives a midge that is not root's. Its binary and dir are made readable
// for it.
func unprivileged(t *testing.T, dir string, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "midge")
	copyFile(t, self, binary)
	command := exec.Command(binary, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), asMidge+"=1", "HOME="+dir, "XDG_CONFIG_HOME="+dir)
	command.Env = append(command.Env, environment...)
	if os.Geteuid() != 0 {
		return command
	}
	for _, path := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return command
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
}

// failsWith runs a command that is to fail, and checks what it says on stderr.
func failsWith(t *testing.T, command *exec.Cmd, want string) {
	t.Helper()
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Run(); err == nil {
		t.Error("it does not fail")
	}
	if got := stderr.String(); got != want {
		t.Errorf("stderr is %q, want %q", got, want)
	}
}

func TestUnreadableInput(t *testing.T) {
	server, dir := startServer(t)
	token, err := server.Login(t.Context(), servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	environment := []string{"MIDGE_TARGET=" + server.URL, "MIDGE_TOKEN=" + token}
	const want = "midge: the input \"src\" cannot be sent: "
	for _, name := range []string{"secret", "closed"} {
		path := filepath.Join(dir, "src", name)
		if name == "closed" {
			err = os.Mkdir(path, 0)
		} else {
			err = os.WriteFile(path, []byte("x"), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		command := unprivileged(t, dir, environment, "execute", "-c", "hello.yml", "-i", "src=src")
		var stderr bytes.Buffer
		command.Stderr = &stderr
		if err := command.Run(); err == nil || !strings.HasPrefix(stderr.String(), want) ||
			!strings.Contains(stderr.String(), name) || !strings.HasSuffix(stderr.String(), "change its permissions, or name it in .midgeignore\n") {
			t.Errorf("%v, stderr is %q", err, &stderr)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnreadableTaskFile(t *testing.T) {
	server, dir := startServer(t)
	if err := os.Chmod(filepath.Join(dir, "hello.yml"), 0); err != nil {
		t.Fatal(err)
	}
	failsWith(t, unprivileged(t, dir, []string{socketOf(server)}, "execute", "-c", "hello.yml"),
		"midge: the task file cannot be read: open "+filepath.Join(dir, "hello.yml")+": permission denied\n")
}

func TestForbiddenSocket(t *testing.T) {
	server, dir := startServer(t)
	if err := os.Chmod(filepath.Dir(server.Socket), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(server.Socket, 0); err != nil {
		t.Fatal(err)
	}
	failsWith(t, unprivileged(t, dir, []string{socketOf(server)}, "builds"),
		"midge: you may not use the server's socket "+server.Socket+
			"; join the group midge, or log in over TCP with: midge -t local login -c http://127.0.0.1:8080\n")
}

// A proxy that does not answer, or not as a server does, is named.
func TestProxyIsNamed(t *testing.T) {
	dir := t.TempDir()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>who are you?</html>") }))
	proxy := "http_proxy=" + page.URL
	failsWith(t, midgeCommand(t, dir, []string{proxy}, "-t", "http://midge.invalid", "builds"),
		"midge: http://midge.invalid does not answer like a midge or Concourse server: it sent a page of HTML, by the proxy "+
			page.Listener.Addr().String()+"; look at its URL with \"midge targets\"\n")
	page.Close()
	failsWith(t, midgeCommand(t, dir, []string{proxy}, "-t", "http://midge.invalid", "builds"),
		"midge: no server answers at http://midge.invalid (connection refused, by the proxy "+
			page.Listener.Addr().String()+"); look at its URL with \"midge targets\", or choose another with --target\n")
}

// Without a home targets cannot be saved, and all else works.
func TestWithoutHome(t *testing.T) {
	server, dir := startServer(t)
	without := func(args ...string) *exec.Cmd {
		command := unprivileged(t, dir, nil, args...)
		command.SysProcAttr = nil
		command.Env = []string{asMidge + "=1", socketOf(server)}
		return command
	}
	if output, err := without("execute", "-c", "hello.yml", "-i", "src=src", "--quiet").Output(); err != nil || string(output) != "hello from sources\n" {
		t.Errorf("%q, %v", output, err)
	}
	failsWith(t, without("-t", "ci", "login", "-c", server.URL, "-u", servertest.User, "-p", servertest.Password),
		"midge: there is no place for saved targets; set HOME\n")
}

// midge server is the midge-server beside it, with all that follows.
func TestServerIsTheOneBeside(t *testing.T) {
	dir := t.TempDir()
	command := unprivileged(t, dir, []string{"PATH=" + os.Getenv("PATH")}, "server", "--data-dir", "/x", "-t", "y", "--help")
	script := "#!/bin/sh\necho \"$@\"\nexit 9\n"
	if err := os.WriteFile(filepath.Join(dir, "midge-server"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	output, _ := command.Output()
	if string(output) != "--data-dir /x -t y --help\n" || command.ProcessState.ExitCode() != 9 {
		t.Errorf("exit status %d, output %q", command.ProcessState.ExitCode(), output)
	}

	lonely := t.TempDir()
	failsWith(t, unprivileged(t, lonely, []string{"PATH=" + lonely}, "server"),
		"midge: midge-server is neither beside midge nor on the PATH; build it with: make build\n")
}

func TestVerbose(t *testing.T) {
	server, dir := startServer(t)
	command := unprivileged(t, dir, []string{socketOf(server)}, "builds", "--verbose")
	command.SysProcAttr = nil
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Run(); err != nil || !strings.HasPrefix(stderr.String(), "> GET /api/v1/builds?limit=50 < 200 OK (") {
		t.Errorf("%v, stderr is %q", err, &stderr)
	}
}

// What a task prints and stdout does not take is not lost without a word.
func TestFullStdout(t *testing.T) {
	server, dir := startServer(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, test := range []struct {
		args   string
		status int
	}{
		{"execute --quiet -c hello.yml -i src=src", 1},
		{"execute --quiet -c fail.yml", 7},
		{"execute --json -c fail.yml", 7},
		{"watch --quiet -b 2", 7},
		{"builds", 1},
	} {
		command := midgeCommand(t, dir, []string{socketOf(server)}, strings.Fields(test.args)...)
		var stderr bytes.Buffer
		command.Stdout, command.Stderr = full, &stderr
		_ = command.Run()
		want := "midge: write /dev/stdout: no space left on device\n"
		if got := command.ProcessState.ExitCode(); got != test.status || !strings.HasSuffix(stderr.String(), want) || strings.Count(stderr.String(), want) != 1 {
			t.Errorf("%s: exit status %d, want %d; stderr is %q", test.args, got, test.status, &stderr)
		}
	}
}

// Who stops reading gets no words about it, and the status of a program that SIGPIPE has ended.
func TestUnreadStdout(t *testing.T) {
	server, dir := startServer(t)
	buildOfTasks(t, server, "unit")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	for _, args := range []string{"hijack -b 1 -- echo unread", "hijack -b 1 --json -- echo unread"} {
		command := midgeCommand(t, dir, []string{socketOf(server)}, strings.Fields(args)...)
		var stderr bytes.Buffer
		command.Stdout, command.Stderr = writer, &stderr
		_ = command.Run()
		if got := command.ProcessState.ExitCode(); got != 141 || stderr.Len() > 0 {
			t.Errorf("%s: exit status %d, stderr is %q", args, got, &stderr)
		}
	}
}
