package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"midge/artifacts"
	"midge/artifacts/ignore"
	"midge/trace"
)

// info is what lstat tells.
type info struct {
	kind         artifacts.Type
	other        string // what it is when kind cannot say it
	mode         uint16
	size         int64
	mtime, ctime int64 // nanoseconds; ctime is 0 where there is none
	id           fileID
	links        uint64
}

// fileID is the same for all names of a file.
type fileID struct{ device, inode uint64 }

// same reports whether a file is as it was, as far as lstat can tell.
func (i info) same(j info) bool {
	return i.kind == j.kind && i.size == j.size && i.mtime == j.mtime && i.ctime == j.ctime && i.id == j.id
}

// groupMember is a name of a file that has others.
type groupMember struct {
	dir   *directory
	index int
}

// batch is how many files are read by one task. A directory's files are spread
// over all cores by it, and its open handle stays until the last is read.
const batch = 32

type walk struct {
	ctx     context.Context
	options Options
	queue   *queue
	cache   *cacheRun // nil without a cache
	read    struct{ files, bytes atomic.Int64 }
	// reading is the span in which files are read, from the first one on; beside the
	// walk, for both take their turns on all cores.
	reading struct {
		begin sync.Once
		span  trace.Span
	}

	mu      sync.Mutex
	groups  map[fileID][]groupMember
	lists   map[artifacts.Digest][]artifacts.Chunk
	ignored []Ignored
}

// sharedDir is an open directory that many tasks use; the last closes it.
type sharedDir struct {
	*dir
	users atomic.Int32
}

func newSharedDir(d *dir) *sharedDir {
	s := &sharedDir{dir: d}
	s.users.Store(1)
	return s
}

func (s *sharedDir) release() error {
	if s.users.Add(-1) > 0 {
		return nil
	}
	return s.close()
}

// directory reads one directory, and queues those in it and the files that must be read.
func (w *walk) directory(d *directory, handle *sharedDir, scope ignore.Scope) (err error) {
	defer func() { err = errors.Join(err, handle.release()) }()
	names, err := handle.names()
	if err != nil {
		return fmt.Errorf("list directory %q: %w", d.display(), err)
	}
	slices.Sort(names)
	var cached cachedDir
	if w.cache != nil {
		cached = w.cache.directory(d.path)
	}
	d.entries = make([]artifacts.Entry, 0, len(names))
	d.infos = make([]info, 0, len(names))
	var unread []int
	var scopes []ignore.Scope // of the directories, in order
	for _, name := range names {
		if name == ".git" && !w.options.IncludeGit {
			continue
		}
		before := len(d.entries)
		known, inside, err := w.entry(d, handle, scope, &cached, name)
		if err != nil {
			return err
		}
		if !known {
			unread = append(unread, before)
		}
		if len(d.entries) > before && d.entries[before].Type == artifacts.TypeDirectory {
			scopes = append(scopes, inside)
		}
	}
	w.queueChildren(d, handle, scopes)
	for files := range slices.Chunk(unread, batch) {
		handle.users.Add(1)
		w.queue.push(func() (err error) {
			defer func() { err = errors.Join(err, handle.release()) }()
			return w.readFiles(d, handle.dir, files)
		})
	}
	return nil
}

// entry adds a name to d, unless it is ignored or gone. known is false for a file
// that must be read; inside is the scope of a directory.
func (w *walk) entry(d *directory, handle *sharedDir, scope ignore.Scope, cached *cachedDir, name string) (known bool, inside ignore.Scope, err error) {
	i, err := handle.lstat(name)
	if isGone(err) {
		return true, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("look at %q: %w", d.join(name), err)
	}
	isDir := i.kind == artifacts.TypeDirectory
	if scope != nil {
		rule, err := scope.Ignored(name, isDir)
		if err != nil {
			return false, nil, fmt.Errorf("find whether %q is ignored: %w", d.join(name), err)
		}
		if rule != nil {
			w.mu.Lock()
			w.ignored = append(w.ignored, Ignored{d.join(name), isDir, *rule})
			w.mu.Unlock()
			return true, nil, nil
		}
	}
	if i.other != "" {
		return false, nil, &UnsupportedError{Path: d.join(name), What: i.other}
	}
	e := artifacts.Entry{Name: name, Type: i.kind, Mode: i.mode, ModTime: i.mtime}
	known = true
	switch i.kind {
	case artifacts.TypeFile:
		e.Size = i.size
		known = i.size == 0 || cached.find(name, i, &e.Content)
		w.progress(known, i.size)
	case artifacts.TypeSymlink:
		e.Mode = 0
		if e.Target, err = handle.readlink(name); err != nil {
			return false, nil, fmt.Errorf("read symlink %q: %w", d.join(name), err)
		}
		w.progress(true, 0)
	case artifacts.TypeDirectory:
		if inside, err = w.enter(d, handle, scope, name); err != nil {
			return false, nil, err
		}
	}
	d.entries = append(d.entries, e)
	d.infos = append(d.infos, i)
	if i.kind == artifacts.TypeFile && i.links > 1 {
		w.mu.Lock()
		w.groups[i.id] = append(w.groups[i.id], groupMember{d, len(d.entries) - 1})
		w.mu.Unlock()
	}
	return known, inside, nil
}

