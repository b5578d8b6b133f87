package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"midge/agent"
)

// A treeCopy makes a copy of a directory.
type treeCopy struct {
	from, to string
	// owners, if not nil, changes the owners to what they are outside of a container.
	owners *userNamespace
	// layer copies what tells an overlay what a layer hides.
	layer bool
	// unchanged, if not nil, gives a file that has the contents of the one of that
	// name and is never written, for the copy to be a link to, "" when there is none.
	unchanged func(name string) string

	copied      map[inode]string // files that have several names, and their first
	directories []copiedDirectory
}

// A copiedDirectory gets its attributes last: each entry changes its time.
type copiedDirectory struct {
	from, to string
	stat     unix.Stat_t
}

type inode struct{ device, number uint64 }

// run copies into to, which exists and is empty.
func (c *treeCopy) run(ctx context.Context) error {
	c.copied = make(map[inode]string)
	err := filepath.WalkDir(c.from, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := filepath.Rel(c.from, path)
		if err != nil {
			return err
		}
		if err := c.entry(path, name); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range slices.Backward(c.directories) {
		if err := c.attributes(d.from, d.to, d.stat); err != nil {
			return fmt.Errorf("copy %s: %w", d.from, err)
		}
	}
	return nil
}

func (c *treeCopy) entry(from, name string) error {
	var stat unix.Stat_t
	if err := unix.Lstat(from, &stat); err != nil {
		return err
	}
	to := filepath.Join(c.to, name)
	kind := stat.Mode & unix.S_IFMT
	switch kind {
	case unix.S_IFDIR:
		c.directories = append(c.directories, copiedDirectory{from, to, stat})
		if name == "." {
			return nil
		}
		return os.Mkdir(to, 0o700)
	case unix.S_IFREG:
		if done, err := c.regular(from, to, name, stat); done || err != nil {
			return err
		}
	case unix.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, to); err != nil {
			return err
		}
	case unix.S_IFCHR:
		if !c.layer || stat.Rdev != 0 {
			return nil
		}
		if err := unix.Mknod(to, unix.S_IFCHR, 0); err != nil {
			return err
		}
	default: // sockets and the like are of no use to who comes later
		return nil
	}
	return c.attributes(from, to, stat)
}

// regular copies a file's contents. done tells that the copy is a link, which has
// its attributes.
func (c *treeCopy) regular(from, to, name string, stat unix.Stat_t) (done bool, err error) {
	if c.unchanged != nil {
		if same := c.unchanged(name); same != "" {
			return true, os.Link(same, to)
		}
	}
	file := inode{stat.Dev, stat.Ino}
	if first, ok := c.copied[file]; ok {
		return true, os.Link(first, to)
	}
	if stat.Nlink > 1 {
		c.copied[file] = to
	}
	return false, copyFile(from, to)
}

func (c *treeCopy) attributes(from, to string, stat unix.Stat_t) error {
	owner := func() error { return os.Lchown(to, int(stat.Uid), int(stat.Gid)) }
	if c.owners != nil {
		owner = func() error { return c.owners.shiftOwner(to, stat) }
	}
	if err := owner(); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	if err := unix.Chmod(to, stat.Mode&0o7777); err != nil {
		return err
	}
	if c.layer && stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := copyOpaque(from, to); err != nil {
			return err
		}
	}
	times := []unix.Timespec{stat.Atim, stat.Mtim}
	return unix.UtimesNanoAt(unix.AT_FDCWD, to, times, unix.AT_SYMLINK_NOFOLLOW)
}

// opaqueAttribute marks a directory of a layer that hides what is below it.
func opaqueAttribute() string {
	if agent.InitialUserNamespace() {
		return "trusted.overlay.opaque"
	}
	return "user.overlay.opaque"
}

// copyOpaque copies the mark of a directory that hides all below it.
func copyOpaque(from, to string) error {
	attribute := opaqueAttribute()
	var value [8]byte
	n, err := unix.Lgetxattr(from, attribute, value[:])
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	return unix.Lsetxattr(to, attribute, value[:n], 0)
}

// copyFile copies contents, sharing blocks where the file system can.
func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		return nil
	}
	_, err = io.Copy(target, source)
	return err
}
