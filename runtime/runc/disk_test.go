package runc_test

import (
	"path/filepath"
	"testing"
	"time"

	"midge/agent"
	"midge/agent/quota"
	"midge/runtime"
	"midge/runtime/runc"
)

// Where the file system has project quotas a container cannot write more than its limit,
// and where it has none its processes are killed then. TestUnifiedHierarchy has the former.
func TestProjectQuota(t *testing.T) {
	const limit = 8 << 20
	dir := filepath.Join(t.TempDir(), "state")
	w := newWorker(t, func(o *runc.Options) { o.StateDir = dir })
	c := newContainer(t, w, runtime.ContainerSpec{
		Limits:  runtime.Limits{Disk: limit},
		Outputs: []runtime.Output{{Path: "out"}},
	})
	config, err := agent.ReadConfig(filepath.Join(dir, "containers", "container"))
	if err != nil {
		t.Fatal(err)
	}
	enforced := quota.Enforced(dir)
	if has := config.DiskProject != 0; has != enforced {
		t.Fatalf("quotas are enforced: %t, and the container has one: %t", enforced, has)
	}
	within := run(t, c, "within", "head -c 1000000 /dev/zero >out/file; head -c 1000000 /dev/zero >/file; exit 3")
	if status := wait(t, within); status.Code != 3 || status.DiskUsed != 0 {
		t.Errorf("within its limit it ends with %+v", status)
	}
	beyond := run(t, c, "beyond", "head -c 9000000 /dev/zero >>out/file && sleep 100000")
	status := wait(t, beyond)
	said := output(t, beyond, runtime.Stderr)
	switch {
	case status.DiskUsed == 0:
		t.Errorf("beyond its limit it ends with %+v: %s", status, said)
	case enforced && (status.Code != 1 || status.DiskUsed > limit):
		t.Errorf("beyond its quota it ends with %+v: %s", status, said)
	case !enforced && status.Code != 137:
		t.Errorf("beyond its limit it ends with %+v: %s", status, said)
	}
	if status := wait(t, run(t, c, "after", "rm out/file && echo x >out/file")); status.Code != 0 || status.DiskUsed != 0 {
		t.Errorf("with room again it ends with %+v", status)
	}
	if err := c.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !enforced {
		return
	}
	awaitNoneUsed(t, dir, config.DiskProject)
	again, err := quota.New(dir, "other", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := quota.SetLimit(dir, again, 0); err != nil {
		t.Fatal(err)
	}
}

// awaitNoneUsed waits for the kernel to let go of the files of a project that were
// removed, of which it gives no sign.
func awaitNoneUsed(t *testing.T, dir string, project quota.Project) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		used, err := quota.Used(dir, project)
		if err != nil {
			t.Fatal(err)
		}
		if used == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("its project takes %d bytes when all of it is removed", used)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
