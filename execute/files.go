package execute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"midge/artifacts/ignore"
	"midge/artifacts/scan"
	"midge/runtime/archive"
)

// fileList is what of a directory is to be sent.
type fileList struct {
	dir        string
	includeGit bool
	names      map[string]bool // of files and directories, relative with slashes
	count      int             // of files
	bytes      int64           // their lengths together
	ignored    []scan.Ignored
}

// listFiles lists what of a directory is to be sent: what no ignore file leaves out,
// or all of it with includeIgnored, and what is named .git only with includeGit.
func listFiles(ctx context.Context, dir string, includeIgnored, includeGit bool) (*fileList, error) {
	list := &fileList{dir: dir, includeGit: includeGit, names: map[string]bool{}}
	var scope ignore.Scope
	if !includeIgnored {
		var err error
		if scope, err = ignore.Open(ctx, dir); err != nil {
			return nil, err
		}
	}
	return list, list.addDirectory(ctx, ".", scope)
}

// local gives the path of a name in the list.
func (l *fileList) local(name string) string { return filepath.Join(l.dir, filepath.FromSlash(name)) }

// addDirectory lists what is in a directory. A nil scope ignores nothing.
func (l *fileList) addDirectory(ctx context.Context, dir string, scope ignore.Scope) error {
	entries, err := os.ReadDir(l.local(dir))
	if err != nil {
		return unreadable(err)
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if entry.Name() == ".git" && !l.includeGit {
			continue
		}
		if scope != nil {
			rule, err := scope.Ignored(entry.Name(), entry.IsDir())
			if err != nil {
				return err
			}
			if rule != nil {
				l.ignored = append(l.ignored, scan.Ignored{Path: name, Dir: entry.IsDir(), Rule: *rule})
				continue
			}
		}
		if err := l.add(ctx, name, entry, scope); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// add lists a name that is not ignored, and what is in it.
func (l *fileList) add(ctx context.Context, name string, entry fs.DirEntry, scope ignore.Scope) error {
	l.names[name] = true
	if entry.IsDir() {
		if scope != nil {
			var err error
			if scope, err = scope.Enter(ctx, entry.Name(), func(file string) ([]byte, error) { return l.readFile(path.Join(name, file)) }); err != nil {
				return err
			}
		}
		return l.addDirectory(ctx, name, scope)
	}
	info, err := entry.Info()
	if err != nil {
		return unreadable(err)
	}
	l.count++
	if info.Mode().IsRegular() {
		l.bytes += info.Size()
	}
	return nil
}

// readFile reads a file that is no symlink.
func (l *fileList) readFile(name string) ([]byte, error) {
	info, err := os.Lstat(l.local(name))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return os.ReadFile(l.local(name))
}

// unreadable says what to do about a file that may not be read.
func unreadable(err error) error {
	var failed *fs.PathError
	switch {
	case !errors.Is(err, fs.ErrPermission):
		return err
	case errors.As(err, &failed):
		return fmt.Errorf("you may not read %s; change its permissions, or name it in .midgeignore", failed.Path)
	}
	return fmt.Errorf("%w; change its permissions, or name it in .midgeignore", err)
}

// selectedTree is a tree of which only the listed files are seen, and which tells how
// much has been read of them.
type selectedTree struct {
	archive.Tree
	files *fileList
	read  func(total int64)
	total int64
}

func (t *selectedTree) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := t.Tree.ReadDir(name)
	if err != nil {
		return nil, unreadable(err)
	}
	return slices.DeleteFunc(entries, func(entry fs.DirEntry) bool {
		return !t.files.names[path.Join(name, entry.Name())]
	}), nil
}

func (t *selectedTree) Open(name string) (io.ReadCloser, error) {
	file, err := t.Tree.Open(name)
	if err != nil {
		return nil, unreadable(err)
	}
	return &selectedFile{ReadCloser: file, tree: t}, nil
}

type selectedFile struct {
	io.ReadCloser
	tree *selectedTree
}

func (f *selectedFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.tree.total += int64(n); n > 0 {
		f.tree.read(f.tree.total)
	}
	return n, err
}
