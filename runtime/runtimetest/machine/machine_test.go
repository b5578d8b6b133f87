package machine

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// newMachine makes a machine with an image of its own.
func newMachine(t *testing.T, config Config) *Machine {
	t.Helper()
	var store Store
	config.Files = NewFileSystem(store.NewImage())
	if err := config.Files.MakeDevices(); err != nil {
		t.Fatal(err)
	}
	return New(config)
}

// transcript collects what a session writes.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (o *transcript) write(_ context.Context, stream int, p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	close(o.changed)
	o.changed = make(chan struct{})
	return nil
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// TestTerminalModes has a terminal pass keys on as they are, and not echo them.
func TestTerminalModes(t *testing.T) {
	output := newTranscript()
	session, err := newMachine(t, Config{}).Start(Command{
		Path: "/bin/sh", Args: []string{"-c", "stty raw -echo; echo ready; head -c 2 | wc -c; stty sane; echo sane; exec cat"}, Dir: "/",
		Env: []string{"PATH=/bin"}, Output: output.write, Terminal: &WindowSize{80, 24},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ await, keys string }{
		{"ready\n", "\x03\x04"}, {"sane\r\n", "lino\x7fe\r"}, {"lino\b \be\r\nline\r\n", "\x04"},
	} {
		output.await(t, step.await)
		if _, err := session.Write(t.Context(), []byte(step.keys)); err != nil {
			t.Fatal(err)
		}
	}
	<-session.Done()
	if status := session.Status(); status.Code != 0 {
		t.Errorf("it ended with %+v, having written %q", status, output)
	}
}

// await waits until the transcript contains text.
func (o *transcript) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		o.mu.Lock()
		seen, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if strings.Contains(seen, text) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no %q in the output %q", text, seen)
		}
	}
}

func run(t *testing.T, m *Machine, script string, args ...string) (string, Status) {
	t.Helper()
	output := newTranscript()
	session, err := m.Start(Command{
		Path: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...), Dir: "/root",
		Env: []string{"PATH=/bin:/usr/bin", "HOME=/root"}, Output: output.write,
	})
	if err != nil {
		t.Fatal(err)
	}
	<-session.Done()
	return output.String(), session.Status()
}

