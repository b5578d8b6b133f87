package server

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"midge/api"
)

// Of a disk, the shares that should be free.
const (
	warningFree  = 0.10
	criticalFree = 0.03
)

// lookAtDisk tells how much room there is where the data dir is. While it is too
// little, new builds wait: those that run are to have what is left.
func (s *Server) lookAtDisk() (partValues, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(s.dir.path, &stat); err != nil {
		return nil, fmt.Errorf("look at the disk of the data dir: %w", err)
	}
	free, total := float64(stat.Bavail)*float64(stat.Bsize), float64(stat.Blocks)*float64(stat.Bsize)
	values := partValues{"free_bytes": free, "total_bytes": total, "min_free_bytes": float64(s.config.MinFreeSpace)}
	if free < float64(s.config.MinFreeSpace) {
		s.engine.Pause("the server's disk is nearly full: new builds wait until there is room")
		return values, &finding{api.VerdictCritical, fmt.Sprintf("%s of the data dir's disk are free, which is less than min-free-space: new builds wait", megabytes(free))}
	}
	s.engine.Pause("")
	return values, freeFinding(free, total)
}

func megabytes(bytes float64) string { return fmt.Sprintf("%.0f MB", bytes/1e6) }

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
		return err
	}
	return file.Sync()
}
