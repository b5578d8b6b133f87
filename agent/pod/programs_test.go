package pod

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Of any number of pods that begin at once each finds the program whole, and once it is there
// nobody writes it again.
func TestKeepProgram(t *testing.T) {
	shared := t.TempDir()
	own, err := digestOf(ownProgram)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(shared, ProgramDir(own), programFile)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if digest, err := KeepProgram(shared); err != nil || digest != own {
				t.Errorf("it gave %q, %v; want %q", digest, err, own)
			}
			if kept, err := digestOf(path); err != nil || kept != own {
				t.Errorf("what is there has the digest %q, %v; want %q", kept, err, own)
			}
		})
	}
	all.Wait()
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if before.Mode() != 0o755 {
		t.Errorf("its mode is %v", before.Mode())
	}
	if _, err := KeepProgram(shared); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was written again: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside it there are %v, %v", entries, err)
	}
}

// What a disk has damaged is not begun with.
func TestKeepProgramDamaged(t *testing.T) {
	shared := t.TempDir()
	digest, err := KeepProgram(shared)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(shared, ProgramDir(digest), programFile)
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := KeepProgram(shared); err != nil {
		t.Fatal(err)
	}
	if kept, err := digestOf(path); err != nil || kept != digest {
		t.Errorf("what is there has the digest %q, %v; want %q", kept, err, digest)
	}
}

// Programs of other versions go when no first process runs them any more.
func TestKeepProgramRemovesOthers(t *testing.T) {
	shared := t.TempDir()
	paths := make(map[string]string)
	for _, name := range []string{"held", "unused", "empty"} {
		dir := filepath.Join(shared, ProgramDir(name))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		paths[name] = filepath.Join(dir, programFile)
	}
	for _, name := range []string{"held", "unused"} {
		if err := os.WriteFile(paths[name], []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	held, err := hold(paths["held"])
	if err != nil {
		t.Fatal(err)
	}
	check := func(want ...string) {
		t.Helper()
		own, err := KeepProgram(shared)
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]bool{own: true}
		for _, name := range want {
			there[name] = true
		}
		entries, err := os.ReadDir(filepath.Join(shared, ProgramDir("")))
		if err != nil || len(entries) != len(there) {
			t.Errorf("there are %v, %v; want %v", entries, err, there)
		}
		for _, entry := range entries {
			if !there[entry.Name()] {
				t.Errorf("%s is there", entry.Name())
			}
		}
	}
	check("held")
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	check()
}

// A task that locks the program keeps nobody from beginning with it.
func TestHoldWhatATaskLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), programFile)
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	tasks, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer tasks.Close()
	if err := unix.Flock(int(tasks.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	held, err := hold(path)
	if err != nil {
		t.Fatal(err)
	}
	held.Close()
	if is, err := isHeld(path); !is || err != nil {
		t.Errorf("it is held: %v, %v", is, err)
	}
}
