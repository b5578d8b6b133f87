package server

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"midge/api"
	"midge/server/state"
)

// Of a disk, the shares that should be free.
const (
	warningFree  = 0.10
	criticalFree = 0.03
)

// lookAtDisk tells how much room there is where the data dir is. While it is too
// little, new builds wait: those that run are to have what is left.
func (s *Server) lookAtDisk() (partValues, error) {
	free, total, err := space(s.dir.path)
	if err != nil {
		return nil, err
	}
	minimum := float64(s.config.MinFreeSpace)
	values := partValues{"free_bytes": free, "total_bytes": total, "min_free_bytes": minimum, "stop_free_bytes": s.config.stopFloor()}
	if free < minimum {
		s.engine.Pause("the server's disk is nearly full: new builds wait until there is room")
	} else {
		s.engine.Pause("")
	}
	err = s.reserve.balance(free-minimum, total)
	values["reserved_bytes"] = s.reserve.held()
	switch {
	case err != nil:
		return values, err
	case free < minimum:
		return values, &finding{api.VerdictCritical, fmt.Sprintf("%.0f MB of the data dir's disk are free, which is less than min-free-space: new builds wait", free/1e6)}
	}
	return values, freeFinding(free, total)
}

// space gives the bytes that are free, and all, on the disk of a path.
func space(path string) (free, total float64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return 0, 0, fmt.Errorf("look at the disk of the data dir: %w", err)
	}
	return float64(stat.Bavail) * float64(stat.Bsize), float64(stat.Blocks) * float64(stat.Bsize), nil
}

// writeFailed is told of what could not be written of a build. When the disk is full
// the server gives what it has in reserve.
func (s *Server) writeFailed(err error) {
	if !state.IsFull(err) {
		return
	}
	if err := s.reserve.release(); err != nil {
		s.log.Error("what is reserved on the disk cannot be released", "error", err)
	}
}

// reserve is room on the disk that is kept for the day on which it is full: builds
// that have filled it can then be ended, and what they have filled it with removed.
type reserve struct {
	path string

	mu   sync.Mutex
	size int64 // 0 when it is not held
}

const (
	// reserveSize is the most that is held, and reserveShare of the disk the most of
	// a small one.
	reserveSize  = 16 << 20
	reserveShare = 1.0 / 64
	// reserveRoom is how many times its size must be free to take it, so that it is
	// not taken from who was given it.
	reserveRoom = 4
)

// balance takes the reserve when there is room for it.
func (r *reserve) balance(room, total float64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := int64(min(reserveSize, total*reserveShare))
	if r.size > 0 || size == 0 || room < reserveRoom*float64(size) {
		return nil
	}
	file, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("reserve room on the disk: %w", err)
	}
	err = errors.Join(unix.Fallocate(int(file.Fd()), 0, 0, size), file.Close())
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a file system that does not promise room
	}
	if err != nil {
		return fmt.Errorf("reserve room on the disk: %w", err)
	}
	r.size = size
	return nil
}

// release gives the room to whoever writes next.
func (r *reserve) release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size = 0
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// held is how many bytes are in reserve.
func (r *reserve) held() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return float64(r.size)
}

// freeFinding says whether that many bytes of a disk's are too few.
func freeFinding(free, total float64) error {
	verdict := api.VerdictWarning
	switch {
	case total == 0 || free >= warningFree*total:
		return nil
	case free < criticalFree*total:
		verdict = api.VerdictCritical
	}
	return &finding{verdict, fmt.Sprintf("%.0f %% of the data dir's disk are free", 100*free/total)}
}

// tryWriting finds out whether what is written below dir is kept. The file has no
// name, so that it is never left there.
func tryWriting(dir string) (err error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a file system that has no such files
	}
	if err != nil {
		return fmt.Errorf("write below the data dir: %w", err)
	}
	file := os.NewFile(uintptr(fd), dir)
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteString("x"); err != nil {
		return fmt.Errorf("write below the data dir: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("keep what is written below the data dir: %w", err)
	}
	return nil
}
