package usage

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"midge/api"
)

func TestProcessesOfASession(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "USAGE_TEST_WORK=cpu")
	command.Stdin = strings.NewReader("go\n\n")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Process.Release()
	used := new(unix.Rusage)
	if _, err := unix.Wait4(command.Process.Pid, nil, 0, used); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	resources := Processes(ended, used)
	s := Summarise(api.StepUsage{Started: ended.Add(-time.Minute), Ended: ended, ResourceUsage: resources})
	if s.CPU == nil || *s.CPU < cpuToUse {
		t.Errorf("cpu is %v, want at least %v", s.CPU, cpuToUse)
	}
	if s.MemoryPeak == nil || *s.MemoryPeak < megabyte {
		t.Errorf("the peak of memory is less than a Go program has: %v", s.MemoryPeak)
	}
	if s.Received != nil || s.IOWait != nil {
		t.Error("what is counted for the container alone is given for a session")
	}
}
