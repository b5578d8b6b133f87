package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rootTree is the Tree of a directory that is the root of a container.
type rootTree struct{ root *os.File }

// RootTree gives the tree of a directory that is somebody's root: symbolic links mean
// in it what they mean to who has it as theirs. An absolute one begins at the directory, and
// one that climbs stops there, so that neither leads out of the tree, though what
// is mounted in it may change meanwhile. The links of /proc that are not by name lead
// nowhere. What the kernel shows as files is left out: directories of such file
// systems are empty, and their files are not there.
//
// root, which O_PATH is enough for, is the tree's from then on.
func RootTree(root *os.File) Tree { return &rootTree{root} }

func (t *rootTree) Close() error { return t.root.Close() }

// open opens a name. The file's name is one by which this process finds it while it is open.
func (t *rootTree) open(op, name string, flags int, mode uint32) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Mode:    uint64(mode),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(int(t.root.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), fmt.Sprintf("/proc/self/fd/%d", fd)), nil
		// The kernel gives up when something is renamed while it looks.
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		default:
			return nil, &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
}

// parent opens the directory that a name lies in, and gives the name in it.
func (t *rootTree) parent(op, name string) (*os.File, string, error) {
	dir, base := path.Split(path.Clean(name))
	if base == ".." {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	opened, err := t.open(op, path.Clean(dir), unix.O_PATH|unix.O_DIRECTORY, 0)
	return opened, base, err
}

func (t *rootTree) Stat(name string) (fs.FileInfo, error)  { return t.stat(name, 0) }
func (t *rootTree) Lstat(name string) (fs.FileInfo, error) { return t.stat(name, unix.O_NOFOLLOW) }

func (t *rootTree) stat(name string, flags int) (fs.FileInfo, error) {
	opened, err := t.open("stat", name, unix.O_PATH|flags, 0)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return nil, err
	}
	return namedInfo{info, path.Base(name)}, nil
}

// namedInfo describes a file that was opened by another name.
type namedInfo struct {
	fs.FileInfo
	name string
}

func (i namedInfo) Name() string { return i.name }

func (t *rootTree) Readlink(name string) (string, error) {
	opened, err := t.open("readlink", name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	defer opened.Close()
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(opened.Fd()), "", target)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(target[:n]), nil
}

func (t *rootTree) ReadDir(name string) ([]fs.DirEntry, error) {
	opened, err := t.open("readdir", name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	if ofKernel(opened) {
		return nil, nil
	}
	entries, err := opened.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// kernelFileSystems are those whose files are made when they are read.
var kernelFileSystems = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC,
	unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC,
}

func ofKernel(opened *os.File) bool {
	var stat unix.Statfs_t
	return unix.Fstatfs(int(opened.Fd()), &stat) == nil && slices.Contains(kernelFileSystems, int64(stat.Type))
}

func (t *rootTree) Open(name string) (io.ReadCloser, error) {
	// To open what is no regular file may do something to it, or wait.
	found, err := t.open("open", name, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	info, err := found.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	case ofKernel(found):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return os.Open(found.Name())
}

func (t *rootTree) Create(name string) (File, error) {
	file, err := t.open("create", name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (t *rootTree) Mkdir(name string) error {
	return t.in("mkdir", name, func(parent int, base string) error { return unix.Mkdirat(parent, base, 0o755) })
}

func (t *rootTree) Symlink(target, name string) error {
	return t.in("symlink", name, func(parent int, base string) error { return unix.Symlinkat(target, parent, base) })
}

func (t *rootTree) Link(existing, name string) error {
	return t.in("link", existing, func(from int, old string) error {
		return t.in("link", name, func(to int, base string) error { return unix.Linkat(from, old, to, base, 0) })
	})
}

func (t *rootTree) Remove(name string) error {
	return t.in("remove", name, func(parent int, base string) error {
		err := unix.Unlinkat(parent, base, 0)
		if errors.Is(err, unix.EISDIR) {
			err = unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
		}
		return err
	})
}

// in does something to a name in its directory.
func (t *rootTree) in(op, name string, do func(parent int, base string) error) error {
	parent, base, err := t.parent(op, name)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := do(int(parent.Fd()), base); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

func (t *rootTree) Chmod(name string, mode fs.FileMode) error {
	return t.change("chmod", name, func(path string) error { return os.Chmod(path, mode) })
}

func (t *rootTree) Chtimes(name string, modified time.Time) error {
	return t.change("chtimes", name, func(path string) error { return os.Chtimes(path, time.Time{}, modified) })
}

// change changes the attributes of what is no symbolic link.
func (t *rootTree) change(op, name string, do func(path string) error) error {
	opened, err := t.open(op, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		err = &fs.PathError{Op: op, Path: name, Err: unix.ELOOP}
	}
	if err != nil {
		return err
	}
	return do(opened.Name())
}

// OwnerAbove gives who owns a directory, or the nearest one above it that is there.
func OwnerAbove(tree Tree, name string) (uid, gid int, err error) {
	for {
		info, err := tree.Stat(name)
		if err == nil {
			stat := info.Sys().(*syscall.Stat_t)
			return int(stat.Uid), int(stat.Gid), nil
		}
		if !errors.Is(err, os.ErrNotExist) || name == "/" {
			return 0, 0, err
		}
		name = path.Dir(name)
	}
}
