package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockContainer makes sure that a container has one supervisor, which has it until
// it ends, and leaves there which process that is.
func lockContainer(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("the container has a supervisor already: lock %s: %w", lock.Name(), err)
	}
	err = lock.Truncate(0)
	if err == nil {
		_, err = fmt.Fprint(lock, os.Getpid())
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// MountedDir gives a path by which this process sees what the supervisor of the
// container in dir has mounted at target. It is ErrDown when there is no supervisor;
// while the path is in use the supervisor may go, and the path with it.
func MountedDir(dir, target string) (string, error) {
	lock, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", ErrDown
	}
	if err != nil {
		return "", err
	}
	defer lock.Close()
	err = unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return "", ErrDown
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return "", err
	}
	b, err := os.ReadFile(lock.Name())
	if err != nil {
		return "", err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return "", ErrDown // it has the lock, and nothing mounted yet
	}
	return fmt.Sprintf("/proc/%d/root%s", pid, target), nil
}
