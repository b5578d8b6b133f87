package endtoend

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// atTerminal is a command of the CLI for a terminal.
func (s *server) atTerminal(args ...string) *exec.Cmd {
	cmd := s.command(args...)
	cmd.Env = append(cmd.Env, "TERM=xterm", "PS1=prompt> ", "LC_ALL=C.UTF-8")
	return cmd
}

// Sessions in the container of one task that has failed.
func TestHijackHeld(t *testing.T) {
	s := startServer(t, "--network", "host")
	s.write(map[string]string{"src/file": "x"})
	task := s.script("task", "seq 100 > numbers; echo \"it's $COLOR\"; exit 3", "inputs: [{name: src}]\nparams: {COLOR: blue}\n")
	s.midge("execute", "--hold", "1h", "-c", task, "-i", "src=src").want(t, 3)
	for name, test := range map[string]func(*testing.T, *server){
		"greeting":    testHijackGreeting,
		"no greeting": testHijackWithoutGreeting,
		"programs":    testHijackPrograms,
		"signals":     testHijackSignals,
		"attach":      testHijackAttach,
		"escape":      testHijackEscape,
		"sizes":       testHijackSizes,
		"terminated":  testHijackTerminated,
		"not run":     testHijackNotRun,
		"fifty":       testHijackFifty,
	} {
		t.Run(name, func(t *testing.T) {
			part := *s
			part.t = t
			test(t, &part)
		})
	}
}

// Who comes for a shell is told where they are, finds the task's command in the history,
// and is told how long the container stays.
func testHijackGreeting(t *testing.T, s *server) {
	shell := startScreen(t, s.atTerminal("hijack", "-b", "1"))
	shell.waitFor("held: step one-off of build 1, failed with exit 3 · cwd and env as the task had them · ↑ brings back its command\r\n")
	shell.waitFor("# ")
	shell.write("\x1b[A")
	shell.waitFor("sh -ec 'seq 100 > numbers; echo ")
	shell.write("\r")
	shell.waitFor("\nit's blue\r\n")
	shell.write("\x1b[200~echo pasted-$((1))\n\x1b[201~")
	shell.write("\r")
	shell.waitFor("\npasted-1\r\n")
	shell.write("echo to-tty-$((1)) >/dev/tty\r")
	shell.waitFor("\nto-tty-1\r\n")
	shell.write("echo \"${PROMPT_COMMAND-none}-left\"; exit 4\r")
	shell.wantExit(4)
	for _, text := range []string{"\nnone-left\r\n", "\nreleased in 1h; midge hold 1 keeps it, midge release 1 lets it go\r\n"} {
		if !strings.Contains(shell.text(), text) {
			t.Errorf("the terminal does not show %q: %q", text, shell.text())
		}
	}
}

// Who is no person, wants quiet, or runs a command, sees its output alone.
func testHijackWithoutGreeting(t *testing.T, s *server) {
	for _, args := range [][]string{{"--quiet"}, {"--", "bash", "--norc"}} {
		shell := startScreen(t, s.atTerminal(append([]string{"hijack", "-b", "1"}, args...)...))
		shell.write("echo $COLOR; exit\r")
		shell.wantExit(0)
		if shown := shell.text(); !strings.Contains(shown, "\nblue\r\n") || strings.Contains(shown, "held:") || strings.Contains(shown, "released in") {
			t.Errorf("%v: the terminal shows %q", args, shown)
		}
	}
	cmd := s.command("hijack", "-b", "1")
	cmd.Stdin = strings.NewReader("echo $COLOR\n")
	if r := runCommand(t, cmd); r.status != 0 || r.stdout != "blue\n" || r.stderr != "" {
		t.Errorf("without a terminal: %+v", r)
	}
}

// numbers tells whether the first rows show the numbers from first to last.
func numbers(rows []string, first, last int) bool {
	for i := first; i <= last; i++ {
		if i-first >= len(rows) || strings.TrimSpace(rows[i-first]) != fmt.Sprint(i) {
			return false
		}
	}
	return true
}

