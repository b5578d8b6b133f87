//go:build !unix

package scan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"midge/artifacts"
)

// dir is an open directory, whose names are reached without leaving it.
type dir struct{ root *os.Root }

func openTop(path string) (*dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &dir{root}, nil
}

func (d *dir) close() error { return d.root.Close() }

func (d *dir) openDir(name string) (*dir, error) {
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &dir{root}, nil
}

// names gives the names in the directory, in no order.
func (d *dir) names() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d *dir) lstat(name string) (info, error) {
	fi, err := d.root.Lstat(name)
	if err != nil {
		return info{}, err
	}
	return infoOf(fi), nil
}

func (d *dir) readlink(name string) (string, error) { return d.root.Readlink(name) }

func (d *dir) open(name string) (*file, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	return &file{f}, nil
}

type file struct{ *os.File }

func (f *file) stat() (info, error) {
	fi, err := f.Stat()
	if err != nil {
		return info{}, err
	}
	return infoOf(fi), nil
}

// infoOf gives a file the mode that a checkout has on systems with modes: this one has none.
func infoOf(fi fs.FileInfo) info {
	i := info{mode: 0o644, size: fi.Size(), mtime: fi.ModTime().UnixNano(), links: 1}
	switch mode := fi.Mode(); {
	case mode.IsRegular():
		i.kind = artifacts.TypeFile
	case mode.IsDir():
		i.kind, i.mode = artifacts.TypeDirectory, 0o755
	case mode&fs.ModeSymlink != 0:
		i.kind = artifacts.TypeSymlink
	case mode&fs.ModeSocket != 0:
		i.other = "socket"
	case mode&fs.ModeNamedPipe != 0:
		i.other = "named pipe"
	case mode&fs.ModeDevice != 0:
		i.other = "device"
	default:
		i.other = fmt.Sprintf("file of mode %v", mode)
	}
	return i
}

func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
