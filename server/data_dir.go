package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// InUseError tells that another server uses something that only one may.
type InUseError struct {
	What   string // "the data dir /var/lib/midge"
	Advice string // "choose another with --data-dir"
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("%s is in use by another server: stop that one, or %s", e.What, e.Advice)
}

// dataDir is a directory that one server holds.
type dataDir struct {
	path string
	lock *os.File
	made bool // it was not there before
}

// lockDataDir makes the directory if it is not there and holds it, or gives an
// *InUseError when another process does.
func lockDataDir(path string) (*dataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the data dir: %w", err)
	}
	_, err = os.Stat(path)
	made := errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, writableError(path, fmt.Errorf("make the data dir: %w", err))
	}
	d := &dataDir{path: path, made: made}
	if d.lock, err = os.OpenFile(d.lockPath(), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, writableError(path, fmt.Errorf("lock the data dir: %w", err))
	}
	err = unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = &InUseError{What: "the data dir " + path, Advice: "choose another directory with --data-dir"}
	}
	if err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// writableError says of a directory that could not be written to what to do.
func writableError(path string, err error) error {
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%s is on a file system that is read-only: see by dmesg whether its disk has failed, mount it for writing, or choose another directory with --data-dir: %w", path, err)
	}
	return err
}

// Where in the data dir the artifacts' trees are, the events of builds, and their spans.
const (
	treesDir  = "artifacts"
	logsDir   = "builds"
	tracesDir = "traces"
)

func (d *dataDir) lockPath() string     { return filepath.Join(d.path, "lock") }
func (d *dataDir) treesPath() string    { return filepath.Join(d.path, treesDir) }
func (d *dataDir) logsPath() string     { return filepath.Join(d.path, logsDir) }
func (d *dataDir) reservePath() string  { return filepath.Join(d.path, "reserve") }
func (d *dataDir) databasePath() string { return filepath.Join(d.path, "midge.db") }

// subdirectory gives a directory of the data dir, made if it is not there.
func (d *dataDir) subdirectory(name string) (string, error) {
	path := filepath.Join(d.path, name)
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make a directory of the data dir: %w", err)
	}
	return path, nil
}

// release lets another server use the directory.
func (d *dataDir) release() error { return d.lock.Close() }

// abandon releases the directory of a server that did not come up. One that it made
// itself, all that is in it being its own, goes away again.
func (d *dataDir) abandon() error {
	if d.made {
		return errors.Join(os.RemoveAll(d.path), d.release())
	}
	return d.release()
}
