package endtoend

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Before the disk is full the build is stopped that has filled it. What it has is gone,
// and others go on.
func TestABuildIsStoppedBeforeTheDiskIsFull(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256m,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := startServer(t, "--data-dir", filepath.Join(disk, "data"), "--min-free-space", "100MB", "--stop-free-space", "64MB")
	quiet := s.script("quiet", "head -c 1000000 /dev/zero >file; echo begun; while ! test -e go; do sleep 0.1; done; echo ended", "")
	s.midge("execute", "-c", quiet, "--background").want(t, 0)
	eventually(t, "the other build runs", func() error {
		if r := s.midge("workers", "--json"); !strings.Contains(r.stdout, `"active_tasks": 1`) {
			return errors.New(r.stdout)
		}
		return nil
	})

	// It pauses where less than the floor is left, and the disk is not full yet.
	fills := s.script("fills", "head -c 210000000 /dev/zero >out/file; exec sleep 100000", "outputs: [{name: out}]\n")
	s.midge("execute", "-c", fills, "-o", "out=out").want(t, 2, "disk is nearly full", "stop-free-space (64 MB)", "larger disk")
	r := s.midge("hijack", "-b", "2", "--", "true")
	r.want(t, 1, "stopped because the disk was nearly full")

	s.midge("hijack", "-b", "1", "--", "touch", "go").want(t, 0)
	s.midge("watch", "-b", "1").want(t, 0, "ended")
}
