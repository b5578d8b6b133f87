package thread_test

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"midge/agent/thread"
)

func TestRun(t *testing.T) {
	// Whichever threads are free, the first one among them or not.
	for range 100 {
		tid := 0
		failed := errors.New("failed")
		if err := thread.Run(func() error { tid = unix.Gettid(); return failed }); err != failed {
			t.Errorf("error %v, want what the function gave", err)
		}
		if tid == 0 || tid == os.Getpid() {
			t.Fatalf("the function ran on thread %d of process %d", tid, os.Getpid())
		}
		// The thread has no event that tells of its end.
		for {
			if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(tid)); errors.Is(err, os.ErrNotExist) {
				break
			}
			runtime.Gosched()
		}
	}
}
