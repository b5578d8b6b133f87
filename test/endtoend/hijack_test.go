package endtoend

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// A container that could not be made is not held, and whoever looks for it is told why.
func TestContainerThatWasNotMade(t *testing.T) {
	s := startServer(t, "--network", "host")
	r := s.midge("execute", "-c", s.task("task", "platform: linux\nrootfs_uri: raw:///no/such\nrun: {path: sh}\n"), "--hold", "1h")
	r.want(t, 2, "errored")
	if strings.Contains(r.stderr, "midge hijack") {
		t.Errorf("a container that is not there is offered:\n%s", r.stderr)
	}
	const reason = "could not be made, so there is nothing to look into: why, midge watch -b 1 says"
	for _, args := range [][]string{{"hijack", "-b", "1", "--", "true"}, {"ls", "1"}, {"diff", "1"}} {
		r := s.midge(args...)
		r.wantError(t, 1, reason)
		if strings.Contains(r.stderr, "{") {
			t.Errorf("midge %s says\n%s", strings.Join(args, " "), r.stderr)
		}
	}
}

// A failed task says how to look into its container, and what is there is as it left it.
func TestHijackFailed(t *testing.T) {
	s := startServer(t)
	task := s.script("task", "echo found > src/result; cd src; exit 3", "inputs: [{name: src}]\nparams: {COLOR: blue}\n")
	s.write(map[string]string{"src/file": "x"})
	s.midge("execute", "-c", task, "-i", "src=src", "--hold", "1h").want(t, 3, "held for 1h: midge hijack -b 1")
	r := s.midge("hijack", "-b", "1", "--", "sh", "-c", `cat src/result; echo $COLOR; echo bad >&2; exit 7`)
	r.want(t, 7)
	if r.stdout != "found\nblue\n" || r.stderr != "bad\n" {
		t.Errorf("stdout is %q, stderr %q", r.stdout, r.stderr)
	}
	s.midge("hijack", "--", "nosuch").want(t, 255, "nosuch")
	s.midge("hijack", "--", "/etc").want(t, 255, "/etc")
}

// What goes through a command is the same bytes on both sides.
func TestHijackPipes(t *testing.T) {
	s := startServer(t)
	s.midge("execute", "-c", s.script("task", "exit 1", "")).want(t, 1)
	content := make([]byte, 20<<20)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(content)
	cmd := s.command("hijack", "-b", "1", "--", "sh", "-c", "tee copy; sha256sum copy >&2")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(content), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if !bytes.Equal(stdout.Bytes(), content) {
		t.Errorf("%d bytes came back, and not those that were sent", stdout.Len())
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(content)); !strings.Contains(stderr.String(), sum) {
		t.Errorf("stderr is %q, want the sum %s", stderr.String(), sum)
	}
}

// A shell in a container has a terminal of the user's size, and outlives the server
// that it came through.
func TestHijackShell(t *testing.T) {
	s := startServer(t)
	s.midge("execute", "-c", s.script("task", "exit 1", "")).want(t, 1)
	cmd := s.command("hijack")
	cmd.Env = append(cmd.Env, "TERM=xterm")
	shell := startScreen(t, cmd)
	shell.write("stty size; kept=still; echo \"$kept-here\"\r")
	shell.waitFor("31 97")
	shell.waitFor("still-here")
	if err := pty.Setsize(shell.terminal, &pty.Winsize{Rows: 20, Cols: 61}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container's terminal has the new size", func() error {
		shell.write("stty size\r")
		if !strings.Contains(shell.shown.String(), "20 61") {
			return fmt.Errorf("the terminal shows %q", shell.shown.String())
		}
		return nil
	})
	s.midge("hijack", "--list").want(t, 0, "one-off", "bash")

	s.kill()
	s.start()
	shell.waitFor("reconnected after")
	shell.write("echo \"$kept-there\"\r")
	shell.waitFor("still-there")
	shell.write("exit 5\r")
	if got := shell.wait(); got != 5 {
		t.Errorf("exit status %d, want 5; the terminal shows %q", got, shell.shown.String())
	}
}
