// Package eventlog keeps the events of each build: one ordered, append-only log a
// build, written in chunks, followed from any position while it grows.
//
// The events of a log are numbered from 0 without gaps. An event that a follower
// has seen, or that Append has returned for, survives the end of the process; one
// that Sync or Finish has returned for survives a power failure as well. What a
// crash left half written is cut off when the log is opened again.
//
// A follower reads from the files, and near the end from a short tail in memory
// that all followers share; it never holds up the writer or another follower, and
// its memory does not grow with the log. With an event the writer may keep a Mark,
// a named number that is on disk exactly when the event is: by marks a writer that
// comes back knows how far it had come.
//
// The package knows nothing of what events mean. One process at a time may use a
// directory.
package eventlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// ErrRemoved tells that the log was removed while it was in use.
var ErrRemoved = errors.New("the event log was removed")

// Store is the logs of all builds, below one directory.
type Store struct {
	dir         string
	segmentSize int64 // where a new segment is begun

	mu   sync.Mutex
	open map[int]*log // those in use, by build
}

// NewStore gives the logs below dir, which is made when the first event is written.
func NewStore(dir string) *Store {
	return &Store{dir: dir, segmentSize: 4 << 20, open: make(map[int]*log)}
}

// Open gives the log of a build, which is empty when nothing was written yet.
// All who have opened a log see the same one; each has to close it.
func (s *Store) Open(build int) (*Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared := s.open[build]
	if shared == nil {
		var err error
		shared, err = openLog(s.buildDir(build), s.segmentSize)
		if err != nil {
			return nil, fmt.Errorf("open the event log of build %d: %w", build, err)
		}
		s.open[build] = shared
	}
	shared.users++
	return &Log{log: shared, release: sync.OnceValue(func() error { return s.release(build, shared) })}, nil
}

// InUse is how many logs are open: those of builds that run, and of those that are read.
func (s *Store) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *Store) release(build int, shared *log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared.users--
	if shared.users > 0 {
		return nil
	}
	if s.open[build] == shared {
		delete(s.open, build)
	}
	return shared.close()
}

// Remove deletes the log of a build. Who still uses it gets ErrRemoved. A log that
// is not there is no error.
func (s *Store) Remove(build int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shared := s.open[build]; shared != nil {
		delete(s.open, build)
		shared.remove()
	}
	dir := s.buildDir(build)
	segments, err := listSegments(dir)
	if err != nil {
		return fmt.Errorf("remove the event log of build %d: %w", build, err)
	}
	for _, segment := range segments {
		if err := os.Remove(segment.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the event log of build %d: %w", build, err)
		}
	}
	// What else the build keeps there is not ours: then the directory stays.
	_ = os.Remove(dir)
	return nil
}

// Builds gives the builds that have a log, in no order.
func (s *Store) Builds() ([]int, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the event logs: %w", err)
	}
	var builds []int
	for _, entry := range entries {
		if build, err := strconv.Atoi(entry.Name()); err == nil {
			builds = append(builds, build)
		}
	}
	return builds, nil
}

func (s *Store) buildDir(build int) string {
	return filepath.Join(s.dir, strconv.Itoa(build))
}
