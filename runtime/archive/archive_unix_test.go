//go:build unix

package archive_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"midge/runtime"
	"midge/runtime/archive"
)

// TestExtractReadOnlyTree has a tree unpacked whose directories nobody may write
// to: by who tests, and by a user who is held to permissions.
func TestExtractReadOnlyTree(t *testing.T) {
	base := os.Getenv("TEST_DIR")
	if base == "" {
		base = t.TempDir()
	}
	dir := filepath.Join(base, "tree")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	headers := []tar.Header{
		{Typeflag: tar.TypeDir, Name: "a/", Mode: 0o555}, {Typeflag: tar.TypeDir, Name: "a/b/", Mode: 0o500},
		{Typeflag: tar.TypeReg, Name: "a/b/file", Linkname: "x", Mode: 0o400}, {Typeflag: tar.TypeReg, Name: "a/file", Linkname: "y", Mode: 0o444},
	}
	if err := archive.Extract(t.Context(), stream(t, headers...), dir, archive.Options{}); err != nil {
		t.Error(err)
	}
	want := "./ a/ a/b/ a/b/file a/file"
	if got := names(t, written(t, dir, ".")); got != want {
		t.Errorf("the tree has %q, want %q", got, want)
	}
	for _, name := range []string{"a", "a/b"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil {
			t.Error(err)
		}
	}
	if os.Getenv("TEST_DIR") != "" || os.Getuid() != 0 {
		return
	}
	shared := t.TempDir()
	for _, name := range []string{shared, filepath.Dir(shared)} {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	// The program may lie where the other user cannot look, but is open here.
	again := exec.Command("/proc/self/exe", "-test.run=^TestExtractReadOnlyTree$")
	again.Env = append(os.Environ(), "TEST_DIR="+shared)
	again.Dir = shared
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if output, err := again.CombinedOutput(); err != nil {
		t.Errorf("as another user: %v\n%s", err, output)
	}
}

func TestExtractKeepsHoles(t *testing.T) {
	dir := t.TempDir()
	contents := "begin" + strings.Repeat("\x00", 8<<20)
	err := archive.Extract(t.Context(), stream(t, file("middle", contents+"end"), file("end", contents)), dir, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"middle": contents + "end", "end": contents} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s has %d bytes that are not the %d given (%v)", name, len(got), len(want), err)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
			t.Errorf("%s takes %d bytes of the disk", name, used)
		}
	}
}

func TestWriteLeavesOutWhatIsNoTree(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := names(t, written(t, dir, "."))
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if after := names(t, written(t, dir, ".")); after != before {
		t.Errorf("with a named pipe the stream has %q", after)
	}
	var notFound *runtime.NotFoundError
	if err := archive.Write(t.Context(), io.Discard, dir, "pipe"); !errors.As(err, &notFound) {
		t.Errorf("the pipe alone gave %v", err)
	}
}
