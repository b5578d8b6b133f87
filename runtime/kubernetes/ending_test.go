//go:build cluster

package kubernetes_test

import (
	"strings"
	"testing"
)

// A task that fills more of the node's disk than it may is evicted, and that is said.
func TestEphemeralStorage(t *testing.T) {
	t.Parallel()
	spec := newSpec("storage")
	spec.Limits.Disk = 8 << 20
	container := newContainer(t, newWorker(t, newOptions(t)), spec)
	process := begin(t, container, "task", "dd if=/dev/zero of=/tmp/fill bs=1M count=32 && read line")
	_, err := process.Wait(t.Context())
	if err == nil || !strings.Contains(err.Error(), "evicted it") || !strings.Contains(err.Error(), "ephemeral") {
		t.Errorf("Wait gave %v", err)
	}
}

// A task that kills all it can see ends nothing but itself.
func TestTaskThatKillsEverything(t *testing.T) {
	t.Parallel()
	container := newContainer(t, newWorker(t, newOptions(t)), newSpec("killer"))
	process := begin(t, container, "task", "echo begun; kill -9 1; kill -TERM 1; kill -9 -1; echo survived; exit 3")
	status, err := process.Wait(t.Context())
	if err != nil || status.Code != 3 {
		t.Errorf("it ended with %+v, %v", status, err)
	}
	if got := output(t, process); got != "begun\nsurvived\n" {
		t.Errorf("the output is %q", got)
	}
}
