// Package weigh counts what directories take on the disk.
package weigh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Directories is how many bytes the directories, and all that is below them, take on
// the disk: of a sparse file what it has, of one with several names once. Nothing is
// followed, neither links nor, whoever changes the directories meanwhile, out of them;
// what goes meanwhile may count or not, as may what lies deeper than a path can be long.
// One open file is needed at a time. When ctx ends before all is counted, or on any
// other error, the bytes are those that were counted by then.
func Directories(ctx context.Context, dirs ...string) (bytes uint64, err error) {
	w := weighing{linked: make(map[inode]struct{})}
	for _, dir := range dirs {
		if err := w.weigh(ctx, dir); err != nil {
			return w.bytes, err
		}
	}
	return w.bytes, nil
}

type inode struct{ device, number uint64 }

type weighing struct {
	bytes  uint64
	linked map[inode]struct{} // files with several names that were counted
}

func (w *weighing) weigh(ctx context.Context, dir string) error {
	top, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if vanished(err) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(top)
	for pending := []string{"."}; len(pending) > 0; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("count what %s takes on the disk: %w", dir, context.Cause(ctx))
		}
		name := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		below, err := w.directory(top, name)
		if err != nil && !vanished(err) {
			return &os.PathError{Op: "count", Path: path.Join(dir, name), Err: err}
		}
		for _, child := range below {
			pending = append(pending, path.Join(name, child))
		}
	}
	return nil
}

// directory counts a directory below top and the files in it, and gives the names of
// the directories there.
func (w *weighing) directory(top int, name string) (below []string, err error) {
	fd, err := unix.Openat2(top, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, err
	}
	d := os.NewFile(uintptr(fd), name)
	defer d.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, err
	}
	w.add(&stat)
	for {
		names, err := d.Readdirnames(1024)
		for _, child := range names {
			switch err := unix.Fstatat(fd, child, &stat, unix.AT_SYMLINK_NOFOLLOW); {
			case vanished(err):
			case err != nil:
				return below, err
			case stat.Mode&unix.S_IFMT == unix.S_IFDIR:
				below = append(below, child)
			default:
				w.add(&stat)
			}
		}
		if err == io.EOF {
			return below, nil
		}
		if err != nil {
			return below, err
		}
	}
}

// blockSize is the unit of a file's blocks, see inode(7).
const blockSize = 512

func (w *weighing) add(stat *unix.Stat_t) {
	if stat.Nlink > 1 && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		file := inode{stat.Dev, stat.Ino}
		if _, counted := w.linked[file]; counted {
			return
		}
		w.linked[file] = struct{}{}
	}
	w.bytes += uint64(stat.Blocks) * blockSize
}

// vanished tells of errors of what is not there any more, or is another thing now.
func vanished(err error) bool {
	for _, gone := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENAMETOOLONG, unix.EXDEV, unix.EAGAIN} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}
