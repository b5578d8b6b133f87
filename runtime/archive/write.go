package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"midge/runtime"
)

// Write writes what lies at name in a directory of this machine to w, as
// WriteTree does.
func Write(ctx context.Context, w io.Writer, dir, name string) error {
	tree, err := OpenTree(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	return WriteTree(ctx, w, tree, name)
}

// WriteTree writes what lies at name in the tree to w as a tar stream. Of a
// directory all that is below comes, the directory itself first, as "./", the
// rest in the order of names; a file comes alone, under its own name. A name
// that is a symbolic link stands for what it leads to.
//
// A name that is not there, or that leads out of the tree, is a
// *runtime.NotFoundError, and then nothing has been written. What vanishes from
// the tree meanwhile is left out; a file that gets shorter is an error.
func WriteTree(ctx context.Context, w io.Writer, tree Tree, name string) error {
	info, err := tree.Stat(name)
	if err != nil {
		return &runtime.NotFoundError{Kind: "path", Name: name}
	}
	writer := &treeWriter{ctx: ctx, tree: tree, tar: tar.NewWriter(w), names: map[fileID]string{}}
	switch {
	case info.IsDir():
		err = writer.directory(name, "", info)
	case info.Mode().IsRegular():
		err = writer.file(name, path.Base(name), info)
	default:
		return &runtime.NotFoundError{Kind: "path", Name: name}
	}
	if err != nil {
		return err
	}
	return writer.tar.Close()
}

type treeWriter struct {
	ctx   context.Context
	tree  Tree
	tar   *tar.Writer
	names map[fileID]string // the name under which a file with several came first
	block []byte
}

// directory writes a directory and all below it. prefix is its name in the
// stream, with a slash at the end, or "" for the top.
func (w *treeWriter) directory(name, prefix string, info fs.FileInfo) error {
	if err := w.header(&tar.Header{Typeflag: tar.TypeDir, Name: max(prefix, "./")}, info); err != nil {
		return err
	}
	entries, err := w.tree.ReadDir(name)
	if err != nil {
		return fmt.Errorf("list %q: %w", name, err)
	}
	for _, entry := range entries {
		err := w.entry(path.Join(name, entry.Name()), prefix+entry.Name())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (w *treeWriter) entry(name, entryName string) error {
	info, err := w.tree.Lstat(name)
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return w.directory(name, entryName+"/", info)
	case fs.ModeSymlink:
		target, err := w.tree.Readlink(name)
		if err != nil {
			return err
		}
		return w.header(&tar.Header{Typeflag: tar.TypeSymlink, Name: entryName, Linkname: target}, info)
	case 0:
		return w.file(name, entryName, info)
	}
	return nil
}

func (w *treeWriter) file(name, entryName string, info fs.FileInfo) error {
	id, linked := identity(info)
	if first, ok := w.names[id]; linked && ok {
		return w.header(&tar.Header{Typeflag: tar.TypeLink, Name: entryName, Linkname: first}, info)
	}
	contents, err := w.tree.Open(name)
	if err != nil {
		return err
	}
	defer contents.Close()
	err = w.header(&tar.Header{Typeflag: tar.TypeReg, Name: entryName, Size: info.Size()}, info)
	if err != nil {
		return err
	}
	if linked {
		w.names[id] = entryName
	}
	if w.block == nil {
		w.block = make([]byte, 128<<10)
	}
	read := contextReader{w.ctx, io.LimitReader(contents, info.Size())}
	n, err := io.CopyBuffer(onlyWriter{w.tar}, read, w.block)
	if err == nil && n < info.Size() {
		err = fmt.Errorf("it had %d bytes, and %d when they were read", info.Size(), n)
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	return nil
}

func (w *treeWriter) header(header *tar.Header, info fs.FileInfo) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	header.Mode = permissions(info.Mode())
	header.ModTime = info.ModTime().Truncate(time.Second)
	if header.Typeflag == tar.TypeSymlink {
		// Not every system sets them, so they would differ from copy to copy.
		header.Mode, header.ModTime = 0o777, time.Unix(0, 0)
	}
	if err := w.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("write entry %q: %w", header.Name, err)
	}
	return nil
}

// permissions gives the mode as tar has it.
func permissions(mode fs.FileMode) int64 {
	bits := int64(mode.Perm())
	if mode&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if mode&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if mode&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}

// contextReader reads until its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// onlyWriter hides all methods but Write, so that copying uses the buffer it is given.
type onlyWriter struct{ io.Writer }
