package endtoend

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestExecute(t *testing.T) {
	s := startServer(t)
	s.write(map[string]string{"src/a.txt": "one\n", "src/deep/b.txt": "two\n"})
	task := s.script("task", `
cat src/a.txt src/deep/b.txt
echo "$GREETING" >&2
echo made > out/made.txt
mkdir -p out/deep && cp src/deep/b.txt out/deep/`, `
params: {GREETING: hello}
inputs: [{name: src}]
outputs: [{name: out}]
`)
	r := s.midge("execute", "-c", task, "-i", "src=src", "-o", "out=out")
	r.want(t, 0, "executing build 1 at http://127.0.0.1:", "/builds/1", "succeeded")
	if r.stdout != "one\ntwo\n" {
		t.Errorf("stdout is %q", r.stdout)
	}
	if !strings.Contains(r.stderr, "hello\n") {
		t.Errorf("stderr is %q", r.stderr)
	}
	s.wantFile("out/made.txt", "made\n")
	s.wantFile("out/deep/b.txt", "two\n")
}

func TestExecuteFails(t *testing.T) {
	s := startServer(t)
	task := s.script("task", "echo partial > out/file; exit 3", "outputs: [{name: out}]\n")
	s.midge("execute", "-c", task, "-o", "out=out").want(t, 3, "failed")
	s.wantFile("out/file", "partial\n")
}

// What a task writes into its input, nobody else sees.
func TestInputIsCopyOnWrite(t *testing.T) {
	s := startServer(t)
	s.write(map[string]string{"src/file": "original\n"})
	task := s.script("task", "cat src/file; echo changed > src/file; echo new > src/new; cat src/file", "inputs: [{name: src}]\n")
	for range 2 {
		r := s.midge("execute", "-c", task, "-i", "src=src", "--quiet")
		r.want(t, 0)
		if r.stdout != "original\nchanged\n" {
			t.Errorf("stdout is %q", r.stdout)
		}
	}
	s.wantFile("src/file", "original\n")
}

// An input named like the current directory is taken from it, and what git ignores stays at home.
func TestInputFromCurrentDirectory(t *testing.T) {
	s := startServer(t)
	s.write(map[string]string{"proj/.gitignore": "*.log\n", "proj/main.txt": "m\n", "proj/debug.log": "x\n"})
	init := exec.Command("git", "init", "-q", s.path("proj"))
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	task := s.script("task", "cd proj; find . -type f | sort", "inputs: [{name: proj}]\n")
	cmd := s.command("execute", "-c", task, "--quiet")
	cmd.Dir = s.path("proj")
	r := runCommand(t, cmd)
	r.want(t, 0)
	if r.stdout != "./.gitignore\n./main.txt\n" {
		t.Errorf("stdout is %q", r.stdout)
	}
	cmd = s.command("execute", "-c", task, "--quiet", "--include-ignored")
	cmd.Dir = s.path("proj")
	r = runCommand(t, cmd)
	r.want(t, 0)
	if r.stdout != "./.gitignore\n./debug.log\n./main.txt\n" {
		t.Errorf("stdout with --include-ignored is %q", r.stdout)
	}
}

// The host image has the machine's programs and none of its secrets.
func TestHostImage(t *testing.T) {
	s := startServer(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o644); err != nil {
		t.Fatal(err)
	}
	task := s.script("task", fmt.Sprintf(`
test -z "$(ls -A /home)$(ls -A /root)"
for hidden in /etc/shadow /etc/gshadow %s %s; do
  if head -c 1 $hidden || ls $hidden/*; then echo "$hidden is in sight"; exit 1; fi
done
touch /usr/bin/mine /etc/mine || true
echo done`, secret, s.path("data")), "")
	s.midge("execute", "-c", task).want(t, 0, "done")
	for _, path := range []string{"/usr/bin/mine", "/etc/mine"} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("a task wrote %s on the machine", path)
		}
	}

	off := startServer(t, "--host-image=false")
	off.midge("execute", "-c", off.script("task", "true", "")).want(t, 2, "--host-image=false")
}

func TestRootfs(t *testing.T) {
	rootfs := makeRootfs(t)
	s := startServer(t, "--allow-rootfs", rootfs)
	task := s.script("task", "test ! -e /usr/bin/git; echo x > /bin/mine; ls /bin/mine", "rootfs_uri: raw://"+rootfs+"\n")
	s.midge("execute", "-c", task).want(t, 0, "/bin/mine")
	if _, err := os.Lstat(filepath.Join(rootfs, "bin/mine")); err == nil {
		t.Error("a task wrote into the rootfs it was started from")
	}
	other := s.script("other", "true", "rootfs_uri: raw:///usr\n")
	s.midge("execute", "-c", other).want(t, 2, "/usr", "--allow-rootfs")
}