func (w *walk) progress(known bool, size int64) {
	if known && w.options.Progress != nil {
		w.options.Progress(1, size)
	}
}

func (w *walk) enter(d *directory, handle *sharedDir, scope ignore.Scope, name string) (ignore.Scope, error) {
	if scope == nil {
		return nil, nil
	}
	inside, err := scope.Enter(w.ctx, name, func(file string) ([]byte, error) { return readSmall(handle.dir, name, file) })
	if err != nil {
		return nil, fmt.Errorf("read the ignore rules of %q: %w", d.join(name), err)
	}
	return inside, nil
}

// maxIgnoreFile is git's own bound for an ignore file.
const maxIgnoreFile = 100 << 20

func readSmall(parent *dir, name, file string) ([]byte, error) {
	d, err := parent.openDir(name)
	if err != nil {
		return nil, err
	}
	defer d.close()
	f, err := d.open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxIgnoreFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxIgnoreFile {
		return nil, fmt.Errorf("%s has more than %d bytes", file, maxIgnoreFile)
	}
	return content, nil
}

// queueChildren queues the directories in d, the first to be taken first.
func (w *walk) queueChildren(d *directory, handle *sharedDir, scopes []ignore.Scope) {
	for i := range d.entries {
		if d.entries[i].Type == artifacts.TypeDirectory {
			d.children = append(d.children, &directory{path: d.join(d.entries[i].Name)})
		}
	}
	position := len(d.children)
	for i := len(d.entries) - 1; i >= 0; i-- {
		if d.entries[i].Type != artifacts.TypeDirectory {
			continue
		}
		position--
		child, name, scope := d.children[position], d.entries[i].Name, scopes[position]
		handle.users.Add(1)
		w.queue.push(func() error {
			opened, err := handle.openDir(name)
			if err != nil {
				return errors.Join(fmt.Errorf("open directory %q: %w", child.path, err), handle.release())
			}
			if err := handle.release(); err != nil {
				return errors.Join(err, opened.close())
			}
			return w.directory(child, newSharedDir(opened), scope)
		})
	}
}

// readFiles finds the digests of files of d by reading them.
func (w *walk) readFiles(d *directory, handle *dir, files []int) error {
	w.reading.begin.Do(func() { _, w.reading.span = trace.StartSpan(w.ctx, "hash") })
	reader := readers.Get().(*contentReader)
	defer readers.Put(reader)
	for _, index := range files {
		if err := w.ctx.Err(); err != nil {
			return context.Cause(w.ctx)
		}
		if err := w.readFile(d, handle, index, reader); err != nil {
			return err
		}
	}
	return nil
}

// endReading ends the span of the reading, if there was any, once nobody reads any more.
func (w *walk) endReading(err error) {
	w.reading.span.Set(trace.Files(w.read.files.Load()), trace.Bytes(w.read.bytes.Load()))
	w.reading.span.End(err)
}

func (w *walk) readFile(d *directory, handle *dir, index int, reader *contentReader) error {
	e := &d.entries[index]
	for range 2 {
		chunks, i, err := reader.read(handle, e.Name, w.options.Object)
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %q: %w", d.join(e.Name), err)
		}
		e.Mode, e.Size, e.ModTime = i.mode, i.size, i.mtime
		e.Content = reader.key
		d.infos[index] = i
		if chunks != nil {
			w.mu.Lock()
			if w.lists == nil {
				w.lists = make(map[artifacts.Digest][]artifacts.Chunk)
			}
			w.lists[e.Content.Digest] = chunks
			w.mu.Unlock()
		}
		w.read.files.Add(1)
		w.read.bytes.Add(i.size)
		w.progress(true, i.size)
		return nil
	}
	return &ChangedError{Path: d.join(e.Name)}
}

// link turns names of the same file into hard links of the first.
func (w *walk) link() {
	for _, members := range w.groups {
		if len(members) < 2 {
			continue
		}
		slices.SortFunc(members, func(a, b groupMember) int { return artifacts.ComparePaths(a.path(), b.path()) })
		first := members[0]
		for _, m := range members[1:] {
			e := &m.dir.entries[m.index]
			if artifacts.SameFile(e, &first.dir.entries[first.index]) {
				e.Link = first.path()
			}
		}
	}
}

func (m groupMember) path() string { return m.dir.join(m.dir.entries[m.index].Name) }

var errChanged = errors.New("the file changed while it was read")

func errGone(err error) error {
	if isGone(err) || errors.Is(err, os.ErrNotExist) {
		return errChanged
	}
	return err
}
