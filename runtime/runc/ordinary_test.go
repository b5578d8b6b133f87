package runc_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ordinaryVariable has the tests run as an ordinary user's, see package rootless; withCgroup
// says of that user that a cgroup is delegated to it.
const (
	ordinaryVariable = "MIDGE_TEST_ORDINARY"
	withCgroup       = "delegated"
)

// An ordinary user's worker keeps every promise but those that need control groups.
func TestConformanceOfAnOrdinaryUsersWorker(t *testing.T) {
	dir := t.TempDir()
	openToAll(t, dir)
	program, agent := filepath.Join(dir, "test"), filepath.Join(dir, "midge-agent")
	copyProgram(t, "/proc/self/exe", program)
	copyProgram(t, agentProgram, agent)
	own := filepath.Join(dir, "own")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	// games, whose number every Debian has as it is
	if err := os.Chown(own, 5, 60); err != nil {
		t.Fatal(err)
	}
	// It has numbers for containers, as an administrator gives them, in an /etc that it alone sees.
	const script = `
cp -a /etc "$0"
echo games:200000:65536 >"$0/subuid"
echo games:200000:65536 >"$0/subgid"
mount --bind "$0" /etc
exec setpriv --reuid games --regid games --clear-groups -- "$@"`
	test := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, filepath.Join(dir, "etc"),
		program, "-test.v", "-test.run", "^TestConformance$")
	test.Dir = dir
	test.Env = append(os.Environ(), "HOME="+own, "TMPDIR="+own, agentVariable+"="+agent, ordinaryVariable+"=1")
	out, err := test.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestConformance ") {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	}
}

// openToAll lets everybody pass through a test's directory.
func openToAll(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
}
