package usage

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"midge/api"
)

func TestProcessesOfASession(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "USAGE_TEST_WORK=cpu")
	command.Stdin = strings.NewReader("go\n\n")
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	rusage, ok := command.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("there is no rusage")
	}
	ended := time.Now()
	used := Processes(ended, rusage)
	s := Summarise(api.StepUsage{Started: ended.Add(-time.Minute), Ended: ended, ResourceUsage: used})
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
