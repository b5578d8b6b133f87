package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"midge/test/realserver"
)

// memoryGroup is a cgroup whose processes may have so many bytes together.
type memoryGroup struct {
	t   *testing.T
	dir string
}

func newMemoryGroup(t *testing.T, bytes int) memoryGroup {
	t.Helper()
	parent, limit := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(parent); err != nil { // version 2
		parent, limit = "/sys/fs/cgroup", "memory.max"
	}
	g := memoryGroup{t, filepath.Join(parent, fmt.Sprintf("midge-chaos-%d", os.Getpid()))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A process that was killed is there for a moment more.
		realserver.Eventually(t, "the cgroup goes", func() error { return unix.Rmdir(g.dir) })
	})
	g.write(limit, bytes)
	return g
}

func (g memoryGroup) write(name string, value int) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), fmt.Append(nil, value), 0); err != nil {
		g.t.Fatal(err)
	}
}

// A server, its supervisors and another program share what memory there is, and the other
// takes all. The kernel kills the server; the supervisors live, and the next server goes on.
func TestServerIsKilledForMemory(t *testing.T) {
	group := newMemoryGroup(t, 256<<20)
	s := realserver.Start(t, realserver.Options{})
	group.write("cgroup.procs", s.PID())
	task := s.Script("task", `
seq 1000
while ! test -e go; do sleep 0.1; done
seq 1001 2000
exit 7`, "")
	builds := []*background{execute(t, s, "-c", task), execute(t, s, "-c", task)}
	for _, build := range builds {
		build.says("\n1000\n")
	}
	// Of all that are there it goes first, and who takes the memory after it.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", s.PID()), []byte("1000"), 0); err != nil {
		t.Fatal(err)
	}
	greedy := exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs"; exec tail /dev/zero`, group.dir)
	if err := greedy.Start(); err != nil {
		t.Fatal(err)
	}
	s.AwaitKill()
	if err := greedy.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("who took all memory ended with %v", err)
	}
	s.Start()
	for i := range builds {
		s.Midge("hijack", "-b", fmt.Sprint(i+1), "--", "touch", "go").Want(t, 0)
	}
	for _, build := range builds {
		build.want(7)
		var want strings.Builder
		for line := 1; line <= 2000; line++ {
			fmt.Fprintln(&want, line)
		}
		if got := build.output.String(); got != want.String() {
			t.Errorf("the log has %d bytes and ends in %q, want %d", len(got), got[max(0, len(got)-50):], want.Len())
		}
	}
}