// Programs that use all of a terminal draw at its size, and again when that changes.
func testHijackPrograms(t *testing.T, s *server) {
	e := startEmulator(t, s.atTerminal("hijack", "-b", "1", "--", "sh"), 97, 31)
	// What is typed before a program has given the terminal back, it may throw away.
	awaitShell := func() {
		t.Helper()
		e.waitForRows("the shell's prompt", func(rows []string) bool {
			return !e.terminal.IsAltScreen() && rows[e.terminal.CursorPosition().Y] == "#"
		})
	}
	awaitShell()

	e.write("less numbers\r")
	e.waitForRows("less at 31 rows", func(rows []string) bool { return numbers(rows, 1, 30) && rows[30] == "numbers" })
	e.resize(61, 20)
	e.waitForRows("less at 20 rows", func(rows []string) bool { return len(rows) == 20 && numbers(rows, 1, 19) })
	e.waitForRows("less at the end", func(rows []string) bool {
		e.write("G") // again, as less may pass over a key while it draws
		return numbers(rows, 82, 100) && strings.Contains(rows[19], "END")
	})
	e.write("q")
	awaitShell()

	e.write("vim.tiny -u NONE -N numbers\r")
	e.waitForRows("vim at 20 rows", func(rows []string) bool { return numbers(rows, 1, 19) && strings.Contains(rows[19], `"numbers"`) })
	e.resize(97, 31)
	e.waitForRows("vim at 31 rows", func(rows []string) bool { return len(rows) == 31 && numbers(rows, 1, 30) })
	e.write(":set lines? columns?\r")
	e.waitForRow("  lines=31")
	e.waitForRow("  columns=97")
	e.write("\rGocaf\u00e9 \u2603\x1b:wq! changed\r")
	awaitShell()
	e.write("tail -n 1 changed\r")
	e.waitForRow("caf\u00e9 \u2603")

	e.write("clear; top -d 1000\r")
	heading, process := regexp.MustCompile(`^ +PID USER .* COMMAND$`), regexp.MustCompile(`^ +\d+ root `)
	e.waitForRows("top at 97 columns", func(rows []string) bool {
		return strings.HasPrefix(rows[0], "top - ") && heading.MatchString(rows[6]) && process.MatchString(rows[7])
	})
	e.write("q")
	awaitShell()
	e.write("exit 6\r")
	e.wantExit(6)
}

// The keys that make signals go to the command, and a flood is over at once.
func testHijackSignals(t *testing.T, s *server) {
	shell := startScreen(t, s.atTerminal("hijack", "-b", "1", "--", "bash", "--norc"))
	shell.write("PS1='ready> '\r")
	shell.waitFor("\nready> ")
	// What the job itself says, it says in the foreground.
	sleep := func(name string) string { return "sh -c 'echo " + name + "-$((1)); exec sleep 100000'" }
	run := func(command, begun, keys, then string) {
		t.Helper()
		shell.write(command + "\r")
		shell.waitFor(begun)
		shell.write(keys)
		shell.waitFor(then)
	}
	run(sleep("sleeping"), "sleeping-1", "\x03", "^C")
	run("echo status-$?", "status-130", "", "ready> ")
	run(sleep("quitting"), "quitting-1", "\x1c", "Quit")
	run("echo status-$?", "status-131", "", "ready> ")
	run(sleep("stopping"), "stopping-1", "\x1a", "Stopped")
	run("jobs; kill %1; echo status-$?", "status-0", "", "ready> ")
	run("yes flood", strings.Repeat("flood\r\n", 20000), "\x03", "^C")
	run("echo dry-$((1)); exit 5", "dry-1", "", "exit")
	shell.wantExit(5)
}

// sessions gives the ids of the sessions that are listed.
func (s *server) sessions() []string {
	s.t.Helper()
	r := s.midge("hijack", "--list")
	r.want(s.t, 0)
	var ids []string
	for line := range strings.Lines(r.stdout) {
		if fields := strings.Fields(line); len(fields) > 3 && len(fields[0]) == 16 {
			ids = append(ids, fields[0])
		}
	}
	return ids
}

