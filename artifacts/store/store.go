// Package store keeps the trees of a server: every object once, whichever team
// sent it, in packs that are only ever added or removed as a whole.
//
// What was acknowledged is on disk, and what is not is not visible: a pack is
// written beside, synced and renamed. A team is told of an object only when it has
// sent the object itself or a build of its own has made it.
//
// A stored tree can be made into a read-only directory, once for any number of
// containers. Collect removes what no named tree needs; whatever is being sent,
// read or made into a directory at the time stays.
//
// The package knows nothing of HTTP but its Handler, and nothing of builds or rows:
// who names which tree it is told by whoever calls Collect.
//
// An object costs about 70 bytes of memory; contents stay on disk.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"midge/artifacts"
)

// Options of a Store. The zero value is usable.
type Options struct {
	// MaxArtifactSize bounds the files of one tree together, in bytes; 0 is no bound.
	MaxArtifactSize int64
	// MaxDirectories bounds the trees kept as directories, in bytes of their files;
	// 0 is 20 GiB. Those in use stay, even above it.
	MaxDirectories int64
	// Grace is how long an upload may pause, and a tree stays that nothing names
	// yet; 0 is one hour.
	Grace time.Duration
	// InUse gives the digests of trees whose directories must stay although nobody
	// in this process holds them: inputs of containers that outlived a restart.
	// nil is none.
	InUse func(ctx context.Context) ([]string, error)
	// Logger is told what nobody waits for; nil is slog.Default.
	Logger *slog.Logger
}

const (
	defaultGrace          = time.Hour
	defaultMaxDirectories = 20 << 30
)

// Store is a store of trees. Its methods may be called from many goroutines.
type Store struct {
	dir     string
	options Options
	lock    *os.File

	// collecting lets one collection run at a time.
	collecting sync.Mutex

	mu      sync.RWMutex
	index   map[artifacts.Key]place
	packs   map[uint32]*pack
	teams   map[string]*team
	nextID  uint32
	keepers map[*keeper]struct{}
	// generation counts the collections that have removed something.
	generation uint64

	// grantsMu is held while a grants file is written.
	grantsMu sync.Mutex

	leases     leases
	frames     frameCache
	trees      directories
	uploads    uploads
	unreadable unreadable

	// maxNames is artifacts.MaxNames, but for tests.
	maxNames int64

	// background is what goes on when nobody waits for it; Close does.
	background sync.WaitGroup
}

// SizeError tells that a tree is larger than the server takes.
type SizeError struct {
	Size, Max int64 // bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("the tree has %d bytes, and this server takes at most %d in one artifact", e.Size, e.Max)
}

// Open gives the store in dir, made if it is not there. One process at a time can
// have it open.
func Open(dir string, options Options) (*Store, error) {
	if options.Grace == 0 {
		options.Grace = defaultGrace
	}
	if options.MaxDirectories == 0 {
		options.MaxDirectories = defaultMaxDirectories
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	s := &Store{
		dir:     dir,
		options: options,
		index:   make(map[artifacts.Key]place),
		packs:   make(map[uint32]*pack),
		teams:   make(map[string]*team),
		nextID:  1,
		keepers: make(map[*keeper]struct{}),

		maxNames: artifacts.MaxNames,
	}
	s.leases.init(options.Grace)
	s.frames.init(frameCacheBytes)
	s.uploads.init(options.Grace)
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open the artifact store in %q: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open() (err error) {
	for _, name := range []string{packsDir, grantsDir, treesDir, temporaryDir} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			return err
		}
	}
	if s.lock, err = lockFile(filepath.Join(s.dir, "lock")); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	if err := s.clearTemporary(); err != nil {
		return err
	}
	if err := s.loadPacks(); err != nil {
		return err
	}
	if err := s.loadGrants(); err != nil {
		return err
	}
	return s.trees.load(s)
}

// The directories of a store.
const (
	packsDir     = "packs"
	grantsDir    = "grants"
	treesDir     = "trees"
	temporaryDir = "tmp"
)

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process has it open: %w", err), f.Close())
	}
	return f, nil
}

// clearTemporary removes what a process that was killed had not finished.
func (s *Store) clearTemporary() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, temporaryDir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := removeTree(filepath.Join(s.dir, temporaryDir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Close gives up the store, once what goes on in the background has ended. Nothing
// else of it may be called at the time or after.
func (s *Store) Close() error {
	s.background.Wait()
	if err := s.lock.Close(); err != nil {
		return fmt.Errorf("close the artifact store: %w", err)
	}
	return nil
}

// syncDir makes renames into a directory, and removals from it, outlive a power cut.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
