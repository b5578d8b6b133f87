package chaos

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"midge/api"
	"midge/test/realserver"
)

// random is a file that no compression makes smaller.
func random(t *testing.T, path string, bytes int) {
	t.Helper()
	content := make([]byte, bytes)
	// It never fails.
	_, _ = rand.Read(content)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	disk := mountTmpfs(t, 128<<20)
	s := realserver.Start(t, realserver.Options{DataDir: filepath.Join(disk, "data"), Args: []string{"--min-free-space", "0", "--gc-grace", "0s"}})
	quiet := execute(t, s, "-c", s.Script("quiet", "echo begun; while ! test -e go; do sleep 0.1; done; echo ended", ""))
	quiet.says("begun")
	random(t, s.Path("large/file"), 40<<20)
	large := s.Script("large", "ls -l in", "inputs: [{name: in}]\n")
	writes := s.Script("writes", "dd if=/dev/zero of=out/file bs=1M count=60", "outputs: [{name: out}]\n")
	prints := s.Script("prints", "head -c 50000000 /dev/urandom | od", "")

	free := fill(t, disk, 8<<20)
	s.Midge("execute", "-c", large, "-i", "in="+s.Path("large")).Want(t, 1, "no space left on device")
	// What has arrived of it stays for whoever sends it again, and may have taken all there
	// was: the next has as much as it had.
	free()
	free = fill(t, disk, 8<<20)
	s.Midge("execute", "-c", writes, "-o", "out="+s.Path("out")).Want(t, 2, "no space left on device")
	free()
	free = fill(t, disk, 8<<20)
	s.Midge("execute", "-c", prints).Want(t, 2, "no space left on device")
	// How bad it is depends on what those who failed have left.
	realserver.Eventually(t, "the status tells of it", func() error {
		if r := s.Midge("status", "--check"); r.Status == 0 || !strings.Contains(r.Stdout, "of the data dir's disk are free") {
			return fmt.Errorf("it is %+v", r)
		}
		return nil
	})
	free()

	s.Midge("execute", "-c", large, "-i", "in="+s.Path("large")).Want(t, 0, "file")
	s.Midge("hijack", "-b", "1", "--", "touch", "go").Want(t, 0)
	quiet.says("ended")
	quiet.want(0)
	s.Stop()
	verify(t, s)
}

func TestBuildsWaitBelowTheWatermark(t *testing.T) {
	disk := mountTmpfs(t, 128<<20)
	s := realserver.Start(t, realserver.Options{DataDir: filepath.Join(disk, "data"), Args: []string{"--min-free-space", "64MB"}})
	free := fill(t, disk, 32<<20)
	realserver.Eventually(t, "the status says it", func() error {
		var status api.Status
		r := s.Midge("status", "--details", "--json")
		if err := json.Unmarshal([]byte(r.Stdout), &status); err != nil {
			return fmt.Errorf("%w in %+v", err, r)
		}
		for _, part := range status.Parts {
			if part.Name == "disk" && strings.Contains(part.Finding, "new builds wait") && part.Verdict == api.VerdictCritical {
				return nil
			}
		}
		return fmt.Errorf("it says %s", r.Stdout)
	})
	waiting := execute(t, s, "-c", s.Script("task", "echo ran", ""))
	waiting.says("disk is nearly full")
	free()
	waiting.says("ran")
	waiting.want(0)
}

// A disk that fails: what is behind a loop device is full, so that writes give I/O
// errors and the kernel makes its file system read-only.
func TestDiskFails(t *testing.T) {
	below := mountTmpfs(t, 24<<20)
	image := filepath.Join(below, "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 256<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-J", "size=4", "-E", "lazy_itable_init=1,lazy_journal_init=1", image)
	disk := t.TempDir()
	run(t, "mount", "-o", "loop,errors=remount-ro", image, disk)
	t.Cleanup(func() { run(t, "umount", "--lazy", disk) })
	s := realserver.Start(t, realserver.Options{DataDir: filepath.Join(disk, "data"), Args: []string{"--min-free-space", "0"}})
	s.Write("src/file", "kept\n")
	stored := s.Midge("artifacts", "push", s.Path("src"))
	stored.Want(t, 0)
	s.Midge("execute", "-c", s.Script("good", "echo fine", "")).Want(t, 0, "fine")

	random(t, s.Path("large/file"), 32<<20)
	if r := s.Midge("artifacts", "push", s.Path("large")); r.Status == 0 {
		t.Errorf("32 MB are stored on a disk of 24: %+v", r)
	}
	// Until the kernel has written all of it back, some still works.
	realserver.Eventually(t, "the status is critical", func() error {
		if r := s.Midge("status", "--check"); r.Status != 2 {
			return fmt.Errorf("it is %+v", r)
		}
		return nil
	})
	if r := s.Midge("execute", "-c", s.Script("late", "true", "")); r.Status == 0 {
		t.Errorf("a build succeeds on a disk that has failed: %+v", r)
	}
	// What can be read is there.
	s.Midge("builds").Want(t, 0, "succeeded")
	s.Midge("artifacts", "cat", strings.TrimSpace(stored.Stdout), "file").Want(t, 0, "kept")
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v: %s", name, args, err, out)
	}
}
