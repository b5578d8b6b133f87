//go:build unix

package scan

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"midge/artifacts"
)

// dir is an open directory, whose names are reached without following symlinks.
type dir struct{ fd int }

func openTop(path string) (*dir, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	return &dir{fd}, nil
}

func (d *dir) close() error { return unix.Close(d.fd) }

func (d *dir) openDir(name string) (*dir, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	return &dir{fd}, nil
}

// names gives the names in the directory, in no order.
func (d *dir) names() ([]string, error) {
	var names []string
	buffer := make([]byte, 32<<10)
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(d.fd, buffer) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return names, nil
		}
		for rest := buffer[:n]; len(rest) > 0; {
			var consumed int
			consumed, _, names = unix.ParseDirent(rest, -1, names)
			rest = rest[consumed:]
		}
	}
}

func (d *dir) lstat(name string) (info, error) {
	var st unix.Stat_t
	if err := ignoreEINTR(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return info{}, err
	}
	return infoOf(&st), nil
}

func (d *dir) readlink(name string) (string, error) {
	buffer := make([]byte, artifacts.MaxPath)
	n, err := retry(func() (int, error) { return unix.Readlinkat(d.fd, name, buffer) })
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// open opens a regular file. O_NONBLOCK keeps a named pipe that took its place from blocking.
func (d *dir) open(name string) (*file, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	return &file{fd}, nil
}

// file is an open file. It is lighter than an os.File, which counts where a tree has many.
type file struct{ fd int }

func (f *file) Read(p []byte) (int, error) {
	n, err := retry(func() (int, error) { return unix.Read(f.fd, p) })
	switch {
	case err != nil:
		return 0, err
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := retry(func() (int, error) { return unix.Pread(f.fd, p[done:], offset+int64(done)) })
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *file) stat() (info, error) {
	var st unix.Stat_t
	if err := ignoreEINTR(func() error { return unix.Fstat(f.fd, &st) }); err != nil {
		return info{}, err
	}
	return infoOf(&st), nil
}

func (f *file) Close() error { return unix.Close(f.fd) }

func infoOf(st *unix.Stat_t) info {
	i := info{
		mode:  uint16(st.Mode) & artifacts.ModeMask,
		size:  st.Size,
		mtime: st.Mtim.Nano(),
		ctime: st.Ctim.Nano(),
		id:    fileID{uint64(st.Dev), st.Ino},
		links: uint64(st.Nlink),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		i.kind = artifacts.TypeFile
	case unix.S_IFDIR:
		i.kind = artifacts.TypeDirectory
	case unix.S_IFLNK:
		i.kind = artifacts.TypeSymlink
	case unix.S_IFSOCK:
		i.other = "socket"
	case unix.S_IFIFO:
		i.other = "named pipe"
	case unix.S_IFBLK, unix.S_IFCHR:
		i.other = "device"
	default:
		i.other = fmt.Sprintf("file of type %#o", st.Mode&unix.S_IFMT)
	}
	return i
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

func ignoreEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func isGone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
