package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"midge/runtime"
)

// Options says how Extract unpacks. The zero value is for a tree that a
// container sees.
type Options struct {
	// Path is where in the tree, relative, to unpack: "" or "." for its top. It
	// is made if it is not there.
	Path string

	// ConfineLinks refuses symbolic links whose target is absolute or leaves the
	// tree. Without it they are kept, as files that hold a name; nothing is
	// written through them in either case.
	ConfineLinks bool

	// DropSetID leaves setuid, setgid and sticky bits out.
	DropSetID bool

	// MaxBytes bounds the sum of the files' sizes; 0 does not.
	MaxBytes int64
}

// Extract unpacks an uncompressed tar stream into a directory of this machine
// that exists, as ExtractTree does.
func Extract(ctx context.Context, stream io.Reader, dir string, options Options) error {
	tree, err := OpenTree(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	return ExtractTree(ctx, stream, tree, options)
}

// ExtractTree unpacks an uncompressed tar stream into a tree. What is there
// already stays, but for files and links whose name comes again; the last entry
// of a name wins. Directories that entries lie in are made when they lack.
//
// A *runtime.TarError refuses: a stream that is no tar, is cut, or has no end;
// a name that is absolute or leaves the tree, or that lies below a link that
// does, or below a file; a hard link to what the stream may not name or to what
// is not there; a directory to be replaced by something else; devices and named
// pipes. What was unpacked before stays.
//
// It reads the stream to its end. When ctx ends it stops, but it does not
// interrupt a Read: close the stream for that.
func ExtractTree(ctx context.Context, stream io.Reader, tree Tree, options Options) error {
	top := path.Clean(options.Path)
	if !validPath(top) {
		return fmt.Errorf("unpack at %q: it is not a relative path in the tree", options.Path)
	}
	e := &extraction{ctx: ctx, tree: tree, top: top, options: options}
	if err := e.makeDirectories(top); err != nil {
		return fmt.Errorf("unpack at %q: %w", options.Path, err)
	}
	if err := e.entries(stream); err != nil {
		return err
	}
	return e.finishDirectories()
}

type extraction struct {
	ctx     context.Context
	tree    Tree
	top     string
	options Options
	bytes   int64
	made    string // the last directory that entries lay in
	// Directories get their permissions and times last: a read-only one must
	// take its entries first, and each entry changes its time.
	directories []*tar.Header
	block       []byte
}

func (e *extraction) entries(stream io.Reader) error {
	counted := &countingReader{r: contextReader{e.ctx, stream}}
	reader := tar.NewReader(counted)
	for {
		// Headers begin at multiples of the block size: the last entry ends at the next.
		if _, err := io.Copy(io.Discard, reader); err != nil {
			return e.refuse("", err)
		}
		end := (counted.n + blockSize - 1) / blockSize * blockSize
		header, err := reader.Next()
		if err == io.EOF {
			if counted.n < end+blockSize {
				return e.refuse("", io.ErrUnexpectedEOF)
			}
			// Who writes the stream may be waiting to get rid of its padding.
			if _, err := io.Copy(io.Discard, counted); err != nil {
				return e.refuse("", err)
			}
			return nil
		}
		if err != nil {
			return e.refuse("", err)
		}
		if err := e.entry(header, reader); err != nil {
			return e.refuse(header.Name, err)
		}
	}
}

const blockSize = 512

// refuse makes err a *runtime.TarError unless it is about something else than the stream.
func (e *extraction) refuse(entry string, err error) error {
	if err := context.Cause(e.ctx); err != nil {
		return err
	}
	var machine *machineError
	if errors.As(err, &machine) {
		return fmt.Errorf("unpack %q: %w", entry, machine.err)
	}
	if err == io.ErrUnexpectedEOF {
		err = errors.New("it is cut: its end is missing")
	} else if errors.Is(err, tar.ErrHeader) {
		err = errors.New("it is no tar stream, or is damaged")
	}
	return &runtime.TarError{Entry: entry, Err: err}
}

// machineError marks what is the fault of the machine, not of the stream: a full disk.
type machineError struct{ err error }

func (e *machineError) Error() string { return e.err.Error() }

func (e *extraction) entry(header *tar.Header, contents io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name := path.Clean(header.Name)
	if header.Name == "" || !validPath(name) {
		return errors.New("its name leads out of the tree")
	}
	name = path.Join(e.top, name)
	if name == e.top {
		if header.Typeflag != tar.TypeDir {
			return errors.New("it would replace the top of the tree")
		}
		return e.directory(name, header)
	}
	if err := e.makeDirectories(path.Dir(name)); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return e.directory(name, header)
	case tar.TypeReg, tar.TypeGNUSparse:
		return e.file(name, header, contents)
	case tar.TypeSymlink:
		return e.symlink(name, header)
	case tar.TypeLink:
		return e.link(name, header)
	case tar.TypeChar, tar.TypeBlock:
		return errors.New("it is a device, and those are not kept")
	case tar.TypeFifo:
		return errors.New("it is a named pipe, and those are not kept")
	}
	return fmt.Errorf("it is of type %q, which is not known", header.Typeflag)
}

// validPath tells whether a cleaned path stays below where it begins.
func validPath(name string) bool {
	return !path.IsAbs(name) && name != ".." && !strings.HasPrefix(name, "../") && !strings.ContainsRune(name, 0)
}

// makeDirectories makes a directory and those above it where they lack.
func (e *extraction) makeDirectories(name string) error {
	if name == "." || name == e.made {
		return nil
	}
	info, err := e.tree.Stat(name)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%q is not a directory", name)
	case err == nil:
		e.made = name
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%q cannot be entered: %w", name, reason(err))
	}
	if err := e.makeDirectories(path.Dir(name)); err != nil {
		return err
	}
	if err := e.tree.Mkdir(name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%q is a link to nothing", name)
		}
		return &machineError{err}
	}
	e.made = name
	return nil
}

// reason gives the error without the operation and path that a *fs.PathError repeats.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

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

// finishDirectories gives directories their permissions and times, the deepest first.
func (e *extraction) finishDirectories() error {
	for i := len(e.directories) - 1; i >= 0; i-- {
		header := e.directories[i]
		info, err := e.tree.Lstat(header.Name)
		if err != nil || !info.IsDir() {
			// A later entry took its place.
			continue
		}
		if err := e.attributes(header.Name, header); err != nil {
			return fmt.Errorf("unpack %q: %w", header.Name, err)
		}
	}
	return nil
}

// countingReader counts the bytes that were read.
type countingReader struct {
	r io.Reader
	n int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	return n, err
}
