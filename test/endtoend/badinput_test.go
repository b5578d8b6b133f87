package endtoend

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each mistake gets a sentence that names it and a status that is not 0.
func TestMistakes(t *testing.T) {
	s := startServer(t)
	s.write(map[string]string{"file": "x", "src/a": "a", "notyaml.yml": "{[", "unknown.yml": "platform: linux\nrun: {path: sh}\nimputs: []\n"})
	withInput := s.script("input", "true", "inputs: [{name: src}]\n")
	tests := []struct {
		name   string
		args   []string
		status int
		words  []string
	}{
		{"not YAML", []string{"-c", "notyaml.yml"}, 1, []string{"notyaml.yml"}},
		{"unknown field", []string{"-c", "unknown.yml"}, 1, []string{"unknown.yml:3:1", "imputs", "inputs"}},
		{"a directory as -c", []string{"-c", "src"}, 1, []string{"src", "directory"}},
		{"no such task file", []string{"-c", "nope.yml"}, 1, []string{"nope.yml"}},
		{"missing input", []string{"-c", withInput}, 1, []string{"src"}},
		{"missing input directory", []string{"-c", withInput, "-i", "src=nope"}, 1, []string{"nope"}},
		{"a file as input", []string{"-c", withInput, "-i", "src=file"}, 1, []string{"file", "directory"}},
		{"unknown input", []string{"-c", withInput, "-i", "src=src", "-i", "other=src"}, 1, []string{"other"}},
		{"unknown output", []string{"-c", withInput, "-i", "src=src", "-o", "other=out"}, 1, []string{"other"}},
		{"undefined variables", []string{"-c", s.script("vars", "echo ((one)) ((two))", "")}, 1, []string{"one", "two"}},
		{"no such executable", []string{"-c", s.task("exe", "platform: linux\nrun: {path: /no/such}\n")}, 2, []string{"/no/such"}},
		{"not executable", []string{"-c", s.task("noexec", "platform: linux\nrun: {path: /etc/passwd}\n")}, 2, []string{"/etc/passwd"}},
		{"no such working directory", []string{"-c", s.task("dir", "platform: linux\nrun: {path: sh, args: [-c, 'true'], dir: nowhere}\n")}, 2, []string{"nowhere"}},
		{"no such user", []string{"-c", s.task("user", "platform: linux\nrun: {path: sh, args: [-c, 'true'], user: nosuchuser}\n")}, 2, []string{"nosuchuser"}},
		{"other platform", []string{"-c", s.task("platform", "platform: windows\nrun: {path: cmd}\n")}, 2, []string{"windows"}},
		{"no such image resource", []string{"-c", s.task("resource", "platform: linux\nimage_resource: {type: git, source: {uri: x}}\nrun: {path: sh}\n")}, 2, []string{"image_resource"}},
		{"privileged", []string{"-c", s.script("privileged", "true", ""), "--privileged"}, 2, []string{"--allow-privileged"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := s.midge(append([]string{"execute"}, test.args...)...)
			r.want(t, test.status, test.words...)
		})
	}
}

func TestUnreadableFile(t *testing.T) {
	s := startServer(t, "--add-local-user", "ana:secret")
	s.write(map[string]string{"src/secret": "x"})
	if err := os.Chmod(s.path("src/secret"), 0); err != nil {
		t.Fatal(err)
	}
	home := s.path("nobody")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) result {
		cmd := asNobody(s.command(args...))
		cmd.Env = append(cmd.Env, "HOME="+home, "MIDGE_TARGET=")
		return runCommand(t, cmd)
	}
	run("login", "-t", "remote", "-c", s.url(), "-u", "ana", "-p", "secret").want(t, 0)
	task := s.script("task", "true", "inputs: [{name: src}]\n")
	run("execute", "-t", "remote", "-c", task, "-i", "src=src").wantError(t, 1, `"secret": permission denied`)
	run("builds", "-t", s.target()).wantError(t, 1, "may not use", "group midge")
}

func TestNoServer(t *testing.T) {
	s := startServer(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := listener.Addr().String()
	listener.Close()
	s.midge("builds", "-t", "http://"+free).wantError(t, 1, free)
	s.midge("builds", "-t", "unix://"+s.path("nope.sock")).wantError(t, 1, "nope.sock", "midge server")
	s.midge("builds", "-t", "nosuchtarget").wantError(t, 1, "nosuchtarget")
}

func TestServerRefusesToStart(t *testing.T) {
	s := startServer(t)
	serve := func(cmd *exec.Cmd) result { return runCommand(t, cmd) }
	command := func(args ...string) *exec.Cmd {
		return exec.Command(filepath.Join(binaries, "midge-server"), args...)
	}
	fresh := func() []string {
		return []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0",
			"--socket", filepath.Join(t.TempDir(), "s")}
	}
	serve(command("--data-dir", s.path("data"), "--listen", "127.0.0.1:0", "--socket", s.path("other.sock"))).
		wantError(t, 1, s.path("data"))

	taken := fresh()
	taken[3] = strings.TrimPrefix(s.url(), "http://")
	serve(command(taken...)).wantError(t, 1, taken[3])

	inUse := fresh()
	inUse[5] = s.path("midge.sock")
	serve(command(inUse...)).wantError(t, 1, s.path("midge.sock"))

	noRuntime := command(fresh()...)
	noRuntime.Env = []string{"PATH=/nonexistent"}
	serve(noRuntime).wantError(t, 1, "runc")

	serve(asNobody(command(fresh()...))).wantError(t, 1)
	serve(command("--no-such-flag")).wantError(t, 1, "--no-such-flag")
}
