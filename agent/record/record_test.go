package record

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What room was reserved for is written when the disk is full.
func TestWriteReserved(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	kept, other := filepath.Join(dir, "kept"), filepath.Join(dir, "other")
	if err := Reserve(kept, 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := Read[string](kept); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is written it gives %v", err)
	}
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := Write(other, "text"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("without room it gives %v", err)
	}
	text := strings.Repeat("text ", 100)
	if err := WriteReserved(kept, text); err != nil {
		t.Fatal(err)
	}
	if got, err := Read[string](kept); err != nil || got != text {
		t.Errorf("it has %q (%v)", got, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 2 {
		t.Errorf("there are %v (%v), want what was written and the filler", left, err)
	}
}
