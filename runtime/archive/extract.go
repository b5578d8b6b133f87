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

	"midge/runtime"
)

// Options says how Extract unpacks. The zero value is for a tree that a
// container sees.
type Options struct {
	// Path is where in the tree, relative, to unpack: "" or "." for its top. It
	// is made if it is not there.
	Path string

	// KeepTop leaves the directory at Path as it is, when it is there, but for what is
	// unpacked in it: its permissions and its time.
	KeepTop bool

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
	if options.KeepTop {
		_, err := tree.Stat(top)
		e.keepTop = err == nil
	}
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
	keepTop bool
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
		if e.keepTop {
			return nil
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
