package machine

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// shellTests are scripts and what they write and end with, on this machine and on
// any other.
var shellTests = []struct {
	name, script, output string
	code                 int
}{
	{"echo", `echo hello world; echo -n a; echo b`, "hello world\nab\n", 0},
	{"status", `exit 3`, "", 3},
	{"last status", `false`, "", 1},
	{"sequence", `false; echo $?; true; echo $?`, "1\n0\n", 0},
	{"variables", `a=1 b="x y"; echo "$a" "$b" ${c:-none} ${c:=set} $c ${b#x } ${#b}`, "1 x y none set set y 3\n", 0},
	{"status of an assignment", `a=$(exit 4); echo $?; a=1; echo $?; a=$(exit 5)`, "4\n0\n", 5},
	{"parameters", `echo $# "$@" $1 "$0"; for p; do echo $p; done`, "2 one two one sh\none\ntwo\n", 0},
	{"arithmetic", `i=2; i=$((i + 3)); echo $i $((i * 2 - 1)) $((i > 4)); : $((i = 9)); echo $i`, "5 9 1\n9\n", 0},
	{"if", `if false; then echo a; elif true; then echo b; else echo c; fi; if false; then :; fi; echo $?`, "b\n0\n", 0},
	{"while", `i=0; while [ $i -lt 3 ]; do echo $i; i=$((i+1)); done; echo $?`, "0\n1\n2\n0\n", 0},
	{"until", `i=0; until [ $i -ge 2 ]; do i=$((i+1)); done; echo $i`, "2\n", 0},
	{"for", `for x in a b c; do [ $x = b ] && continue; echo $x; done`, "a\nc\n", 0},
	{"break", `for x in a b c; do [ $x = b ] && break; echo $x; done`, "a\n", 0},
	{"nested break", `for x in a b; do for y in 1 2; do break 2; done; echo $x; done; echo end`, "end\n", 0},
	{"nested continue", `for x in a b; do for y in 1 2; do continue 2; done; echo no; done; echo end`, "end\n", 0},
	{"case", `case hello in x) echo no;; h*o) echo yes;; esac; case a in [!b]) echo not b;; esac; case x in y) ;; esac; echo $?`, "yes\nnot b\n0\n", 0},
	{"function", `f() { local a=2; echo $1 $a; return 4; }; a=1; f x; echo $? $a`, "x 2\n4 1\n", 0},
	{"function in a loop", `f() { return; echo no; }; for x in 1 2; do f; echo $x; done`, "1\n2\n", 0},
	{"function with variables", `f() { echo $A; }; A=1 f; echo ${A:-unset}`, "1\nunset\n", 0},
	{"substitution", "echo $(echo a; echo b) `echo c`; echo \"$(printf 'x\n\n')\"", "a b c\nx\n", 0},
	{"pipeline", `echo hello | tr a-z A-Z | cat`, "HELLO\n", 0},
	{"pipeline status", `true | false; echo $?; ! true; echo $?`, "1\n1\n", 0},
	{"pipeline and loop", `seq 3 | while read n; do echo "<$n>"; done`, "<1>\n<2>\n<3>\n", 0},
	{"early end of a pipe", `yes | head -n 2`, "y\ny\n", 0},
	{"subshell", `a=1; (a=2; exit 5); echo $? $a`, "5 1\n", 0},
	{"group", `{ echo a; echo b; } | cat; { echo c; } > f; cat f`, "a\nb\nc\n", 0},
	{"redirection", `echo one > f; echo two >> f; cat < f; cat nothing 2>/dev/null; echo $?`, "one\ntwo\n1\n", 0},
	{"descriptors", `exec 3> f; echo a >&3; exec 3>&-; cat f; { echo e >&2; } 2>&1; exec 4< f; read x <&4; echo $x`, "a\ne\na\n", 0},
	{"redirection of a loop", `for i in 1 2; do echo $i; done > f; while read l; do echo "got $l"; done < f`, "got 1\ngot 2\n", 0},
	{"unopened redirection", `exec 2>/dev/null; cat < nothing; echo after; { :; } 9>&8 || echo bad`, "after\nbad\n", 0},
	{"here document", "a=1\ncat <<E\n$a b\nE\ncat <<'E'\n$a\nE\ncat <<-E\n\ttab\n\tE", "1 b\n$a\ntab\n", 0},
	{"errexit", `set -e; false; echo no`, "", 1},
	{"errexit in conditions", `set -e; if false; then :; fi; false || true; ! true; while false; do :; done; echo yes`, "yes\n", 0},
	{"errexit in functions", `set -e; f() { false; echo no; }; f; echo no`, "", 1},
	{"errexit in a subshell", `set -e; (false; echo no); echo no`, "", 1},
	{"errexit of a pipeline", `set -e; false | true; echo yes; true | false; echo no`, "yes\n", 1},
	{"errexit switched off", `set -e; set +e; false; set -o errexit; echo yes; false; echo no`, "yes\n", 1},
	{"nounset", `set -u; (echo $nothing) 2>/dev/null; echo $?; echo ${nothing:-default}`, "2\ndefault\n", 0},
	{"noglob", `touch a.x; set -f; echo *.x`, "*.x\n", 0},
	{"allexport", `set -a; A=1; env | grep ^A=`, "A=1\n", 0},
	{"trace", `set -x; echo a 2>&1; { set +x; } 2>/dev/null; echo b`, "+ echo a\na\nb\n", 0},
	{"glob", `touch a.x b.x; mkdir d; touch d/c.x; echo *.x '*.x' *.y d/*`, "a.x b.x *.x *.y d/c.x\n", 0},
	{"quoting", `echo "a  b" 'c  "d"' e\ f "\$x \"y\""`, "a  b c  \"d\" e f $x \"y\"\n", 0},
	{"splitting", `a="x  y"; for w in $a; do echo $w; done; IFS=:; b=1:2; for w in $b; do echo $w; done`, "x\ny\n1\n2\n", 0},
	{"trap at exit", `trap 'echo bye' EXIT; echo hi; exit 3`, "hi\nbye\n", 3},
	{"trap at exit with a status", `trap 'echo $?; exit 9' EXIT; exit 3`, "3\n", 9},
	{"trap at the end", `trap 'echo bye' EXIT; false`, "bye\n", 1},
	{"trap", `trap 'echo got' TERM; kill -TERM $$; echo after`, "got\nafter\n", 0},
	{"trap by number", `trap 'echo got' 15; kill -s TERM $$; trap - TERM; echo after; kill $$; echo no`, "got\nafter\n", 143},
	{"trap in a subshell", `trap 'echo got' TERM; sh -c 'kill -TERM $PPID'; echo after`, "got\nafter\n", 0},
	{"ignored signal", `trap '' TERM; kill $$; sh -c 'kill $$; echo child'; echo alive`, "child\nalive\n", 0},
	{"killed", `kill -KILL $$; echo no`, "", 137},
	{"killed child", `exec 2>/dev/null; sh -c 'kill -TERM $$'; echo $?`, "143\n", 0},
	{"background", `exec 2>/dev/null; sleep 1000 & p=$!; kill $p; wait $p; echo $?`, "143\n", 0},
	{"is it there", `exec 2>/dev/null; sleep 1000 & kill -0 $! && echo there; kill $!; wait $!; kill -0 $! 2>/dev/null || echo gone`, "there\ngone\n", 0},
	{"wait", `(exit 3) & wait $!; echo $?; wait; echo $?; wait 999999; echo $?`, "3\n0\n127\n", 0},
	{"wait is interrupted", `exec 2>/dev/null; trap 'got=yes' USR1; sleep 1000 & p=$!; (while kill -USR1 $$; do :; done) & q=$!; wait $p; [ $? -gt 128 ] && echo interrupted; kill -KILL $p $q; trap '' USR1; echo $got`, "interrupted\nyes\n", 0},
	{"exec", `exec echo replaced; echo no`, "replaced\n", 0},
	{"not found", `nothing-of-that-name 2>/dev/null; echo $?`, "127\n", 0},
	{"not executable", `touch f; ./f 2>/dev/null; echo $?; ./d 2>/dev/null; echo $?`, "126\n127\n", 0},
	{"script", "printf '#!/bin/sh\\necho \"$0\" \"$1\"' > s; chmod +x s; ./s a; sh s b", "./s a\ns b\n", 0},
	{"script without interpreter", `echo 'echo $1' > s; chmod 755 s; ./s a`, "a\n", 0},
	{"script of an interpreter with an argument", "printf '#!/bin/sh -e\\nfalse\\necho no' > s; chmod +x s; ./s; echo $?", "1\n", 0},
	{"env as interpreter", "printf '#!/usr/bin/env sh\\necho $1' > s; chmod +x s; ./s a", "a\n", 0},
	{"environment", `A=1 env | grep ^A=; echo ${A:-unset}; export B=2; env | grep ^B=; env -i C=3; env B=4 sh -c 'echo $B'`, "A=1\nunset\nB=2\nC=3\n4\n", 0},
	{"printenv", `export A=1; printenv A; printenv NOTHING; echo $?`, "1\n1\n", 0},
	{"read", `printf 'a b c\nd\\ \nx\n' | { read x y; read z; echo "$x/$y/$z"; read e; read e; echo $?; }`, "a/b c/d \n1\n", 0},
	{"read raw", `printf 'a\\b\n' | { read -r x; printf '%s\n' "$x"; }`, "a\\b\n", 0},
	{"read over lines", `printf 'a\\\nb\n' | { read x; echo "$x"; }`, "ab\n", 0},
	{"cd", `mkdir -p d/e; cd d/e; basename $PWD; cd ..; basename $(pwd); cd - >/dev/null; basename $PWD; cd /nothing 2>/dev/null; echo $?`, "e\nd\ne\n2\n", 0},
	{"set", `set -- x y; echo $#; shift; echo $1; set --; echo $#`, "2\ny\n0\n", 0},
	{"getopts", `set -- -a -b v w; while getopts ab: o; do echo $o $OPTARG; done; shift $((OPTIND-1)); echo $1`, "a\nb v\nw\n", 0},
	{"eval", `a='echo $b'; b=1; eval $a; eval 'exit 4'`, "1\n", 4},
	{"source", `echo 'a=1; return 3; a=2' > s; . ./s; echo $? $a`, "3 1\n", 0},
	{"readonly", `readonly a=1; (a=2) 2>/dev/null; echo $? $a`, "2 1\n", 0},
	{"unset", `a=1; unset a; echo ${a-unset}; f() { :; }; unset -f f; f 2>/dev/null; echo $?`, "unset\n127\n", 0},
	{"command", `command -v cat >/dev/null && echo found; command -v nothing; echo $?; command echo x`, "found\n127\nx\n", 0},
	{"printf", `printf '%s-%03d\n' a 1 b 2; printf 'x%%\n'; printf '%s'; printf '\101\n'`, "a-001\nb-002\nx%\nA\n", 0},
	{"test", `[ a = a ] && [ 1 -lt 2 ] && [ ! -e f ] && [ -n x -a -z "" ] && [ a = b -o 1 -eq 1 ] && test -d . && echo yes; [ "" ]; echo $?`, "yes\n1\n", 0},
	{"test of files", `touch f; echo x > g; ln -s f l; [ -f f ] && [ ! -s f ] && [ -s g ] && [ -L l ] && [ ! -x f ] && [ -e l ] && [ -c /dev/null ] && echo yes`, "yes\n", 0},
	{"test that is wrong", `[ 1 -eq x ] 2>/dev/null; echo $?; [ a b ] 2>/dev/null; echo $?`, "2\n2\n", 0},
	{"not a terminal", `[ -t 0 ] || echo no; tty || echo $?`, "no\nnot a tty\n1\n", 0},
	{"symlink", `echo a > f; ln -s f l; cat l; readlink l; ln f h; stat -c %h f; ln -sf h l; readlink l`, "a\nf\n2\nh\n", 0},
	{"copy", `mkdir d; echo a > d/f; ln -s f d/l; chmod 700 d/f; cp -r d e; cat e/f; readlink e/l; stat -c %a e/f; cp d/f g; cat g; cp d g 2>/dev/null; echo $?`, "a\nf\n700\na\n1\n", 0},
	{"move", `echo a > f; mv f g; cat g; mkdir d; mv g d; ls d; mv d e; cat e/g; mv nothing x 2>/dev/null; echo $?`, "a\ng\na\n1\n", 0},
	{"remove", `mkdir -p d/e; touch d/f; rm d 2>/dev/null || echo no; rmdir d 2>/dev/null || echo no; rm -r d; ls; rm nothing 2>/dev/null; echo $?; rm -f nothing; echo $?`, "no\nno\n1\n0\n", 0},
	{"make directories", `mkdir d; mkdir d 2>/dev/null || echo no; mkdir -p d/e/f d; mkdir x/y 2>/dev/null || echo no; mkdir -m 700 p; stat -c %a p; find d | sort`, "no\nno\n700\nd\nd/e\nd/e/f\n", 0},
	{"modes", `touch f; chmod 640 f; stat -c %a f; chmod +x f; stat -c '%a %A' f; chmod g-r f; chmod a+w f; stat -c %a f; chmod 4755 f; [ -x f ] && echo yes`, "640\n751 -rwxr-x--x\n733\nyes\n", 0},
	{"list", `touch b a .h; mkdir d; touch d/x; ls; ls -a d; ls d/x; ls -d d; ls nothing 2>/dev/null; [ $? -ne 0 ] && echo no`, "a\nb\nd\n.\n..\nx\nd/x\nd\nno\n", 0},
	{"touch", `touch -d '2001-02-03 04:05:06' f; TZ=UTC touch -t 200102030405.06 g; stat -c %Y g; touch g; [ $(stat -c %Y g) -gt 1000000000 ] && echo now`, "981173106\nnow\n", 0},
	{"names", `basename /a/b.c .c; basename /a/b/; dirname /a/b; dirname x`, "b\nb\n/a\n.\n", 0},
	{"cat", `echo a > f; echo b | cat f - f; cat f nothing 2>/dev/null; echo $?`, "a\nb\na\na\n1\n", 0},
	{"head and tail", `seq 5 > f; head -n 2 f; tail -n 2 f; head -c 3 f; tail -c 2 f; seq 20 | head | wc -l; seq 20 | tail -1`, "1\n2\n4\n5\n1\n25\n10\n20\n", 0},
	{"count", `printf 'a b\nc\n' > f; wc -l < f; wc -w < f; wc -c < f; wc -l f`, "2\n3\n6\n2 f\n", 0},
	{"seq", `seq 3; seq 2 3; seq 1 2 5; seq 2 -1 1`, "1\n2\n3\n2\n3\n1\n3\n5\n2\n1\n", 0},
	{"tee", `echo a | tee f g; cat f g; echo b | tee -a f >/dev/null; cat f`, "a\na\na\na\nb\n", 0},
	{"grep", `printf 'abc\nABC\nx.y\n' > f; grep b f; grep -i b f; grep -v b f; grep -c b f; grep -q zzz f || echo none; grep -F . f; grep -e ^x f`, "abc\nabc\nABC\nABC\nx.y\n1\nnone\nx.y\nx.y\n", 0},
	{"sort", `printf 'b\na\nb\n10\n9\n' > f; sort f; sort -u f | wc -l; printf '10\n9\n' | sort -n; printf 'a\nb\n' | sort -r`, "10\n9\na\nb\nb\n4\n9\n10\nb\na\n", 0},
	{"translate", `echo 'a b' | tr -d ' '; echo abc | tr abc xyz; printf 'a\nb\n' | tr '\n' ,`, "ab\nxyz\na,b,", 0},
	{"compare", `echo a > f; cp f g; cmp f g && echo same; echo b > g; cmp f g >/dev/null || echo differ`, "same\ndiffer\n", 0},
	{"checksum", `printf abc | sha256sum`, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n", 0},
	{"devices", `echo x > /dev/null; head -c 3 /dev/zero | wc -c; cat /dev/null; { echo x > /dev/full; } 2>/dev/null || echo full`, "3\nfull\n", 0},
	{"comments and lines", "# nothing\necho a; # more\necho b \\\n c", "a\nb c\n", 0},
	{"a signal for the group", `trap '' TERM; kill -TERM 0; echo alive`, "alive\n", 0},
}

func TestShell(t *testing.T) {
	for _, test := range shellTests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			output, status := run(t, newMachine(t, Config{}), test.script, "one", "two")
			if output != test.output || status.Code != test.code {
				t.Errorf("%s\ngave %q and %d\nwant %q and %d", test.script, output, status.Code, test.output, test.code)
			}
		})
	}
}

