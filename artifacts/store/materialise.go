package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"midge/artifacts"
)

// maker makes one tree into a directory. Directories are filled in parallel.
type maker struct {
	store *Store
	root  artifacts.Digest
	top   int // descriptor of the directory that is made

	free chan struct{} // a token for each goroutine that may be started

	names atomic.Int64 // that were made, or are about to be

	mu     sync.Mutex
	linked []linkedDir
}

// linkedDir is a directory with hard links, which are made when all files are there.
type linkedDir struct {
	path    string
	entry   artifacts.Entry // its mode and time
	entries []artifacts.Entry
}

// make makes a tree's directory beside, and renames it. It gives the bytes of its files.
func (s *Store) make(ctx context.Context, made *madeTree) (size int64, err error) {
	defer s.leases.hold(made.root)()
	dir, err := os.MkdirTemp(filepath.Join(s.dir, temporaryDir), "tree-")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTree(dir))
		}
	}()
	top, err := openDirectory(unix.AT_FDCWD, dir)
	if err != nil {
		return 0, err
	}
	defer unix.Close(top)
	base, releaseBase := s.similar(made.root)
	defer releaseBase()
	m := &maker{store: s, root: made.root, top: top, free: make(chan struct{}, goruntime.GOMAXPROCS(0))}
	for range cap(m.free) {
		m.free <- struct{}{}
	}
	entry := artifacts.Entry{
		Type:    artifacts.TypeDirectory,
		Mode:    0o755,
		Content: artifacts.Key{Kind: artifacts.KindTree, Digest: made.root},
	}
	if size, err = m.fill(ctx, top, "", entry, base); err != nil {
		return 0, err
	}
	if err := m.makeLinks(ctx); err != nil {
		return 0, err
	}
	if err := os.Rename(dir, made.path); err != nil {
		return 0, err
	}
	return size, nil
}

