// Package chaos takes from a real server what it relies on, its disk and its own
// process, and checks what it makes of that: the build that needed it errors and says
// so, others and the server go on, and nothing that was stored is damaged.
package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"midge/test/realserver"
)

func TestMain(m *testing.M) { os.Exit(realserver.Main(m)) }

// mountTmpfs mounts a file system of that many bytes, for as long as the test runs.
func mountTmpfs(t *testing.T, bytes int64) string {
	t.Helper()
	dir := t.TempDir()
	// A task's programs run as somebody else, and go through it.
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", bytes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Namespaces that were made meanwhile, by whomever, may have it for longer.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves that many bytes free on a disk, and gives what frees the rest again.
func fill(t *testing.T, dir string, leave int64) (free func()) {
	t.Helper()
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "filler")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if size := int64(stat.Bavail)*stat.Bsize - leave; size > 0 {
		if err := unix.Fallocate(int(file.Fd()), 0, 0, size); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// verify checks that nothing is damaged of what a stopped server has stored.
func verify(t *testing.T, s *realserver.Server) {
	t.Helper()
	realserver.Run(t, realserver.ServerCommand(t.Context(), "verify", "--data-dir", s.DataDir)).Want(t, 0, "all is well")
}

// background is a command that runs beside others.
type background struct {
	t      *testing.T
	output realserver.Output
	stderr realserver.Output
	status chan int
}

// execute begins to execute a task.
func execute(t *testing.T, s *realserver.Server, args ...string) *background {
	t.Helper()
	return begin(t, s, append([]string{"execute"}, args...)...)
}

// begin begins a command.
func begin(t *testing.T, s *realserver.Server, args ...string) *background {
	t.Helper()
	b := &background{t: t, status: make(chan int, 1)}
	cmd := s.Command(t.Context(), args...)
	cmd.Stdout, cmd.Stderr = &b.output, &b.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		// The status says how it ended.
		_ = cmd.Wait()
		b.status <- cmd.ProcessState.ExitCode()
	}()
	return b
}

// says waits until the command has printed a text.
func (b *background) says(text string) {
	b.t.Helper()
	realserver.Eventually(b.t, fmt.Sprintf("it says %q", text), func() error {
		if all := b.output.String() + b.stderr.String(); !strings.Contains(all, text) {
			return fmt.Errorf("it says %q", all)
		}
		return nil
	})
}

// want waits for the end and checks the status.
func (b *background) want(status int) {
	b.t.Helper()
	if got := <-b.status; got != status {
		b.t.Errorf("exit status %d, want %d:\n%s%s", got, status, b.output.String(), b.stderr.String())
	}
}

// busily looks again and again for what is there for a moment alone.
func busily(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !check(); {
		if time.Now().After(deadline) {
			t.Fatalf("there is not %s", what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}
