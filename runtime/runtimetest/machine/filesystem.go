package machine

import (
	"io"
	"io/fs"
	"path"
	"syscall"
	"time"

	"midge/runtime/archive"
)

// A FileSystem is the files of a machine: a tree, and others mounted in it. It is an
// archive.Tree. Names begin at its root, as do links.
type FileSystem struct{ view }

// NewFileSystem makes a file system with a tree as its root. The tree is used, not copied.
func NewFileSystem(root *Tree) *FileSystem {
	return &FileSystem{view{store: root.store, root: root.root, mounts: map[*node]*node{}}}
}

// Mount puts the top of a tree over a directory, which is made if it is not there.
// A file in the way is an error.
func (f *FileSystem) Mount(name string, tree *Tree) error {
	if err := f.MkdirAll(name); err != nil {
		return err
	}
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	at, err := f.existing(name, true)
	if err != nil {
		return pathError("mount", name, err)
	}
	f.mounts[at.node] = tree.root
	return nil
}

// MkdirAll makes a directory and those above it.
func (v *view) MkdirAll(name string) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	return pathError("mkdir", name, v.mkdirAll(name))
}

func (v *view) mkdirAll(name string) error {
	at, err := v.lookup(name, true)
	if err == syscall.ENOENT {
		if err := v.mkdirAll(path.Dir(path.Clean(name))); err != nil {
			return err
		}
		at, err = v.lookup(name, true)
	}
	if err != nil {
		return err
	}
	if at.node == nil {
		at.parent.children[at.name] = v.store.newNode(fs.ModeDir | 0o755)
		at.parent.touch()
		return nil
	}
	if !at.node.mode.IsDir() {
		return syscall.ENOTDIR
	}
	return nil
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Stat describes a file, or what the link of that name leads to.
func (v *view) Stat(name string) (fs.FileInfo, error) { return v.info("stat", name, true) }

// Lstat describes a file or link.
func (v *view) Lstat(name string) (fs.FileInfo, error) { return v.info("lstat", name, false) }

func (v *view) info(op, name string, follow bool) (fs.FileInfo, error) {
	v.store.mu.RLock()
	defer v.store.mu.RUnlock()
	at, err := v.existing(name, follow)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	return describe(path.Base(name), at.node), nil
}

// Readlink gives a link's target.
func (v *view) Readlink(name string) (string, error) {
	v.store.mu.RLock()
	defer v.store.mu.RUnlock()
	at, err := v.existing(name, false)
	if err == nil && at.node.mode.Type() != fs.ModeSymlink {
		err = syscall.EINVAL
	}
	if err != nil {
		return "", pathError("readlink", name, err)
	}
	return at.node.target, nil
}

// ReadDir lists a directory in the order of names.
func (v *view) ReadDir(name string) ([]fs.DirEntry, error) {
	v.store.mu.RLock()
	defer v.store.mu.RUnlock()
	at, err := v.existing(name, true)
	if err == nil && !at.node.mode.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	entries := make([]fs.DirEntry, 0, len(at.node.children))
	for _, child := range at.node.names() {
		entries = append(entries, fs.FileInfoToDirEntry(describe(child, v.covered(at.node.children[child]))))
	}
	return entries, nil
}

// ReadFile gives a file's contents, which must not be changed.
func (v *view) ReadFile(name string) ([]byte, error) {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	at, err := v.existing(name, true)
	if err == nil && !at.node.mode.IsRegular() {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, pathError("read", name, err)
	}
	at.node.shared = true
	return at.node.data, nil
}

// WriteFile makes or replaces a file's contents.
func (v *view) WriteFile(name string, data []byte, perm fs.FileMode) error {
	file, err := v.openFile(name, writing|creating|truncating, perm)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return err
}

// Mkdir makes a directory.
func (v *view) Mkdir(name string) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	return pathError("mkdir", name, v.add(name, func() *node { return v.store.newNode(fs.ModeDir | 0o755) }))
}

// Symlink makes a symbolic link.
func (v *view) Symlink(target, name string) error {
	if target == "" {
		return pathError("symlink", name, syscall.ENOENT)
	}
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	return pathError("symlink", name, v.add(name, func() *node {
		made := v.store.newNode(fs.ModeSymlink | 0o777)
		made.target = target
		return made
	}))
}

// Link gives a file a further name.
func (v *view) Link(existing, name string) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	at, err := v.existing(existing, false)
	if err == nil && at.node.mode.IsDir() {
		err = syscall.EPERM
	}
	if err != nil {
		return pathError("link", existing, err)
	}
	return pathError("link", name, v.add(name, func() *node {
		at.node.links++
		return at.node
	}))
}

// Remove removes a file, a link or an empty directory.
func (v *view) Remove(name string) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	return pathError("remove", name, v.remove(name, false))
}

