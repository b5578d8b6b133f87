package cgroup2vm

import (
	"path/filepath"
	"strings"
	"testing"

	"midge/test/source"
)

// The tests of usage that read real control groups pass on the unified hierarchy too.
func TestUsageOnTheUnifiedHierarchy(t *testing.T) {
	program := BuildTest(t, "./usage")
	directory := filepath.Join(source.Dir(), "usage")
	machine := Machine{Files: []string{program}, Directories: []string{filepath.Join(directory, "testdata")}, Dir: directory}
	output := machine.Run(t, program, "-test.v", "-test.run", "^Test(Real|Sample|System|Recent|Brief)", "-disk", "/disk")
	for _, want := range []string{"--- PASS: TestRealCPU", "--- PASS: TestRealMemory", "--- PASS: TestRealDisk",
		"--- PASS: TestRealProcesses", "--- PASS: TestRealNetworkOfItsOwn", "--- PASS: TestRealPressure",
		"--- PASS: TestRealOOMKillIsExplained", "--- PASS: TestSampleOfARemovedGroupFails", "--- PASS: TestBriefSample"} {
		if !strings.Contains(output, want) {
			t.Errorf("the machine did not print %q", want)
		}
	}
	if t.Failed() {
		t.Log(output)
	}
}

func TestWhatTheMachineHas(t *testing.T) {
	got := Machine{}.Run(t, "sh", "-c", "cat /sys/fs/cgroup/cgroup.controllers; pwd; df /disk | tail -n 1")
	for _, want := range []string{"cpu", "memory", "io", "pids", "/root", "/dev/nvme0n1"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}
