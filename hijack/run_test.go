package hijack

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"midge/api"
)

func TestRunWithoutTerminal(t *testing.T) {
	tests := []struct {
		name, script, stdin string
		stdout, stderr      string
		status              int
	}{
		{"streams apart, exit status", "echo out; echo bad >&2; exit 7", "", "out\n", "bad\n", 7},
		{"input and its end", "cat; echo end", "one\ntwo", "one\ntwoend\n", "", 0},
		{"environment and directory", "echo $GREETING; pwd", "", "hello\n/work\n", "", 0},
		{"no terminal", "if [ -t 0 ] || [ -t 1 ]; then echo tty; else echo pipe; fi", "", "pipe\n", "", 0},
		{"input that nobody reads", "exit 3", strings.Repeat("x", 100_000), "", "", 3},
		{"killed", "kill -KILL $$", "", "", "", 137},
	}
	for _, fly := range []bool{false, true} {
		server := newServer(t, Config{})
		server.flyOnly = fly
		for _, test := range tests {
			name := test.name
			if fly {
				name += ", by fly's wire"
			}
			t.Run(name, func(t *testing.T) {
				run := begin(t, Options{Endpoint: server.endpoint(), Processes: script(test.script), Stdin: strings.NewReader(test.stdin)})
				run.exits(test.status)
				if run.stdout.String() != test.stdout || run.stderr.String() != test.stderr {
					t.Errorf("stdout %q, stderr %q; want %q, %q", run.stdout, run.stderr, test.stdout, test.stderr)
				}
			})
		}
		server.forgotten()
	}
}

func TestRunIsEightBitClean(t *testing.T) {
	data := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(data)
	want := sha256.Sum256(data)
	for _, fly := range []bool{false, true} {
		server := newServer(t, Config{})
		server.flyOnly = fly
		run := begin(t, Options{Endpoint: server.endpoint(), Processes: script("cat"), Stdin: bytes.NewReader(data)})
		run.exits(0)
		if got := sha256.Sum256([]byte(run.stdout.String())); got != want {
			t.Errorf("fly %v: %d bytes came back, other than the %d that were sent", fly, len(run.stdout.String()), len(data))
		}
	}
}

func TestRunTriesCommandsInTurn(t *testing.T) {
	for _, fly := range []bool{false, true} {
		server := newServer(t, Config{})
		server.flyOnly = fly
		run := begin(t, Options{
			Endpoint: server.endpoint(), Stdin: strings.NewReader("echo from sh\n"),
			Processes: []api.HijackProcess{{Path: "bash"}, {Path: "sh"}},
		})
		run.exits(0)
		if got := run.stdout.String(); got != "from sh\n" {
			t.Errorf("fly %v: stdout is %q", fly, got)
		}
	}
}

func TestRunOfWhatCannotRun(t *testing.T) {
	tests := []struct {
		name          string
		process       api.HijackProcess
		code, message string
	}{
		{"not there", api.HijackProcess{Path: "/no/such"}, CodeNotFound, "cannot run /no/such: "},
		{"not on the path", api.HijackProcess{Path: "nosuch"}, CodeNotFound, "cannot run nosuch: "},
		{"a directory", api.HijackProcess{Path: "/bin"}, CodeNotExecutable, "cannot run /bin: "},
		{"not executable", api.HijackProcess{Path: "/etc/passwd"}, CodeNotExecutable, "cannot run /etc/passwd: "},
		{"no directory", api.HijackProcess{Path: "sh", Dir: "/no/such"}, CodeRefused, "cannot run sh: "},
		{"no user", api.HijackProcess{Path: "sh", User: "nosuch"}, CodeRefused, "cannot run sh: "},
		{"nothing", api.HijackProcess{}, CodeRefused, "no command was given"},
	}
	server := newServer(t, Config{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result := begin(t, Options{Endpoint: server.endpoint(), Processes: []api.HijackProcess{test.process}, Stdin: strings.NewReader("")}).wait()
			var report *Error
			if !errors.As(result.err, &report) || report.Code != test.code || !strings.HasPrefix(report.Message, test.message) {
				t.Errorf("got %+v, want the code %s and a message that begins with %q", result, test.code, test.message)
			}
		})
	}
	server.forgotten()
}

func TestRunOfWhatHasNoAnswer(t *testing.T) {
	server := newServer(t, Config{})
	server.http.Close()
	result := begin(t, Options{Endpoint: server.endpoint(), Processes: script("true"), Stdin: strings.NewReader("")}).wait()
	if result.err == nil || !strings.Contains(result.err.Error(), "connection refused") {
		t.Errorf("got %+v", result)
	}
}

func TestRunWithFailingOutput(t *testing.T) {
	server := newServer(t, Config{})
	reader, writer := io.Pipe()
	reader.Close()
	run := begin(t, Options{Endpoint: server.endpoint(), Processes: script("yes"), Stdin: nothing(t), Stdout: writer})
	if result := run.wait(); !errors.Is(result.err, io.ErrClosedPipe) {
		t.Errorf("got %+v", result)
	}
	// What nobody will read is ended, and not kept for an hour.
	if end := next(t, server.observer.ended, "the session's end").end; end.Exit == nil || end.Exit.Signal != "HUP" {
		t.Errorf("the session ended with %+v", end)
	}
}

func TestRunInTheTasksDirectory(t *testing.T) {
	server := newServer(t, Config{})
	begin(t, Options{Endpoint: server.endpoint(), Processes: script("mkdir sub"), Stdin: strings.NewReader("")}).exits(0)
	asks := script("pwd")
	asks[0].InTaskDir = true
	for _, test := range []struct {
		name, taskDir string
		processes     []api.HijackProcess
		want          string
	}{
		{"where the task began", "sub", asks, "/work/sub\n"},
		{"not asked for", "sub", script("pwd"), "/work\n"},
		{"not known", "", asks, "/work\n"},
		{"not there any more", "gone", asks, "/work\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server.taskDir = test.taskDir
			run := begin(t, Options{Endpoint: server.endpoint(), Processes: test.processes, Stdin: strings.NewReader("")})
			run.exits(0)
			if got := run.stdout.String(); got != test.want {
				t.Errorf("it ran in %q, want %q", got, test.want)
			}
		})
	}
}
