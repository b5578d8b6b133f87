package archive

import (
	"cmp"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
	"time"
)

// directory is the Tree of a directory of this machine. It keeps the directory
// that was used last open, since neighbours in a stream mostly share it.
type directory struct {
	root   *os.Root
	parent *os.Root // nil when none is kept
	name   string   // of parent
}

// OpenTree gives the tree of a directory that exists. The caller closes it.
func OpenTree(dir string) (Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &directory{root: root}, nil
}

func (d *directory) Close() error {
	d.forget()
	return d.root.Close()
}

// at gives the directory that name lies in and its name there.
func (d *directory) at(name string) (*os.Root, string, error) {
	dir, base := path.Split(path.Clean(name))
	dir = path.Clean(dir)
	if dir == "." {
		return d.root, base, nil
	}
	if base == ".." {
		// os.Root refuses what leaves it.
		return d.root, name, nil
	}
	if d.parent != nil && d.name == dir {
		return d.parent, base, nil
	}
	parent, err := d.root.OpenRoot(dir)
	if err != nil {
		return nil, "", err
	}
	d.forget()
	d.parent, d.name = parent, dir
	return parent, base, nil
}

func (d *directory) forget() {
	if d.parent != nil {
		d.parent.Close()
		d.parent = nil
	}
}

func (d *directory) Stat(name string) (fs.FileInfo, error) { return d.root.Stat(name) }

func (d *directory) Lstat(name string) (fs.FileInfo, error) {
	parent, base, err := d.at(name)
	if err != nil {
		return nil, err
	}
	return parent.Lstat(base)
}

func (d *directory) Readlink(name string) (string, error) {
	parent, base, err := d.at(name)
	if err != nil {
		return "", err
	}
	return parent.Readlink(base)
}

func (d *directory) ReadDir(name string) ([]fs.DirEntry, error) {
	opened, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	entries, err := opened.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (d *directory) Open(name string) (io.ReadCloser, error) {
	// What was a file a moment ago may be a named pipe now: opening it must not wait.
	opened, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := opened.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		opened.Close()
		return nil, err
	}
	return opened, nil
}

func (d *directory) Create(name string) (File, error) {
	parent, base, err := d.at(name)
	if err != nil {
		return nil, err
	}
	file, err := parent.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (d *directory) Mkdir(name string) error {
	parent, base, err := d.at(name)
	if err != nil {
		return err
	}
	return parent.Mkdir(base, 0o755)
}

func (d *directory) Symlink(target, name string) error {
	parent, base, err := d.at(name)
	if err != nil {
		return err
	}
	return parent.Symlink(target, base)
}

func (d *directory) Link(existing, name string) error { return d.root.Link(existing, name) }

func (d *directory) Remove(name string) error {
	parent, base, err := d.at(name)
	if err != nil {
		return err
	}
	err = parent.Remove(base)
	// The directory that is kept may have been reached through what is gone.
	d.forget()
	return err
}

func (d *directory) Chmod(name string, mode fs.FileMode) error {
	parent, base, err := d.at(name)
	if err != nil {
		return err
	}
	return parent.Chmod(base, mode)
}

func (d *directory) Chtimes(name string, modified time.Time) error {
	parent, base, err := d.at(name)
	if err != nil {
		return err
	}
	return parent.Chtimes(base, time.Time{}, modified)
}
