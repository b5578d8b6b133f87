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

// Of a disk, the shares that should be free, of its room and of the files it can have, and
// the share of the files with less than which new builds wait.
const (
	warningFree  = 0.10
	criticalFree = 0.03
	minFreeFiles = 0.01
)

// diskSpace is how much room a disk has, in bytes, and in files where it can have so many
// and no more.
type diskSpace struct{ free, total, freeFiles, files float64 }

// spaceOf gives that of the disk of a path.
func spaceOf(path string) (diskSpace, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return diskSpace{}, fmt.Errorf("look at the disk of the data dir: %w", err)
	}
	return diskSpace{
		free:      float64(stat.Bavail) * float64(stat.Bsize),
		total:     float64(stat.Blocks) * float64(stat.Bsize),
		freeFiles: float64(stat.Ffree),
		files:     float64(stat.Files),
	}, nil
}

// lookAtDisk tells how much room there is where the data dir is. While it is too
// little, new builds wait: those that run are to have what is left.
func (s *Server) lookAtDisk() (partValues, error) {
	space, err := spaceOf(s.dir.path)
	if err != nil {
		return nil, err
	}
	minimum := float64(s.config.MinFreeSpace)
	values := partValues{"free_bytes": space.free, "total_bytes": space.total, "min_free_bytes": minimum, "stop_free_bytes": s.config.stopFloor(),
		"free_files": space.freeFiles, "total_files": space.files}
	s.engine.Pause(space.pause(minimum))
	err = s.reserve.balance(space.free-minimum, space.total)
	values["reserved_bytes"] = s.reserve.held()
	if err != nil {
		return values, err
	}
	return values, space.finding(minimum)
}

// pause is why new builds wait that are to have a minimum of bytes, "" when they do not. Who
// has no minimum wants none to wait.
func (d diskSpace) pause(minimum float64) string {
	switch {
	case d.free < minimum:
		return "the server's disk is nearly full: new builds wait until there is room"
	case minimum > 0 && d.freeFiles < minFreeFiles*d.files:
		return "the server's disk can have hardly any more files: new builds wait until there are fewer"
	}
	return ""
}

// finding says of what there is too little.
func (d diskSpace) finding(minimum float64) error {
	bytes, files := freeVerdict(d.free, d.total), freeVerdict(d.freeFiles, d.files)
	switch {
	case d.free < minimum:
		return &finding{api.VerdictCritical, fmt.Sprintf("%.0f MB of the data dir's disk are free, which is less than min-free-space: new builds wait", d.free/1e6)}
	case d.pause(minimum) != "":
		return &finding{api.VerdictCritical, fmt.Sprintf("the data dir's disk can have %.0f more files, of %.0f: new builds wait", d.freeFiles, d.files)}
	case bytes == api.VerdictOK && files == api.VerdictOK:
		return nil
	case bytes.Worse(files) == bytes:
		return &finding{bytes, fmt.Sprintf("%.0f %% of the data dir's disk are free", 100*d.free/d.total)}
	}
	return &finding{files, fmt.Sprintf("the data dir's disk can have %.0f %% more files", 100*d.freeFiles/d.files)}
}

// freeVerdict says whether so much that is free is too little, of a total that is 0 where
// there is no bound.
func freeVerdict(free, total float64) api.Verdict {
	switch {
	case total == 0 || free >= warningFree*total:
		return api.VerdictOK
	case free < criticalFree*total:
		return api.VerdictCritical
	}
	return api.VerdictWarning
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
