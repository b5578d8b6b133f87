package runc_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"midge/runtime"
	"midge/runtime/runc"
	"midge/runtime/runc/delegation"
	"midge/test/cgroup2vm"
)

// The ordinary user's cgroups in the machine are of these: each is delegated.
const (
	firstCgroup  = "/games/first.scope"
	secondCgroup = "/games/second.scope"
)

// An ordinary user's worker to whom a cgroup is delegated limits what its containers use,
// and knows what that is, by runc and by crun. The test goes on in an emulated machine,
// as that user.
func TestDelegatedCgroup(t *testing.T) {
	if os.Getenv(ordinaryVariable) == withCgroup {
		useDelegatedCgroups(t)
		return
	}
	var files []string
	for _, name := range []string{"runc", "crun", "unshare", "setpriv", "newuidmap", "newgidmap"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	program := cgroup2vm.BuildTest(t, "./runtime/runc")
	script := `set -e
tests='^TestDelegatedCgroup$'
agent=$1 test=$2 runc=$3 crun=$4 setpriv=$6 first=` + firstCgroup + ` second=` + secondCgroup + `
chmod u+s "$7" "$8"
echo games:x:5:60:games:/:/bin/sh >>/etc/passwd
echo games:200000:65536 | tee /etc/subuid >/etc/subgid
mkdir -p /mnt /disk/tmp
chmod 755 /disk "${test%/*}" "${agent%/*}" "${test%/*/*}"
chown games:60 /disk/tmp
export TMPDIR=/disk/tmp ` + agentVariable + `=$agent ` + ordinaryVariable + `=` + withCgroup + `
for runtime in $runc $crun; do
	cd /sys/fs/cgroup
	mkdir games
	echo +cpu +io +memory +pids >games/cgroup.subtree_control
	mkdir ."$first" ."$second"
	for dir in games ."$first" ."$second"; do
		chown games:60 $dir $dir/cgroup.procs $dir/cgroup.subtree_control
	done
	cd /
	# As systemd does it: the user's program alone is in its cgroup.
	sh -c 'echo $$ >"$0"; exec "$@"' /sys/fs/cgroup"$first"/cgroup.procs \
		"$setpriv" --reuid games --regid 60 --clear-groups -- env ` + runtimeVariable + `=$runtime "$test" -test.v \
		-test.run "$tests"
	tests='^TestConformance$/^Conformance$/^Process$/^(OutOfMemory|Usage|TooManyProcesses)$'
	cd /sys/fs/cgroup
	rmdir games/*/midge-server games/*/ games
done`
	machine := cgroup2vm.Machine{Files: append(slices.Clone(files), agentProgram, program)}
	out := machine.Run(t, append([]string{"sh", "-c", script, "sh", agentProgram, program}, files...)...)
	for _, test := range []string{
		"TestDelegatedCgroup",
		"TestConformance/Conformance/Process/OutOfMemory",
		"TestConformance/Conformance/Process/Usage",
		"TestConformance/Conformance/Process/TooManyProcesses",
	} {
		if !strings.Contains(out, "--- PASS: "+test+" ") {
			t.Errorf("%s did not pass", test)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// useDelegatedCgroups has a worker in one delegated cgroup, and then one on the same state
// in another.
func useDelegatedCgroups(t *testing.T) {
	options := workerOptions(t)
	before := takeInventory(t, options.StateDir)
	first := openWorker(t, options)
	wantDelegated(t, firstCgroup)
	limits := runtime.Limits{Memory: 64 << 20, CPUShares: 512, Pids: 20}
	c := newContainer(t, first, runtime.ContainerSpec{Handle: "here", Limits: limits})
	shown := run(t, c, "shown", `cd /sys/fs/cgroup; cat memory.max pids.max cpu.weight; echo max >memory.max; cat memory.max`)
	if got, want := output(t, shown, runtime.Stdout), "67108864\n20\n20\n67108864\n"; got != want {
		t.Errorf("its limits inside are %q, want %q", got, want)
	}
	task := run(t, c, runtime.TaskProcessID, "exec sleep 100000")
	there := takeInventory(t, options.StateDir)
	if len(there.cgroups) != 1 || !strings.HasPrefix(there.cgroups[0], "/sys/fs/cgroup"+firstCgroup+"/") {
		t.Fatalf("a container has the cgroups %v", there.cgroups)
	}
	first.Close()

	moveTo(t, secondCgroup)
	second := openWorker(t, options)
	wantDelegated(t, secondCgroup)
	useAgain(t, second, task)
	makeLeftover(t, strings.TrimSuffix(there.cgroups[0], "here")+"gone")
	if n, err := second.RemoveLeftovers(t.Context()); err != nil || n != 1 {
		t.Errorf("it removed %d things (%v), want a cgroup", n, err)
	}
	newContainer(t, second, runtime.ContainerSpec{Handle: "new", Limits: limits})
	// The other's has ended with its processes.
	want := strings.Replace(strings.TrimSuffix(there.cgroups[0], "here")+"new", firstCgroup, secondCgroup, 1)
	if got := takeInventory(t, options.StateDir).cgroups; !slices.Equal(got, []string{want}) {
		t.Errorf("there are the cgroups %v, want %s", got, want)
	}
	for _, handle := range []string{"here", "new"} {
		c, err := second.LookupContainer(t.Context(), handle)
		if err != nil {
			t.Fatal(err)
		}
		destroy(t, c)
	}
	before.compare(t)
}

// useAgain uses a container that an earlier worker has made in another cgroup, whose task runs.
func useAgain(t *testing.T, w *runc.Worker, task runtime.Process) {
	t.Helper()
	c, err := w.LookupContainer(t.Context(), "here")
	if err != nil {
		t.Fatal(err)
	}
	if status := wait(t, run(t, c, "memory", "dd if=/dev/zero of=/dev/null bs=200M count=1; exit 3")); status.Code != 3 || !status.OOMKilled {
		t.Errorf("a process that was killed for memory has %+v", status)
	}
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if task, err = c.Attach(t.Context(), task.ID()); err != nil {
		t.Fatal(err)
	}
	used, err := task.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if used == nil || len(used.Samples) == 0 || used.Limits == nil || used.Limits.MemoryBytes == nil {
		t.Errorf("of what the task used there is %+v", used)
	}
}

// wantDelegated checks in which cgroup this process makes others.
func wantDelegated(t *testing.T, want string) {
	t.Helper()
	got, err := delegation.Take()
	if err != nil || got.Cgroup != want || !slices.Equal(got.Controllers, []string{"cpu", "io", "memory", "pids"}) {
		t.Fatalf("there is the delegation %+v (%v), want %s", got, err, want)
	}
}

// moveTo has this process be where another server would be started.
func moveTo(t *testing.T, cgroup string) {
	t.Helper()
	err := os.WriteFile(filepath.Join("/sys/fs/cgroup", cgroup, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	if err != nil {
		t.Fatal(err)
	}
}

// makeLeftover makes a cgroup as a container has that is gone.
func makeLeftover(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}
