package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"midge/test/realserver"
)

// makeUnreadable has every read of a file be an I/O error, until the test ends or what it
// gives is called: what lies there instead is the memory of a process, at addresses where it
// has none.
func makeUnreadable(t *testing.T, path string) (readable func()) {
	t.Helper()
	process := exec.Command("sleep", "100000")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/%d/mem", process.Process.Pid), path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	mounted := true
	readable = func() {
		if mounted {
			mounted = false
			if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
			_ = process.Process.Kill()
			_ = process.Wait()
		}
	}
	t.Cleanup(readable)
	if file, err := os.Open(path); err != nil {
		t.Fatal(err)
	} else {
		defer file.Close()
		if _, err := file.Read(make([]byte, 1)); err == nil {
			t.Fatalf("%s can be read", path)
		}
	}
	return readable
}

// newest gives the file of a pattern that has come last.
func newest(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("there is no %s (%v)", pattern, err)
	}
	return paths[len(paths)-1]
}

// What the disk does not give is said to who needs it, and to who asks how the server is;
// everybody else goes on, with the next server as well.
func TestDiskCannotBeRead(t *testing.T) {
	s := realserver.Start(t, realserver.Options{})
	waits := s.Script("waits", "echo begun; while ! test -e go; do sleep 0.1; done; echo ended", "")
	unlucky, lucky := execute(t, s, "-c", waits), (*background)(nil)
	unlucky.says("begun\n")
	lucky = execute(t, s, "-c", waits)
	lucky.says("begun\n")
	push := func(name string) string {
		t.Helper()
		s.Write(name+"/file", name+"\n")
		pushed := s.Midge("artifacts", "push", s.Path(name))
		pushed.Want(t, 0)
		return strings.TrimSpace(pushed.Stdout)
	}
	good := push("good")
	lost := push("lost")
	copies := s.Script("copies", "cat in/file", "inputs: [{name: in}]\n")
	readable := makeUnreadable(t, newest(t, filepath.Join(s.DataDir, "artifacts/packs/*.pack")))

	s.Midge("artifacts", "cat", lost, "file").Want(t, 1, "input/output error")
	s.Midge("artifacts", "pull", lost, s.Path("into")).Want(t, 1, "input/output error")
	s.Midge("execute", "-c", copies, "-i", "in="+s.Path("lost")).Want(t, 2, "input/output error")
	s.Midge("artifacts", "cat", good, "file").Want(t, 0, "good\n")
	s.Midge("execute", "-c", copies, "-i", "in="+s.Path("good")).Want(t, 0, "good\n")
	// The log of a build that runs, of which the next server is to go on with the other.
	makeUnreadable(t, filepath.Join(s.DataDir, "builds/1/events-0"))
	s.Kill()
	s.Start()
	unlucky.want(1)
	unlucky.says("input/output error")
	s.Midge("watch", "-b", "1").Want(t, 1, "input/output error")
	s.Midge("builds").Want(t, 0, "errored")
	s.Midge("hijack", "-b", "2", "--", "touch", "go").Want(t, 0)
	lucky.says("ended\n")
	lucky.want(0)
	realserver.Eventually(t, "the status says it", func() error {
		if r := s.Midge("status", "--check"); r.Status != 2 || !strings.Contains(r.Stdout, "contents of artifacts cannot be read") {
			return fmt.Errorf("it is %+v", r)
		}
		return nil
	})
	s.Midge("artifacts", "cat", good, "file").Want(t, 0, "good\n")
	readable()
	s.Kill()
	s.Start()
	s.Midge("artifacts", "cat", lost, "file").Want(t, 0, "lost\n")
}

// A server whose data dir is on a disk that is read-only says so, and leaves it as it is.
func TestReadOnlyDisk(t *testing.T) {
	disk := mountTmpfs(t, 64<<20)
	s := realserver.Start(t, realserver.Options{DataDir: filepath.Join(disk, "data"), Args: []string{"--min-free-space", "0"}})
	s.Write("src/file", "kept\n")
	stored := s.Midge("artifacts", "push", s.Path("src"))
	stored.Want(t, 0)
	s.Stop()
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{s.DataDir, filepath.Join(disk, "new")} {
		r := realserver.Run(t, realserver.ServerCommand(t.Context(), "--data-dir", dir, "--listen", "127.0.0.1:0", "--socket", s.Path("other.sock")))
		r.Want(t, 1, "read-only", "--data-dir")
		if lines := strings.Count(r.Stderr, "\n"); lines != 1 {
			t.Errorf("it says in %d lines: %s", lines, r.Stderr)
		}
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	s.Start()
	s.Midge("artifacts", "cat", strings.TrimSpace(stored.Stdout), "file").Want(t, 0, "kept")
}
