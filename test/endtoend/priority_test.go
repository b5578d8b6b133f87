package endtoend

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"midge/priority"
)

// The kernel prefers a server to what it starts, tasks and sessions among it.
func TestServerIsPreferred(t *testing.T) {
	// The tests may have been started with another nice value, which a server would keep.
	// This thread, of which it inherits it, ends with the test.
	runtime.LockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 0); err != nil {
		t.Fatal(err)
	}
	s := startServer(t)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// proc_pid_stat(5): the nice value is the 19th field.
	if fields := strings.Fields(string(stat)); fields[18] != fmt.Sprint(priority.Raised) {
		t.Errorf("the server's nice value is %s, want %d", fields[18], priority.Raised)
	}
	task := s.script("task", "cut -d' ' -f19 /proc/self/stat; exit 1", "")
	if r := s.midge("execute", "-c", task); r.status != 1 || r.stdout != "0\n" {
		t.Errorf("the task ends with %d and says %q, want its nice value, 0\n%s", r.status, r.stdout, r.stderr)
	}
	s.midge("hijack", "-b", "1", "--", "cut", "-d", " ", "-f", "19", "/proc/self/stat").want(t, 0, "0\n")
}