func TestShell(t *testing.T) {
	for _, test := range []struct {
		name, script, output string
		code                 int
	}{
		{"echo", `echo hello world`, "hello world\n", 0},
		{"status", `exit 3`, "", 3},
		{"last status", `false`, "", 1},
		{"sequence", `false; echo $?; true; echo $?`, "1\n0\n", 0},
		{"variables", `a=1 b="x y"; echo "$a" "$b" ${c:-none}`, "1 x y none\n", 0},
		{"parameters", `echo $# "$@" $1 "$0"`, "2 one two one sh\n", 0},
		{"arithmetic", `i=2; i=$((i + 3)); echo $i`, "5\n", 0},
		{"if", `if false; then echo a; elif true; then echo b; else echo c; fi`, "b\n", 0},
		{"while", `i=0; while [ $i -lt 3 ]; do echo $i; i=$((i+1)); done`, "0\n1\n2\n", 0},
		{"until", `i=0; until [ $i -ge 2 ]; do i=$((i+1)); done; echo $i`, "2\n", 0},
		{"for", `for x in a b c; do [ $x = b ] && continue; echo $x; done`, "a\nc\n", 0},
		{"break", `for x in a b c; do [ $x = b ] && break; echo $x; done`, "a\n", 0},
		{"nested break", `for x in a b; do for y in 1 2; do break 2; done; echo $x; done; echo end`, "end\n", 0},
		{"case", `case hello in x) echo no;; h*o) echo yes;; esac`, "yes\n", 0},
		{"function", `f() { local a=2; echo $1 $a; return 4; }; a=1; f x; echo $? $a`, "x 2\n4 1\n", 0},
		{"substitution", "echo $(echo a; echo b) `echo c`", "a b c\n", 0},
		{"pipeline", `echo hello | tr a-z A-Z | cat`, "HELLO\n", 0},
		{"pipeline status", `true | false; echo $?`, "1\n", 0},
		{"early end of a pipe", `yes | head -n 2`, "y\ny\n", 0},
		{"subshell", `a=1; (a=2; exit 5); echo $? $a`, "5 1\n", 0},
		{"redirection", `echo one > f; echo two >> f; cat < f; cat nothing 2>/dev/null; echo $?`, "one\ntwo\n1\n", 0},
		{"descriptors", `exec 3> f; echo a >&3; exec 3>&-; cat f; { echo e >&2; } 2>&1`, "a\ne\n", 0},
		{"here document", "a=1\ncat <<E\n$a b\nE\ncat <<'E'\n$a\nE", "1 b\n$a\n", 0},
		{"errexit", `set -e; false; echo no`, "", 1},
		{"errexit in conditions", `set -e; if false; then :; fi; false || true; ! true; echo yes`, "yes\n", 0},
		{"errexit in functions", `set -e; f() { false; echo no; }; f; echo no`, "", 1},
		{"nounset", `set -u; echo $nothing; echo no`, "sh: nothing: unbound variable\n", 2},
		{"glob", `touch a.x b.x; echo *.x '*.x' *.y`, "a.x b.x *.x *.y\n", 0},
		{"trap at exit", `trap 'echo bye' EXIT; echo hi; exit 3`, "hi\nbye\n", 3},
		{"trap", `trap 'echo got' TERM; kill -TERM $$; echo after`, "got\nafter\n", 0},
		{"ignored signal", `trap '' TERM; kill $$; echo alive`, "alive\n", 0},
		{"killed", `kill -KILL $$; echo no`, "", 137},
		{"background", `sleep 1000 & p=$!; kill $p; wait $p; echo $?`, "143\n", 0},
		{"wait", `(exit 3) & wait $!; echo $?`, "3\n", 0},
		{"exec", `exec echo replaced; echo no`, "replaced\n", 0},
		{"not found", `nothing; echo $?`, "sh: nothing: not found\n127\n", 0},
		{"not executable", `touch f; ./f; echo $?`, "sh: ./f: permission denied\n126\n", 0},
		{"script", "printf '#!/bin/sh\\necho \"$0\" \"$1\"' > s; chmod +x s; ./s a", "/root/./s a\n", 0},
		{"script without interpreter", `echo 'echo $1' > s; chmod 755 s; ./s a`, "a\n", 0},
		{"environment", `A=1 env | grep ^A=; echo ${A:-unset}; export B=2; env | grep ^B=`, "A=1\nunset\nB=2\n", 0},
		{"read", `printf 'a b c\nd\n' | { read x y; read z; echo "$x/$y/$z"; }`, "a/b c/d\n", 0},
		{"cd", `mkdir -p d/e; cd d/e; pwd; cd ..; echo $PWD; cd /nothing; echo $?`, "/root/d/e\n/root/d\nsh: cd: can't cd to /nothing\n2\n", 0},
		{"set", `set -- x y; echo $#; shift; echo $1`, "2\ny\n", 0},
		{"getopts", `set -- -a -b v w; while getopts ab: o; do echo $o $OPTARG; done; shift $((OPTIND-1)); echo $1`, "a\nb v\nw\n", 0},
		{"eval", `a='echo $b'; b=1; eval $a`, "1\n", 0},
		{"printf", `printf '%s-%03d\n' a 1 b 2`, "a-001\nb-002\n", 0},
		{"syntax error", `if`, "sh: 1:1: `if` must be followed by a statement list\n", 2},
		{"symlink", `echo a > f; ln -s f l; cat l; readlink l; ln f h; stat -c %h f`, "a\nf\n2\n", 0},
		{"no memory of a function", `f() { :; }; unset -f f; f`, "sh: f: not found\n", 127},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			output, status := run(t, newMachine(t, Config{}), test.script, "one", "two")
			if output != test.output || status.Code != test.code {
				t.Errorf("%s\ngave %q and %d\nwant %q and %d", test.script, output, status.Code, test.output, test.code)
			}
		})
	}
}