// A session goes on when it is left; others come back to it, share it, or watch.
func testHijackAttach(t *testing.T, s *server) {
	first := startScreen(t, s.atTerminal("hijack", "-b", "1", "--", "bash", "--norc"))
	first.write("kept=still; echo \"$kept-here\"\r")
	first.waitFor("\nstill-here\r\n")
	ids := s.sessions()
	if len(ids) != 1 {
		t.Fatalf("the sessions are %q", ids)
	}
	first.write("~.")
	first.wantExit(0)
	if want := "the session goes on; attach to it again with: midge hijack --attach " + ids[0] + "\r\n"; !strings.HasSuffix(first.text(), want) {
		t.Errorf("the terminal shows %q, want %q at its end", first.text(), want)
	}

	second := startScreen(t, s.atTerminal("hijack", "--attach", ids[0]))
	second.waitFor("\nstill-here\r\n")
	second.write("echo \"$kept-there\"\r")
	second.waitFor("\nstill-there\r\n")
	sharing := startScreen(t, s.atTerminal("hijack", "--attach", ids[0]))
	watching := startScreen(t, s.atTerminal("hijack", "--attach", ids[0], "--read-only"))
	watching.waitFor("\nstill-there\r\n")
	watching.write("echo watcher-typed\r")
	for i, typist := range []*screen{sharing, second} {
		typist.write(fmt.Sprintf("echo all-see-$((%d))\r", i))
		for _, screen := range []*screen{second, sharing, watching} {
			screen.waitFor(fmt.Sprintf("\nall-see-%d\r\n", i))
		}
	}
	watching.write("\r~.")
	watching.wantExit(0)
	if strings.Contains(second.text(), "watcher-typed") {
		t.Errorf("what a watcher types arrives: %q", second.text())
	}
	second.write("exit 7\r")
	second.wantExit(7)
	sharing.wantExit(7)
	s.midge("hijack", "--attach", ids[0]).wantError(t, 1, ids[0], "midge hijack --list")
}

// The keys for midge itself begin with a character of the user's choice, or with none.
func testHijackEscape(t *testing.T, s *server) {
	tests := []struct {
		name, typed, shown string
		args               []string
		status             int
	}{
		{"help", "~?\rexit 3\r", "~.  detach: the session goes on", nil, 3},
		{"the character itself", "~~echo; echo $?-\r\rexit 3\r", "\n127-\r\n", nil, 3},
		{"in a line", "echo a~.b\rexit 3\r", "\na~.b\r\n", nil, 3},
		{"another", "echo\r~.\r%.", "the session goes on", []string{"--escape", "%"}, 0},
		{"none", "~.\recho $?-\rexit 3\r", "\n127-\r\n", []string{"--escape", "none"}, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"hijack", "-b", "1"}, test.args...)
			shell := startScreen(t, s.atTerminal(append(args, "--", "bash", "--norc")...))
			shell.waitFor("# ")
			shell.write(test.typed)
			shell.wantExit(test.status)
			if !strings.Contains(shell.text(), test.shown) {
				t.Errorf("the terminal shows %q, and not %q", shell.text(), test.shown)
			}
		})
	}
	s.midge("hijack", "-b", "1", "--escape", "ab").wantError(t, 1, `--escape is "ab" and should be one character, or none`)
	for _, id := range s.sessions() {
		left := startScreen(t, s.atTerminal("hijack", "--attach", id))
		left.write("exit\r")
		left.wait()
	}
}

// A terminal may be of any size, also of none.
func testHijackSizes(t *testing.T, s *server) {
	shell := startScreen(t, s.atTerminal("hijack", "-b", "1", "--", "bash", "--norc"))
	shell.waitFor("# ")
	for _, size := range [][2]uint16{{0, 0}, {65535, 65535}, {1, 1}, {80, 24}} {
		shell.resize(size[0], size[1])
		want := fmt.Sprintf("%d %d\r\n", size[1], size[0])
		eventually(t, "the size is "+want, func() error {
			shell.write("\x15stty size\r")
			if !strings.Contains(shell.text(), want) {
				return fmt.Errorf("the terminal shows %q", shell.text())
			}
			return nil
		})
	}
	shell.write("exit\r")
	shell.wantExit(0)
}
