package coredump_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"midge/coredump"
)

// crash makes the test program one that crashes.
const crash = "MIDGE_COREDUMP_TEST"

func TestMain(m *testing.M) {
	if how := os.Getenv(crash); how != "" {
		if how == "forbidden" {
			if err := coredump.Forbid(); err != nil {
				panic(err)
			}
		}
		if err := unix.Kill(os.Getpid(), unix.SIGABRT); err != nil {
			panic(err)
		}
		select {}
	}
	os.Exit(m.Run())
}

// What crashes says whether it has dumped its memory: to a file or to a program.
func TestForbid(t *testing.T) {
	for how, want := range map[string]bool{"allowed": dumpsAreMade(t), "forbidden": false} {
		// The Go runtime ends by itself unless it is told to crash.
		cmd := exec.Command("sh", "-c", "ulimit -S -c $(ulimit -H -c); exec \"$0\"", os.Args[0])
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), crash+"="+how, "GOTRACEBACK=crash")
		if err := cmd.Run(); err == nil {
			t.Fatalf("%s: it did not crash", how)
		}
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || status.CoreDump() != want {
			t.Errorf("%s: it has dumped its memory: %v, want %v", how, !want, want)
		}
	}
}

// dumpsAreMade tells whether this machine makes any.
func dumpsAreMade(t *testing.T) bool {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		t.Fatal(err)
	}
	return strings.HasPrefix(string(pattern), "|") || limit.Max > 0 && strings.TrimSpace(string(pattern)) != ""
}
