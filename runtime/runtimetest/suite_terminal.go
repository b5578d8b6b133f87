package runtimetest

import (
	"fmt"
	"strings"
	"testing"

	"midge/runtime"
)

// onTerminal gives the spec of a process that runs a script on a terminal.
func onTerminal(id, text string, columns, rows uint16) runtime.ProcessSpec {
	spec := script(id, text)
	spec.TTY = &runtime.WindowSize{Columns: columns, Rows: rows}
	return spec
}

var terminalTests = map[string]func(*suite, *testing.T){
	"IsOne": func(s *suite, t *testing.T) {
		container := s.common(t)
		const text = `for fd in 0 1 2; do if [ -t $fd ]; then echo yes; else echo no; fi; done`
		equal(t, "with a terminal", run(t, container, onTerminal("with", text, 80, 24)).stdout, "yes\r\nyes\r\nyes\r\n")
		equal(t, "without", run(t, container, script("without", text)).stdout, "no\nno\nno\n")
	},
	"OneStream": func(s *suite, t *testing.T) {
		done := run(t, s.common(t), onTerminal("stream", "echo a; echo b >&2; echo c; exit 3", 80, 24))
		equal(t, "stdout", done.stdout, "a\r\nb\r\nc\r\n")
		equal(t, "stderr", done.stderr, "")
		equal(t, "the status", done.status.Code, 3)
	},
	"Size": func(s *suite, t *testing.T) {
		container := s.common(t)
		equal(t, "the size", run(t, container, onTerminal("size", "stty size", 123, 45)).stdout, "45 123\r\n")
	},
	"AnySize": func(s *suite, t *testing.T) {
		container := s.common(t)
		// What stty makes of such sizes is its own.
		for _, size := range []uint16{0, 1, 65535} {
			process := start(t, container, onTerminal(fmt.Sprintf("size-%d", size), "echo ready; read line; echo $line", size, size))
			process.await(t, "ready")
			for _, next := range []uint16{0, 65535} {
				check(t, process.Resize(testContext(t), runtime.WindowSize{Columns: next, Rows: next}))
			}
			process.write(t, 0, "typed\n")
			process.await(t, "typed\r\ntyped\r\n")
			process.wait(t)
		}
	},
	"Resize": func(s *suite, t *testing.T) {
		spec := onTerminal("resize", `trap 'stty size' WINCH; stty -echo; echo ready; while read line; do echo got $line; done`, 80, 24)
		process := start(t, s.common(t), spec)
		process.await(t, "ready")
		check(t, process.Resize(testContext(t), runtime.WindowSize{Columns: 100, Rows: 50}))
		// Some shells end read when a trap has run, and the script with it; others
		// go on reading. The size is seen either way.
		process.Write(testContext(t), 0, []byte("line\n"))
		process.await(t, "50 100\r\n")
		process.signal(t, runtime.SignalKill)
		process.wait(t)
	},
	"ResizeWithoutOne": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), script("plain", "sleep 100000"))
		if err := process.Resize(testContext(t), runtime.WindowSize{Columns: 80, Rows: 24}); err == nil {
			t.Error("Resize without a terminal gave no error")
		}
		process.signal(t, runtime.SignalKill)
		process.wait(t)
	},
	"Echo": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), onTerminal("echo", "echo ready; read line; echo got $line", 80, 24))
		process.await(t, "ready")
		process.write(t, 0, "text\n")
		equal(t, "stdout", process.wait(t).stdout, "ready\r\ntext\r\ngot text\r\n")
	},
	"EndOfFile": func(s *suite, t *testing.T) {
		for name, end := range map[string]func(*testing.T, *started){
			"key":        func(t *testing.T, p *started) { p.write(t, 5, "\x04") },
			"closestdin": func(t *testing.T, p *started) { p.closeStdin(t) },
		} {
			process := start(t, s.common(t), onTerminal(name, "stty -echo; echo ready; cat; echo end", 80, 24))
			process.await(t, "ready")
			process.write(t, 0, "text\n")
			process.await(t, "text")
			end(t, process)
			equal(t, "stdout", process.wait(t).stdout, "ready\r\ntext\r\nend\r\n")
		}
	},
	"InterruptKey": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), onTerminal("interrupt", `trap 'echo interrupted; exit 9' INT; sleep 100000 & echo ready; wait`, 80, 24))
		process.await(t, "ready")
		process.write(t, 0, "\x03")
		done := process.wait(t)
		equal(t, "the status", done.status.Code, 9)
		if !strings.Contains(done.stdout, "interrupted") {
			t.Errorf("the output is %q", done.stdout)
		}
	},
	"InterruptsAFlood": func(s *suite, t *testing.T) {
		spec := onTerminal("flood", "exec yes", 80, 24)
		spec.Scrollback = 64 << 10
		process := start(t, s.common(t), spec)
		process.await(t, "y\r\ny\r\n")
		process.write(t, 0, "\x03")
		equal(t, "the signal", process.wait(t).status.Signal, "INT")
	},
	"Hangup": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), onTerminal("hangup", "echo ready; while :; do sleep 1000; done", 80, 24))
		process.await(t, "ready")
		process.signal(t, runtime.SignalHangup)
		equal(t, "the signal", process.wait(t).status.Signal, "HUP")
	},
	"OwnTerminalDevice": func(s *suite, t *testing.T) {
		equal(t, "stdout", run(t, s.common(t), onTerminal("device", "echo text > /dev/tty", 80, 24)).stdout, "text\r\n")
	},
	"RawInput": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), onTerminal("raw", "stty raw -echo; echo ready; head -c 3 | cat; echo end", 80, 24))
		process.await(t, "ready")
		process.write(t, 0, "\x03\x04\x7f")
		process.await(t, "\x03\x04\x7f")
		process.await(t, "end")
		process.wait(t)
	},
	"InteractiveShell": func(s *suite, t *testing.T) {
		process := start(t, s.common(t), runtime.ProcessSpec{
			ID: "shell", Path: "sh", TTY: &runtime.WindowSize{Columns: 80, Rows: 24}, Env: []string{"PS1=prompt> "},
		})
		process.await(t, "prompt> ")
		process.write(t, 0, "echo $((20 + 3))\n")
		process.await(t, "23\r\n")
		process.write(t, 17, "exit 6\n")
		equal(t, "the status", process.wait(t).status.Code, 6)
	},
}
