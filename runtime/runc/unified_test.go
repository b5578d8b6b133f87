package runc_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"midge/test/cgroup2vm"
)

// The other tests see the hierarchies that the machine has. These are some of them
// where there is the unified one alone, with either runtime.
func TestUnifiedHierarchy(t *testing.T) {
	if os.Getenv(agentVariable) != "" {
		return // this is there
	}
	runtimes := make([]string, 2)
	for i, name := range []string{"runc", "crun"} {
		var err error
		if runtimes[i], err = exec.LookPath(name); err != nil {
			t.Fatal(err)
		}
	}
	program := cgroup2vm.BuildTest(t, "./runtime/runc")
	script := `set -e
mkdir -p /mnt /disk/tmp
export TMPDIR=/disk/tmp ` + agentVariable + `="$1"
for runtime in "$3" "$4"; do
	` + runtimeVariable + `=$runtime "$2" -test.v -test.run '^(TestOutputStreamsAndExitStatus|TestKilledForMemory|TestDestroyedContainerLeavesNothing)$'
done
"$2" -test.v -test.run '^TestProjectQuota$'`
	machine := cgroup2vm.Machine{Files: append(runtimes, agentProgram, program)}
	out := machine.Run(t, "sh", "-c", script, "sh", agentProgram, program, runtimes[0], runtimes[1])
	if got := strings.Count(out, "--- PASS: "); got != 7 {
		t.Errorf("%d tests passed, want 3 with each runtime, and that of quotas:\n%s", got, out)
	}
}
