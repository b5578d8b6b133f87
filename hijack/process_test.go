//go:build unix

package hijack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"midge/api"
)

// userURL has the test binary be the program at a user's terminal instead, whose
// signals and panics are its own.
const userURL = "HIJACK_TEST_URL"

func TestMain(m *testing.M) {
	if url := os.Getenv(userURL); url != "" {
		os.Exit(beUser(url))
	}
	status := m.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, "after the tests:", err)
		status = 1
	}
	os.Exit(status)
}

func beUser(url string) int {
	options := Options{
		Endpoint: Endpoint{URL: url}, Terminal: &Terminal{In: os.Stdin, Out: os.Stdout},
		Processes: []api.HijackProcess{{Path: "sh", Env: []string{"PS1=prompt> "}}},
		Stdout:    panicking{os.Stdout}, Stderr: os.Stderr,
	}
	if !IsTerminal(os.Stdin) {
		options.Terminal, options.Stdin = nil, os.Stdin
		options.Stdout = os.Stdout
		options.Processes = script("trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 1000; done")
	}
	result, err := Run(context.Background(), options)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 255
	}
	return result.ExitStatus
}

// panicking panics when it is asked to write an exclamation mark.
type panicking struct{ io.Writer }

func (p panicking) Write(data []byte) (int, error) {
	for _, c := range data {
		if c == '!' {
			panic("panicked")
		}
	}
	return p.Writer.Write(data)
}

// user gives the command that runs the test binary as a user's program.
func userCommand(server *testServer) *exec.Cmd {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), userURL+"="+server.http.URL)
	return command
}

func TestProgramsLeaveTheTerminalAsItWas(t *testing.T) {
	tests := []struct {
		name   string
		end    func(screen *screen, command *exec.Cmd) error
		status int
	}{
		{"exit", func(screen *screen, _ *exec.Cmd) error { screen.types("exit 3\r"); return nil }, 3},
		{"SIGTERM", func(_ *screen, command *exec.Cmd) error { return command.Process.Signal(syscall.SIGTERM) }, 255},
		{"SIGHUP", func(_ *screen, command *exec.Cmd) error { return command.Process.Signal(syscall.SIGHUP) }, 255},
		{"panic", func(screen *screen, _ *exec.Cmd) error { screen.types("echo a!\r"); return nil }, 2},
	}
	server := newServer(t, Config{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			screen := newScreen(t, 80, 24)
			command := userCommand(server)
			command.Stdin, command.Stdout, command.Stderr = screen.tty, screen.tty, screen.tty
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			screen.shows("prompt> ", 1)
			if err := test.end(screen, command); err != nil {
				t.Fatal(err)
			}
			command.Wait()
			if status := command.ProcessState.ExitCode(); status != test.status {
				t.Errorf("the program ended with %d, want %d; the screen shows\n%s", status, test.status, screen.shown)
			}
			screen.isRestored()
		})
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	server := newServer(t, Config{})
	command := userCommand(server)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	output := newBuffer()
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	output.await(t, "the command", func(text string) bool { return text == "ready\n" })
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	command.Wait()
	if status := command.ProcessState.ExitCode(); status != 5 || output.String() != "ready\ninterrupted\n" {
		t.Errorf("the program ended with %d and wrote %q", status, output)
	}
}

// TestBrokenPipe has nobody read the output any more.
func TestBrokenPipe(t *testing.T) {
	server := newServer(t, Config{})
	command := userCommand(server)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stderr := newBuffer()
	command.Stdout, command.Stderr = writer, stderr
	reader.Close()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	command.Wait()
	if status := command.ProcessState.ExitCode(); status != 255 || stderr.String() != "write output: write /dev/stdout: broken pipe\n" {
		t.Errorf("the program ended with %d and wrote %q", status, stderr)
	}
	if end := next(t, server.observer.ended, "the session's end").end; end.Exit == nil {
		t.Errorf("the session ended with %+v", end)
	}
}
