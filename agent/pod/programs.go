package pod

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Programs are kept in what pods share, each in a directory that its digest names, for
// containers to begin with that need nothing else of an init container. They see that
// directory alone, and cannot write there.

// ProgramDir is the directory, in what pods share, of the program with a digest.
func ProgramDir(digest string) string { return "programs/" + digest }

// programFile is the program's name there.
const programFile = "midge-agent"

// KeepProgram puts the running program into the directory that pods share, unless it is
// there, and gives its digest: 64 hexadecimal digits. Programs are removed there that no
// first process runs. Any number of pods may do so at once; one that is there is whole.
func KeepProgram(shared string) (digest string, err error) {
	if digest, err = digestOf(ownProgram); err != nil {
		return "", err
	}
	dir := filepath.Join(shared, ProgramDir(digest))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := checkExecutable(dir); err != nil {
		return "", err
	}
	path := filepath.Join(dir, programFile)
	// What a failing disk has made of it is replaced as well.
	if kept, err := digestOf(path); err != nil || kept != digest {
		if err := placeProgram(path); err != nil {
			return "", err
		}
	}
	return digest, removePrograms(filepath.Dir(dir), digest)
}

// ownProgram is the running program.
const ownProgram = "/proc/self/exe"

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// checkExecutable refuses a directory of a file system whose programs cannot be executed.
func checkExecutable(dir string) error {
	var system unix.Statfs_t
	if err := unix.Statfs(dir, &system); err != nil {
		return err
	}
	if system.Flags&unix.ST_NOEXEC != 0 {
		return errors.New("it is mounted noexec")
	}
	return nil
}

// placeProgram makes the running program what is at a path, as a whole.
func placeProgram(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	err = errors.Join(copyProgram(f), f.Chmod(0o755), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// removePrograms removes all but one that are not held.
func removePrograms(dir, except string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if entry.Name() == except {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		held, err := isHeld(filepath.Join(path, programFile))
		if err == nil && !held {
			err = os.RemoveAll(path)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// hold has a program stay where it is for as long as the file is open: whoever connects
// to the first process later starts it from there. A task may lock it against that, since
// it can read the file: it stays for as long as the task does then, and nobody waits.
func hold(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for range 10 {
		err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		time.Sleep(10 * time.Millisecond) // for whoever looks whether it is held
	}
	if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("hold the program: %w", err), f.Close())
	}
	return f, nil
}

// isHeld tells whether a first process holds a program. One that is not there nobody holds.
func isHeld(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
