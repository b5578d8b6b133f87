package endtoend

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// asOrdinaryUser gives the start of a command line that runs the rest as a user of this
// machine who has numbers for containers, as an administrator gives them: in an /etc that
// only that program sees.
func asOrdinaryUser(t *testing.T, dir string) []string {
	t.Helper()
	etc := filepath.Join(dir, "etc")
	// What goes meanwhile, as a file of another test, is 24 to rsync.
	copying := exec.Command("sh", "-c", `rsync -a /etc/ "$0" || test $? = 24`, etc)
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"subuid", "subgid"} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte("games:200000:65536\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"unshare", "--mount", "--propagation", "private", "sh", "-ec",
		`mount --bind "$0" /etc; exec setpriv --reuid games --regid games --clear-groups -- "$@"`, etc}
}

// startOrdinaryServer starts a server that is not root's.
func startOrdinaryServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := newServer(t, args...)
	own := s.path("own")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	// games, whose number every Debian has as it is
	if err := os.Chown(own, 5, 60); err != nil {
		t.Fatal(err)
	}
	s.socket = filepath.Join(own, "midge.sock")
	s.args = append(s.args, "--data-dir", filepath.Join(own, "data"), "--socket", s.socket)
	s.wrap = asOrdinaryUser(t, s.dir)
	s.serve()
	return s
}

// A server that is an ordinary user's does all but what needs root, and says what that is.
func TestOrdinaryUsersServer(t *testing.T) {
	s := startOrdinaryServer(t)
	s.write(map[string]string{"src/file": "sent\n"})
	task := s.script("task", `
cat src/file
echo changed > src/file; echo new > out/file; echo mine > /tmp/x
id -u; stat -c %u src/file; cut -c1-22 /proc/self/uid_map
grep -q . /etc/shadow || echo no shadow
ls /sys/fs/cgroup | wc -l`, "inputs: [{name: src}]\noutputs: [{name: out}]\n")
	s.midge("execute", "-c", task, "-i", "src=src", "-o", "out=out").
		want(t, 0, "sent\n0\n0\n         0          1 \nno shadow\n0\n")
	s.wantFile("out/file", "new\n")
	s.wantFile("src/file", "sent\n")

	limited := s.script("limited", "true", "container_limits: {memory: 100MB}\n")
	s.midge("execute", "-c", limited).want(t, 2, "the task asks for a limit of its memory, which a server that is an ordinary user's cannot give when no cgroup is delegated to it: leave that out, or start the server with \"systemd-run --user --scope -p Delegate=yes midge server\"")
	s.midge("execute", "-c", s.script("used", "true", ""), "--usage").want(t, 0, "n/a (containers of an ordinary user's server have no cgroup)")

	isolated := startOrdinaryServer(t, "--network", "none")
	isolated.midge("execute", "-c", isolated.script("task", "ls /sys/class/net; grep -c : /proc/net/dev", "")).want(t, 0, "lo\n1\n")

	failing := s.script("failing", "echo kept > kept; exit 7", "")
	s.midge("execute", "-c", failing).want(t, 7, "midge hijack -b 4")
	s.kill()
	s.start()
	s.midge("hijack", "-b", "4", "--", "cat", "kept").want(t, 0, "kept\n")
}

// Settings that need root are refused, and so is a user who has no numbers for containers.
func TestOrdinaryUsersServerRefuses(t *testing.T) {
	dir := t.TempDir()
	games := asOrdinaryUser(t, dir)
	daemon := slices.Clone(games)
	daemon[6] = strings.ReplaceAll(daemon[6], "games", "daemon")
	tests := []struct {
		name   string
		wrap   []string
		args   []string
		reason string
	}{
		{"limits", games, []string{"--default-task-memory-limit", "1GB"}, "need root or a cgroup that is delegated to the server (the machine does not have cgroup version 2 alone)"},
		{"no numbers", daemon, nil, "/etc/subuid has none for daemon"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			line := slices.Concat(test.wrap, []string{filepath.Join(binaries, "midge-server"), "--listen", "", "--data-dir", "/nonexistent/data", "--socket", ""}, test.args)
			runCommand(t, exec.Command(line[0], line[1:]...)).wantError(t, 1, test.reason)
		})
	}
}