func openDirectory(at int, name string) (int, error) {
	for {
		fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// fill makes what is in the directory fd, then gives it its mode and time. base is
// the directory of the same path in a similar tree.
func (m *maker) fill(ctx context.Context, fd int, path string, entry artifacts.Entry, base *baseDir) (size int64, err error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	entries, err := m.store.entries(entry.Content.Digest)
	if err != nil {
		return 0, err
	}
	if m.names.Add(int64(len(entries))) > m.store.maxNames {
		return 0, fmt.Errorf("it has more than %d names", m.store.maxNames)
	}
	var inside sync.WaitGroup
	var failed firstError
	hasLinks := false
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Link != "":
			hasLinks = true
		case e.Type == artifacts.TypeDirectory:
			m.directory(ctx, fd, join(path, e.Name), *e, base, &inside, &failed)
		default:
			failed.set(m.file(fd, join(path, e.Name), e, base))
		}
		if failed.get() != nil {
			break
		}
	}
	inside.Wait()
	if err := failed.get(); err != nil {
		return 0, err
	}
	size, _ = artifacts.Totals(entries)
	if hasLinks {
		m.mu.Lock()
		m.linked = append(m.linked, linkedDir{path, entry, entries})
		m.mu.Unlock()
		return size, nil
	}
	return size, finish(fd, path, &entry)
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// firstError keeps the first error of many goroutines.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// directory makes a directory and fills it, in a goroutine of its own if there is one left.
func (m *maker) directory(ctx context.Context, parent int, path string, e artifacts.Entry, base *baseDir, inside *sync.WaitGroup, failed *firstError) {
	if err := unix.Mkdirat(parent, e.Name, 0o700); err != nil {
		failed.set(pathError("make directory", path, err))
		return
	}
	fd, err := openDirectory(parent, e.Name)
	if err != nil {
		failed.set(pathError("open directory", path, err))
		return
	}
	below, closeBelow := base.enter(m.store, &e)
	fill := func() {
		defer closeBelow()
		_, err := m.fill(ctx, fd, path, e, below)
		failed.set(errors.Join(err, unix.Close(fd)))
	}
	select {
	case <-m.free:
		inside.Go(func() {
			fill()
			m.free <- struct{}{}
		})
	default:
		fill()
	}
}

func pathError(doing, path string, err error) error {
	return fmt.Errorf("%s %q: %w", doing, path, err)
}

// file makes a file or a symlink.
func (m *maker) file(parent int, path string, e *artifacts.Entry, base *baseDir) error {
	if e.Type == artifacts.TypeSymlink {
		if err := unix.Symlinkat(e.Target, parent, e.Name); err != nil {
			return pathError("make symlink", path, err)
		}
		return setTime(parent, path, e)
	}
	if base.link(parent, e) {
		return nil
	}
	return m.write(parent, path, e)
}

// write makes a file of its own.
func (m *maker) write(parent int, path string, e *artifacts.Entry) (err error) {
	keys, err := m.store.chunks(e)
	if err != nil {
		return err
	}
	fd, err := unix.Openat(parent, e.Name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(e.Mode&0o777))
	if err != nil {
		return pathError("make file", path, err)
	}
	defer func() {
		if closeErr := unix.Close(fd); err == nil && closeErr != nil {
			err = pathError("close file", path, closeErr)
		}
	}()
	for _, key := range keys {
		record, err := m.store.record(key)
		if err != nil {
			return err
		}
		if err := writeAll(fd, record); err != nil {
			return pathError("write file", path, err)
		}
	}
	return finish(fd, path, e)
}

func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// finish gives an open file or directory its mode and time.
func finish(fd int, path string, e *artifacts.Entry) error {
	if err := unix.Fchmod(fd, uint32(e.Mode)); err != nil {
		return pathError("set the mode of", path, err)
	}
	if e.ModTime == 0 {
		return nil
	}
	if err := futimens(fd, e.ModTime); err != nil {
		return pathError("set the time of", path, err)
	}
	return nil
}

func setTime(parent int, path string, e *artifacts.Entry) error {
	if e.ModTime == 0 {
		return nil
	}
	times := []unix.Timespec{unix.NsecToTimespec(e.ModTime), unix.NsecToTimespec(e.ModTime)}
	if err := unix.UtimesNanoAt(parent, e.Name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("set the time of", path, err)
	}
	return nil
}

// makeLinks makes the hard links, now that all files are there.
func (m *maker) makeLinks(ctx context.Context) error {
	for _, d := range m.linked {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := m.makeLinksIn(d); err != nil {
			return err
		}
	}
	return nil
}

func (m *maker) makeLinksIn(d linkedDir) (err error) {
	fd, err := m.open(d.path)
	if err != nil {
		return pathError("open directory", d.path, err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	for i := range d.entries {
		e := &d.entries[i]
		if e.Link == "" {
			continue
		}
		path := join(d.path, e.Name)
		first, linked, err := m.store.link(m.root, "", path, e)
		if err != nil {
			return err
		}
		if linked {
			linked, err = m.hardLink(first, fd, e.Name)
			if err != nil {
				return pathError("make hard link", path, err)
			}
		}
		if !linked {
			if err := m.write(fd, path, e); err != nil {
				return err
			}
		}
	}
	return finish(fd, d.path, &d.entry)
}

// hardLink makes name another name of the file at first. A file that has as many
// as it can have is left alone.
func (m *maker) hardLink(first string, fd int, name string) (bool, error) {
	dir, base := filepath.Split(first)
	at, err := m.open(filepath.Clean(dir))
	if err != nil {
		return false, err
	}
	defer unix.Close(at)
	err = unix.Linkat(at, base, fd, name, 0)
	if err == unix.EMLINK {
		return false, nil
	}
	return err == nil, err
}

// open opens a directory of the tree, name by name: its path may be longer than
// the kernel takes at once.
func (m *maker) open(path string) (int, error) {
	fd, err := openDirectory(m.top, ".")
	if err != nil || path == "" || path == "." {
		return fd, err
	}
	for name := range splitPath(path) {
		next, err := openDirectory(fd, name)
		if closeErr := unix.Close(fd); err == nil {
			err = closeErr
		}
		if err != nil {
			return -1, err
		}
		fd = next
	}
	return fd, nil
}
