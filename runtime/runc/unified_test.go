package runc_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"midge/test/cgroup2vm"
)

// systemdRun makes a scope as systemd does, and leaves it there.
const systemdRun = `#!/bin/sh -e
while [ "$1" != -- ]; do
	case $1 in --unit=*) unit=${1#--unit=} ;; esac
	shift
done
shift
mkdir -p "/sys/fs/cgroup/system.slice/$unit"
echo +cpu +io +memory +pids >/sys/fs/cgroup/system.slice/cgroup.subtree_control
echo $$ >"/sys/fs/cgroup/system.slice/$unit/cgroup.procs"
exec "$@"`

// The other tests see the hierarchies that the machine has. These are some of them
// where there is the unified one alone, with either runtime; the second is where systemd
// rules, and makes a scope for each worker, and that of quotas where it does not.
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
test() {
	` + runtimeVariable + `=$1 "$2" -test.v -test.run '^(TestOutputStreamsAndExitStatus|TestKilledForMemory|TestDestroyedContainerLeavesNothing)$'
}
test "$3" "$2"
mkdir -p /run/systemd/system
cat >/bin/systemd-run <<'END'
` + systemdRun + `
END
chmod +x /bin/systemd-run
test "$4" "$2"
rmdir /sys/fs/cgroup/system.slice/midge-*.scope/midge-server /sys/fs/cgroup/system.slice/midge-*.scope
rm /bin/systemd-run
"$2" -test.v -test.run '^TestProjectQuota$'`
	machine := cgroup2vm.Machine{Files: append(runtimes, agentProgram, program)}
	out := machine.Run(t, "sh", "-c", script, "sh", agentProgram, program, runtimes[0], runtimes[1])
	if got := strings.Count(out, "--- PASS: "); got != 7 {
		t.Errorf("%d tests passed, want 3 with each runtime, and that of quotas:\n%s", got, out)
	}
	if got := strings.Count(out, "systemd has made no unit for containers"); got != 1 {
		t.Errorf("%d workers say that they have no scope, want the one whose systemd-run is missing:\n%s", got, out)
	}
}
