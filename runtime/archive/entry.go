package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"
)

func (e *extraction) directory(name string, header *tar.Header) error {
	info, err := e.tree.Lstat(name)
	if err == nil && !info.IsDir() {
		err = e.replace(name)
		info = nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && info == nil {
		err = e.tree.Mkdir(name)
	}
	if err != nil {
		return &machineError{err}
	}
	header.Name = name
	e.directories = append(e.directories, header)
	return nil
}

// replace makes room for a new entry. Directories are not replaced: what is in
// them would go unseen.
func (e *extraction) replace(name string) error {
	info, err := e.tree.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &machineError{err}
	}
	if info.IsDir() {
		return errors.New("a directory of that name is there")
	}
	e.made = ""
	if err := e.tree.Remove(name); err != nil {
		return &machineError{err}
	}
	return nil
}

func (e *extraction) file(name string, header *tar.Header, contents io.Reader) error {
	e.bytes += header.Size
	if e.options.MaxBytes > 0 && e.bytes > e.options.MaxBytes {
		return fmt.Errorf("the tree would be larger than the %d bytes allowed", e.options.MaxBytes)
	}
	file, err := e.create(name)
	if err != nil {
		return err
	}
	err = e.copy(file, contents, header.Size)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = &machineError{closeErr}
	}
	if err != nil {
		return err
	}
	if err := e.attributes(name, header); err != nil {
		return &machineError{err}
	}
	return nil
}

func (e *extraction) create(name string) (File, error) {
	file, err := e.tree.Create(name)
	if errors.Is(err, fs.ErrExist) {
		if err := e.replace(name); err != nil {
			return nil, err
		}
		file, err = e.tree.Create(name)
	}
	if err != nil {
		return nil, &machineError{err}
	}
	return file, nil
}

// copy writes contents to the file, and leaves holes where blocks are zero.
func (e *extraction) copy(file File, contents io.Reader, size int64) error {
	if e.block == nil {
		e.block = make([]byte, 64<<10)
	}
	hole := false
	for written := int64(0); written < size; {
		n, err := io.ReadFull(contents, e.block[:min(size-written, int64(len(e.block)))])
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		written += int64(n)
		if hole = n == len(e.block) && allZero(e.block); hole {
			_, err = file.Seek(int64(n), io.SeekCurrent)
		} else {
			_, err = file.Write(e.block[:n])
		}
		if err != nil {
			return &machineError{err}
		}
		if err := e.ctx.Err(); err != nil {
			return err
		}
	}
	if hole {
		if err := file.Truncate(size); err != nil {
			return &machineError{err}
		}
	}
	return nil
}

func allZero(block []byte) bool {
	for _, b := range block {
		if b != 0 {
			return false
		}
	}
	return true
}

func (e *extraction) symlink(name string, header *tar.Header) error {
	if header.Linkname == "" {
		return errors.New("it is a link without a target")
	}
	if e.options.ConfineLinks && !validPath(path.Join(path.Dir(path.Clean(header.Name)), header.Linkname)) {
		return fmt.Errorf("it links to %q, which is outside the tree", header.Linkname)
	}
	if e.options.ConfineLinks && path.IsAbs(header.Linkname) {
		return fmt.Errorf("it links to %q, which is absolute", header.Linkname)
	}
	if err := e.replace(name); err != nil {
		return err
	}
	if err := e.tree.Symlink(header.Linkname, name); err != nil {
		return &machineError{err}
	}
	return nil
}

func (e *extraction) link(name string, header *tar.Header) error {
	target := path.Clean(header.Linkname)
	if header.Linkname == "" || !validPath(target) {
		return fmt.Errorf("it links to %q, which is outside the tree", header.Linkname)
	}
	target = path.Join(e.top, target)
	if target == name {
		return errors.New("it links to itself")
	}
	info, err := e.tree.Lstat(target)
	if err != nil {
		return fmt.Errorf("it links to %q: %w", header.Linkname, reason(err))
	}
	if info.IsDir() {
		return fmt.Errorf("it links to %q, which is a directory", header.Linkname)
	}
	if err := e.replace(name); err != nil {
		return err
	}
	if err := e.tree.Link(target, name); err != nil {
		return &machineError{err}
	}
	return nil
}

func (e *extraction) attributes(name string, header *tar.Header) error {
	mode := header.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	if e.options.DropSetID {
		mode = mode.Perm()
	}
	if err := e.tree.Chmod(name, mode); err != nil {
		return err
	}
	return e.tree.Chtimes(name, header.ModTime.Truncate(time.Second))
}
