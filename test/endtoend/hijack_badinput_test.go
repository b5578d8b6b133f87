package endtoend

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// What cannot be run has the status 255 and is named.
func testHijackNotRun(t *testing.T, s *server) {
	for _, test := range []struct{ command, says string }{
		{"nosuch", "cannot run nosuch: "},
		{"/no/such", "cannot run /no/such: "},
		{"/etc", "cannot run /etc: "},
		{"/etc/passwd", "cannot run /etc/passwd: "},
		{"./numbers", "cannot run ./numbers: "},
	} {
		s.midge("hijack", "-b", "1", "--", test.command).wantError(t, 255, test.says)
	}
}

// Fifty commands in one container get their own input each.
func testHijackFifty(t *testing.T, s *server) {
	const count = 50
	var commands []*exec.Cmd
	var outputs [count]bytes.Buffer
	for i := range count {
		cmd := s.command("hijack", "-b", "1", "--", "sh", "-c", "read line; echo got $line; exit $line")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(fmt.Sprintf("%d\n", i)), &outputs[i], &outputs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		commands = append(commands, cmd)
	}
	for i, cmd := range commands {
		cmd.Wait()
		if status, want := cmd.ProcessState.ExitCode(), fmt.Sprintf("got %d\n", i); status != i || outputs[i].String() != want {
			t.Errorf("session %d: exit status %d, output %q", i, status, outputs[i].String())
		}
	}
}

// A process that uses the container's memory up is killed, and the user is told why; the
// container stays.
func TestHijackOutOfMemory(t *testing.T) {
	s := startServer(t, "--network", "host")
	s.midge("execute", "--hold", "1h", "-c", s.script("task", "exit 1", "container_limits: {memory: 64MB}\n")).want(t, 1)
	const says = "the memory of the container was used up, and a process in it was killed for that"
	s.midge("hijack", "-b", "1", "--", "tail", "/dev/zero").wantError(t, 137, says)
	r := s.midge("hijack", "-b", "1", "--", "sh", "-c", "tail /dev/zero; echo still here; exit 3")
	r.want(t, 3, "still here", says)
	r = s.midge("hijack", "-b", "1", "--", "sh", "-c", "exit 3")
	r.want(t, 3)
	if r.stderr != "" {
		t.Errorf("of a command that used little it says %q", r.stderr)
	}
}

// Who comes for a container that has gone is told when and why it went, and how to keep
// the next one.
func TestHijackOfWhatHasGone(t *testing.T) {
	s := startServer(t, "--network", "host", "--gc-grace", "1ms", "--gc-interval", "100ms")
	s.midge("execute", "--hold", "1h", "-c", s.script("task", "exit 1", "")).want(t, 1)
	s.midge("release", "1").want(t, 0)
	eventually(t, "the container has gone", func() error {
		if r := s.midge("containers", "--json"); r.stdout != "[]\n" {
			return fmt.Errorf("there are %s", r.stdout)
		}
		return nil
	})
	removed := regexp.MustCompile(`build 1 has no container any more: that of the step one-off was removed at \S+: .* let it go; to keep the next one for longer: midge execute --hold 2h, or midge hold BUILD while it is there`)
	if r := s.midge("hijack", "-b", "1", "--", "true"); r.status != 1 || !removed.MatchString(r.stderr) {
		t.Errorf("exit status %d: %s", r.status, r.stderr)
	}
}

// The user's terminal is given back when the server is killed, and the session is there
// again when the server is.
func TestHijackOfAServerThatIsKilled(t *testing.T) {
	s := startServer(t, "--network", "host")
	s.midge("execute", "--hold", "1h", "-c", s.script("task", "exit 1", "")).want(t, 1)
	shell := startScreen(t, s.atTerminal("hijack", "-b", "1", "--", "bash", "--norc"))
	shell.write("kept=still; echo \"$kept-here\"\r")
	shell.waitFor("\nstill-here\r\n")
	ids := s.sessions()
	if len(ids) != 1 {
		t.Fatalf("the sessions are %q", ids)
	}
	s.kill()
	shell.waitFor("connection lost, trying to reconnect (~. detaches)")
	shell.write("\r~.")
	shell.wantExit(0)
	s.start()
	again := startScreen(t, s.atTerminal("hijack", "--attach", ids[0]))
	again.write("echo \"$kept-there\"; exit 5\r")
	again.wantExit(5)
	if !strings.Contains(again.text(), "\nstill-there\r\n") {
		t.Errorf("the terminal shows %q", again.text())
	}
}

// SIGTERM leaves the session, and gives the terminal back.
func testHijackTerminated(t *testing.T, s *server) {
	shell := startScreen(t, s.atTerminal("hijack", "-b", "1", "--", "bash", "--norc"))
	shell.write("echo begun-$((1))\r")
	shell.waitFor("\nbegun-1\r\n")
	if err := shell.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	shell.wantExit(1)
	attach := regexp.MustCompile(`it goes on, attach to it again with: midge hijack --attach (\w+)\r\n$`)
	found := attach.FindStringSubmatch(shell.text())
	if found == nil {
		t.Fatalf("the terminal shows %q", shell.text())
	}
	again := startScreen(t, s.atTerminal("hijack", "--attach", found[1]))
	again.write("exit 4\r")
	again.wantExit(4)
}

// An image without any shell gets one of ours, and its user is told.
func TestHijackWithoutAShell(t *testing.T) {
	s := newServer(t, "--network", "host")
	s.args = append(s.args, "--allow-rootfs", s.dir)
	s.serve()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/sys"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.path("rootfs"), "bin", "false"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	task := s.task("task", "platform: linux\nrootfs_uri: raw://"+s.path("rootfs")+"\nrun: {path: /bin/false}\n")
	s.midge("execute", "--hold", "1h", "-c", task).want(t, 1)

	const says = "the commands of this session are midge's own busybox, after those that the image has"
	shell := startScreen(t, s.atTerminal("hijack", "-b", "1"))
	shell.waitFor(says)
	shell.write("echo $((6 * 7))-from-ours; ls /bin; exit 6\r")
	shell.wantExit(6)
	if !strings.Contains(shell.text(), "\n42-from-ours\r\n") {
		t.Errorf("the terminal shows %q", shell.text())
	}
	r := s.midge("hijack", "-b", "1", "--toolbox", "--", "ls", "/bin")
	r.want(t, 0, "false", says)
	s.midge("hijack", "-b", "1", "--", "ls", "/bin").wantError(t, 255, `cannot run ls: `)
	cmd := s.command("hijack", "-b", "1")
	cmd.Stdin = strings.NewReader("echo piped; exit 5\n")
	if r := runCommand(t, cmd); r.status != 5 || r.stdout != "piped\n" || !strings.Contains(r.stderr, says) {
		t.Errorf("through pipes: %+v", r)
	}
}