// RemoveAll removes what is there and all below it.
func (v *view) RemoveAll(name string) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	return pathError("remove", name, v.remove(name, true))
}

// Rename moves a file or directory, over a file that is there.
func (v *view) Rename(from, to string) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	return pathError("rename", from, v.rename(from, to))
}

func (v *view) rename(from, to string) error {
	source, err := v.existing(from, false)
	if err != nil {
		return err
	}
	target, err := v.lookup(to, false)
	if err != nil {
		return err
	}
	if source.parent == nil || target.parent == nil || source.parent.children[source.name] != source.node {
		return syscall.EBUSY
	}
	if target.node == source.node {
		return nil
	}
	if target.node != nil && target.node.mode.IsDir() && (!source.node.mode.IsDir() || len(target.node.children) > 0) {
		return syscall.EEXIST
	}
	if source.node.mode.IsDir() && contains(source.node, target.parent) {
		return syscall.EINVAL
	}
	delete(source.parent.children, source.name)
	target.parent.children[target.name] = source.node
	source.parent.touch()
	target.parent.touch()
	return nil
}

// contains tells whether a directory is another or lies above it.
func contains(above, below *node) bool {
	if above == below {
		return true
	}
	for _, child := range above.children {
		if child.mode.IsDir() && contains(child, below) {
			return true
		}
	}
	return false
}

// Chmod sets permissions.
func (v *view) Chmod(name string, mode fs.FileMode) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	at, err := v.existing(name, true)
	if err != nil {
		return pathError("chmod", name, err)
	}
	const settable = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	at.node.mode = at.node.mode&^settable | mode&settable
	return nil
}

// Chtimes sets the modification time.
func (v *view) Chtimes(name string, modified time.Time) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	at, err := v.existing(name, true)
	if err != nil {
		return pathError("chtimes", name, err)
	}
	at.node.modified = modified
	return nil
}

// Open opens a file to be read.
func (v *view) Open(name string) (io.ReadCloser, error) {
	file, err := v.openFile(name, 0, 0)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Create makes a file.
func (v *view) Create(name string) (archive.File, error) {
	file, err := v.openFile(name, writing|creating|excluding, 0o644)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Close does nothing: a tree is held by who refers to it.
func (v *view) Close() error { return nil }

// openFlags say what a file is opened for.
type openFlags int

const (
	writing openFlags = 1 << iota
	creating
	truncating
	appending
	excluding // a file that is there is an error
)

// openFile opens a regular file.
func (v *view) openFile(name string, flags openFlags, perm fs.FileMode) (*openFile, error) {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	at, err := v.lookup(name, flags&excluding == 0)
	switch {
	case err != nil:
	case at.node == nil && flags&creating == 0:
		err = syscall.ENOENT
	case at.node == nil:
		at.node = v.store.newNode(perm.Perm())
		at.parent.children[at.name] = at.node
		at.parent.touch()
	case flags&excluding != 0:
		err = syscall.EEXIST
	case at.node.mode.IsDir() && flags&writing != 0:
		err = syscall.EISDIR
	case flags&truncating != 0 && at.node.mode.IsRegular():
		at.node.data, at.node.shared = nil, false
		at.node.touch()
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &openFile{store: v.store, node: at.node, flags: flags}, nil
}

// openFile is an open file and its position.
type openFile struct {
	store  *Store
	node   *node
	flags  openFlags
	offset int64 // guarded by the store's mutex
}

func (f *openFile) Read(p []byte) (int, error) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	if f.node.mode.IsDir() {
		return 0, syscall.EISDIR
	}
	if f.offset >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[f.offset:])
	f.offset += int64(n)
	return n, nil
}

func (f *openFile) Write(p []byte) (int, error) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	if f.flags&writing == 0 {
		return 0, syscall.EBADF
	}
	if f.flags&appending != 0 {
		f.offset = int64(len(f.node.data))
	}
	f.node.writeAt(p, f.offset)
	f.offset += int64(len(p))
	return len(p), nil
}

// Seek sets the position.
func (f *openFile) Seek(offset int64, whence int) (int64, error) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += int64(len(f.node.data))
	}
	if offset < 0 {
		return 0, syscall.EINVAL
	}
	f.offset = offset
	return offset, nil
}

func (f *openFile) Truncate(size int64) error {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	f.node.resize(size)
	return nil
}

func (f *openFile) Close() error { return nil }

// fileInfo describes a node as it was.
type fileInfo struct {
	name     string
	node     *node
	size     int64
	mode     fs.FileMode
	modified time.Time
	links    uint64
}

func describe(name string, n *node) fileInfo {
	return fileInfo{name, n, int64(len(n.data) + len(n.target)), n.mode, n.modified, n.links}
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return i.modified }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return identity{i.node.id, i.links} }

// identity is an archive.Linked.
type identity struct{ id, links uint64 }

func (i identity) Identity() (id, links uint64) { return i.id, i.links }
