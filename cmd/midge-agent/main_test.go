package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// agentEnv has this test's program be midge-agent.
const agentEnv = "MIDGE_TEST_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(agentEnv) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// program gives midge-agent with those arguments.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), agentEnv+"=1")
	return cmd
}

// wantRefusal runs a program that is to fail, and to say why in one sentence that has
// those words.
func wantRefusal(t *testing.T, cmd *exec.Cmd, words ...string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("it ended with %v, want status 1", err)
	}
	text, ended := strings.CutSuffix(stderr.String(), "\n")
	if !ended || strings.Contains(text, "\n") || !strings.HasPrefix(text, "midge-agent: ") {
		t.Errorf("it says %q, want one line that begins with its name", stderr.String())
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("it says %q, want %q in that", text, word)
		}
	}
}

// Who starts it by hand, or as no server does, is told so, and nothing is made.
func TestRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	notDirectory := write(t, t.TempDir(), "file", "")
	garbage := t.TempDir()
	write(t, garbage, "agent.json", "garbage")
	for name, test := range map[string]struct {
		args  []string
		words []string
	}{
		"no arguments":                {nil, []string{"by hand", "[]"}},
		"unknown mode":                {[]string{"nonsense"}, []string{"by hand", `"nonsense"`}},
		"help":                        {[]string{"--help"}, []string{"by hand"}},
		"init with more":              {[]string{"init", "x"}, []string{"by hand", `"init" "x"`}},
		"init outside of a container": {[]string{"init"}, []string{"not in a container"}},
		"supervise nothing":           {[]string{"supervise"}, []string{"by hand"}},
		"supervise what is missing":   {[]string{"supervise", missing}, []string{missing, "no such file"}},
		"supervise a file":            {[]string{"supervise", notDirectory}, []string{notDirectory, "not a directory"}},
		"supervise nobody's":          {[]string{"supervise", t.TempDir()}, []string{"agent.json", "no such file"}},
		"supervise garbage":           {[]string{"supervise", garbage}, []string{"agent.json", "invalid character"}},
		"supervise in a namespace":    {[]string{"supervise", garbage, "nonsense"}, []string{`"nonsense" is no namespace`}},
		"try what is missing":         {[]string{"try", missing}, []string{missing, "no such file"}},
		"try garbage":                 {[]string{"try", garbage}, []string{"agent.json", "invalid character"}},
		"pod without a directory":     {[]string{"pod"}, []string{"by hand"}},
		"pod where nothing is":        {[]string{"pod", missing}, []string{missing, "no such file"}},
		"pod-connect to nobody":       {[]string{"pod-connect", missing}, []string{missing, "no such file"}},
		"pod-exchange with garbage":   {[]string{"pod-exchange", missing}, []string{"ask what is to be done"}},
		"pod-install no number":       {[]string{"pod-install", garbage, "x"}, []string{`"x" is no number of volumes`}},
		"pod-install less than none":  {[]string{"pod-install", garbage, "-1"}, []string{`"-1" is no number of volumes`}},
		"pod-install where nothing":   {[]string{"pod-install", missing, "1"}, []string{missing, "no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // one waits for a pod that is being started
			cmd := program(t, test.args...)
			cmd.Stdin = strings.NewReader("garbage\n")
			// Where a supervisor is to say how it went.
			ready, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer ready.Close()
			cmd.ExtraFiles = []*os.File{ready}
			wantRefusal(t, cmd, test.words...)
			if _, err := os.Lstat(missing); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it has made %s (%v)", missing, err)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// alone has a program be the first process of a namespace of its own.
func alone(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	return cmd
}

// The first process of a container obeys its supervisor alone, and ends when that
// speaks what it does not understand.
func TestInitRefusesOtherSupervisors(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		wantRefusal(t, alone(program(t, "init")), "supervisor")
	})
	t.Run("a file", func(t *testing.T) {
		file, err := os.Open(write(t, t.TempDir(), "file", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		cmd := alone(program(t, "init"))
		cmd.ExtraFiles = []*os.File{file}
		wantRefusal(t, cmd, "supervisor", "socket")
	})
	for name, test := range map[string]struct{ sent, word string }{
		"garbage":            {"GET / HTTP/1.1\r\n\r\n", "version 71"},
		"a cut frame":        {"\x01s\x00\x00\x00\x00\x00\x10{", "unexpected EOF"},
		"an enormous frame":  {"\x01s\x00\x00\xff\xff\xff\xff", "over the limit"},
		"an unknown frame":   {"\x01?\x00\x00\x00\x00\x00\x00", `'?'`},
		"files that lack":    {"\x01s\x03\x00\x00\x00\x00\x02{}", "3 files"},
		"what is no request": {"\x01s\x00\x00\x00\x00\x00\x03[1]", "decode"},
	} {
		t.Run(name, func(t *testing.T) {
			supervisor, inherited := socketPair(t)
			cmd := alone(program(t, "init"))
			cmd.ExtraFiles = []*os.File{inherited}
			if _, err := io.WriteString(supervisor, test.sent); err != nil {
				t.Fatal(err)
			}
			if err := supervisor.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, cmd, test.word)
		})
	}
}

// socketPair gives the ends of a supervisor and of the first process.
func socketPair(t *testing.T) (supervisor *net.UnixConn, inherited *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[0]), "supervisor")
	defer file.Close()
	inherited = os.NewFile(uintptr(fds[1]), "inherited")
	t.Cleanup(func() { inherited.Close() })
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	supervisor, ok := conn.(*net.UnixConn)
	if !ok {
		t.Fatalf("a %T is no unix socket", conn)
	}
	return supervisor, inherited
}

// Its work done it ends well.
func TestEndsWell(t *testing.T) {
	t.Run("hold", func(t *testing.T) {
		if out, err := program(t, "hold").CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %q", err, out)
		}
	})
	t.Run("init when its supervisor goes", func(t *testing.T) {
		supervisor, inherited := socketPair(t)
		if err := supervisor.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		cmd := alone(program(t, "init"))
		cmd.ExtraFiles = []*os.File{inherited}
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %q", err, out)
		}
	})
	t.Run("pod-install", func(t *testing.T) {
		dir := t.TempDir()
		if out, err := program(t, "pod-install", dir, "2").CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %q", err, out)
		}
		for _, name := range []string{"midge-agent", "volumes/0", "volumes/1"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
	})
}