// TestShellTests has the shell of the machine that the test runs on confirm what
// the tests want.
func TestShellTests(t *testing.T) {
	for _, test := range shellTests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			command := exec.Command("sh", "-c", test.script, "sh", "one", "two")
			// A signal for its group is not for the test.
			command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			command.Dir = t.TempDir()
			command.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + command.Dir, "LC_ALL=C"}
			var output bytes.Buffer
			command.Stdout, command.Stderr = &output, &output
			code := 0
			var exit *exec.ExitError
			if err := command.Run(); errors.As(err, &exit) {
				status := exit.Sys().(syscall.WaitStatus)
				if code = status.ExitStatus(); status.Signaled() {
					code = 128 + int(status.Signal())
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if output.String() != test.output || code != test.code {
				t.Errorf("%s\ngives %q and %d in truth\nnot %q and %d", test.script, output.String(), code, test.output, test.code)
			}
		})
	}
}

// TestShellComplaints are about what this machine's shell alone says.
func TestShellComplaints(t *testing.T) {
	for script, want := range map[string]string{
		"nothing":                   "sh: nothing: not found\n",
		"touch f; ./f":              "sh: ./f: permission denied\n",
		"cat nothing":               "cat: nothing: No such file or directory\n",
		"set -u; echo $nothing":     "sh: nothing: unbound variable\n",
		"a=1; a[1]=2":               "sh: ",
		"if":                        "sh: 1:1: ",
		"cd /nothing":               "sh: cd: can't cd to /nothing\n",
		"trap x NOSIGNAL":           "sh: trap: bad trap: NOSIGNAL\n",
		"set -Z":                    "sh: set: illegal option -Z\n",
		"set -o pipefail":           "sh: set: illegal option pipefail\n",
		"readonly a=1; a=2":         "sh: a: is read only\n",
		"local a":                   "sh: local: not in a function\n",
		"find . -name x":            "find: only -type is supported\n",
		"kill -NOSIGNAL 1":          "kill: unknown signal NOSIGNAL\n",
		"sleep x":                   "sleep: invalid number 'x'\n",
		"stty size":                 "stty: standard input: Not a tty\n",
		"head -n x /etc/passwd":     "head: ",
		"mkdir /dev/null/x":         "mkdir: /dev/null/x: Not a directory\n",
		"echo x > /bin":             "sh: can't open /bin: is a directory\n",
		"ln -s loop loop; cat loop": "cat: loop: Too many levels of symbolic links\n",
	} {
		output, status := run(t, newMachine(t, Config{}), script)
		if !strings.HasPrefix(output, want) || status.Code == 0 {
			t.Errorf("%s\ngave %q and %d, want %q", script, output, status.Code, want)
		}
	}
}

func TestLimits(t *testing.T) {
	output, status := run(t, newMachine(t, Config{Memory: 1 << 20}), `x=xxxx; while :; do x=$x$x; done`)
	if !status.OutOfMemory || status.Signal != "KILL" {
		t.Errorf("out of memory it gave %q and %+v", output, status)
	}
	output, status = run(t, newMachine(t, Config{Programs: 5}), `i=0; while [ $i -lt 10 ]; do sleep 1000 & i=$((i+1)); done; echo all`)
	if strings.Contains(output, "all") || status.Code != 2 {
		t.Errorf("with too many programs it gave %q and %+v", output, status)
	}
}