// makeRootfs makes a root file system with nothing but busybox.
func makeRootfs(t *testing.T) string {
	t.Helper()
	rootfs := t.TempDir()
	bin := filepath.Join(rootfs, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "ls", "cat", "test", "id", "sleep", "seq", "true"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return rootfs
}

// The first Ctrl-C aborts the build and waits for it, outputs included.
func TestInterrupt(t *testing.T) {
	s := startServer(t)
	task := s.script("task", "echo partial > out/file; echo ready; sleep 1000", "outputs: [{name: out}]\n")
	screen := startScreen(t, s.command("execute", "-c", task, "-o", "out=out"))
	screen.waitFor("\nready\r") // what the task says, and not its command
	screen.write("\x03")
	if got := screen.wait(); got != 3 {
		t.Errorf("exit status %d, want 3", got)
	}
	screen.waitFor("aborted")
	s.wantFile("out/file", "partial\n")
}

// The log of a build goes on where it was when the server that wrote it was killed.
func TestServerIsKilled(t *testing.T) {
	s := startServer(t)
	task := s.script("task", `
i=0
while [ $i -lt 3000 ]; do
  echo "$i"; i=$((i+1))
  test $((i % 100)) != 0 || sleep 0.05
done
exit 7`, "")
	cmd := s.command("execute", "-c", task)
	var stdout, stderr output
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"\n300\n", "\n1500\n"} {
		eventually(t, "the task has come to "+strings.TrimSpace(line), func() error {
			if !strings.Contains(stdout.String(), line) {
				return fmt.Errorf("stderr: %s", stderr.String())
			}
			return nil
		})
		s.kill()
		s.start()
	}
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 7 {
		t.Errorf("exit status %d, want 7; stderr: %s", got, stderr.String())
	}
	var want bytes.Buffer
	for i := range 3000 {
		fmt.Fprintln(&want, i)
	}
	if stdout.String() != want.String() {
		t.Errorf("the log is not what the task wrote: %d bytes, want %d", len(stdout.String()), want.Len())
	}
}

// A background build is watched afterwards, with the same output and exit status.
func TestBackgroundAndWatch(t *testing.T) {
	s := startServer(t)
	task := s.script("task", "echo out; exit 4", "")
	s.midge("execute", "-c", task, "--background").want(t, 0, "executing build 1")
	r := s.midge("watch", "-b", "1")
	r.want(t, 4)
	if !strings.Contains(r.stdout, "out") {
		t.Errorf("stdout is %q", r.stdout)
	}
	s.midge("builds").want(t, 0, "failed")
}

func TestLoginOverTCP(t *testing.T) {
	s := startServer(t, "--add-local-user", "ana:secret")
	listening := s.url()
	s.midge("login", "-t", "remote", "-c", listening, "-u", "ana", "-p", "wrong").wantError(t, 1, "password")
	s.midge("login", "-t", "remote", "-c", listening, "-u", "ana", "-p", "secret").want(t, 0)
	task := s.script("task", "echo hi", "")
	cmd := s.command("execute", "-t", "remote", "-c", task)
	runCommand(t, cmd).want(t, 0, "hi")
	s.midge("builds", "-t", listening).wantError(t, 1, "log in with: midge")
}

// url is where the server listens, from its log.
func (s *server) url() string {
	s.t.Helper()
	url := ""
	eventually(s.t, "the server says where it listens", func() error {
		for word := range strings.FieldsSeq(s.log.String()) {
			if _, address, found := strings.Cut(word, "http://"); found {
				url = "http://" + strings.Trim(address, `",`)
				return nil
			}
		}
		return fmt.Errorf("its log:\n%s", s.log)
	})
	return url
}

// The examples, of which those that compile are given a program that is compiled in
// seconds: this one takes minutes with an empty cache.
func TestExamples(t *testing.T) {
	s := startServer(t)
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	example := func(name string) string { return filepath.Join(repository, "examples", name, "task.yml") }
	r := s.midge("execute", "-c", example("hello"), "-i", "midge="+repository, "-o", "greeting=greeting")
	r.want(t, 0, "hello from build 1")
	s.wantFile("greeting/hello.txt", "hello\n")

	s.midge("execute", "-c", example("fail"), "-o", "report=fail").want(t, 3)
	s.wantFile("fail/checks.txt", "the first check passed\nthe second check failed\n")

	s.write(map[string]string{
		"program/go.mod":             "module midge\n",
		"program/api/number.go":      "package api\n\nfunc Number() int { return 42 }\n",
		"program/api/number_test.go": "package api\n\nimport \"testing\"\n\nfunc TestNumber(t *testing.T) { Number() }\n",
		"program/cmd/midge/main.go":  "package main\n\nimport \"midge/api\"\n\nfunc main() { println(api.Number()) }\n",
	})
	s.midge("execute", "-c", example("test"), "-i", "midge=program", "-o", "report=report").want(t, 0, "total:", "100.0%")
	if _, err := os.Stat(s.path("report/coverage.html")); err != nil {
		t.Error(err)
	}

	s.midge("execute", "-c", example("build"), "-i", "midge=program", "-o", "bin=built").want(t, 0)
	out, err := exec.Command(s.path("built/midge")).CombinedOutput()
	if err != nil || string(out) != "42\n" {
		t.Errorf("the binary that came home says %q, %v", out, err)
	}
}

// asNobody makes a command run as a user without rights.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}
