package execute

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"midge/runtime/archive"
)

// fileList is what of a directory is to be sent.
type fileList struct {
	dir string
	// names has every file and directory to be sent, relative with slashes; nil means all.
	names map[string]bool
	count int   // of files
	bytes int64 // their lengths together
}

// add notes a file or directory that is to be sent, and the directories it lies in.
func (l *fileList) add(name string) {
	for ; name != "." && !l.names[name]; name = path.Dir(name) {
		l.names[name] = true
	}
}

// has reports whether name is to be sent.
func (l *fileList) has(name string) bool { return l.names == nil || l.names[name] }

// listFiles lists what of a directory is to be sent: all of it where it is in no git
// repository or includeIgnored is set, else what git tracks or does not ignore.
func listFiles(ctx context.Context, dir string, includeIgnored bool) (fileList, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fileList{}, err
	}
	list := fileList{dir: dir}
	if !includeIgnored && inRepository(dir) {
		list.names = map[string]bool{}
		if err := list.addRepository(ctx, "."); err != nil {
			return fileList{}, err
		}
	}
	return list, list.measure()
}

// inRepository reports whether dir or a directory above it has a .git.
func inRepository(dir string) bool {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return false
		}
		dir = parent
	}
}

// addRepository adds what git lists below prefix, and the repositories within it.
func (l *fileList) addRepository(ctx context.Context, prefix string) error {
	dir := filepath.Join(l.dir, filepath.FromSlash(prefix))
	listed, err := gitFiles(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range listed {
		name = path.Join(prefix, name)
		info, err := os.Lstat(filepath.Join(l.dir, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// Tracked, and deleted in the working tree.
		case err != nil:
			return err
		case info.IsDir():
			// A submodule, or another repository inside of this one.
			l.add(name)
			if _, err := os.Lstat(filepath.Join(l.dir, filepath.FromSlash(name), ".git")); err == nil {
				if err := l.addRepository(ctx, name); err != nil {
					return err
				}
			}
		default:
			l.add(name)
		}
	}
	return nil
}

// gitFiles asks git for the files below dir that it tracks or does not ignore.
func gitFiles(ctx context.Context, dir string) ([]string, error) {
	command := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	command.Dir = dir
	output, err := command.Output()
	var failed *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("it is in a git repository, and git is not on the PATH to tell what it ignores; install git, or send everything with --include-ignored")
	case errors.As(err, &failed):
		said := strings.TrimSpace(string(bytes.SplitN(failed.Stderr, []byte{'\n'}, 2)[0]))
		return nil, fmt.Errorf("git cannot tell what it ignores (%s); mend that, or send everything with --include-ignored", cmp.Or(said, failed.String()))
	case err != nil:
		return nil, fmt.Errorf("ask git what it ignores: %w", err)
	}
	names := strings.Split(string(output), "\x00")
	return slices.DeleteFunc(names, func(name string) bool { return name == "" }), nil
}

// measure counts the files and their bytes.
func (l *fileList) measure() error {
	return filepath.WalkDir(l.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return unreadable(err)
		}
		relative, err := filepath.Rel(l.dir, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		switch {
		case relative == ".":
			return nil
		case !l.has(relative) && entry.IsDir():
			return fs.SkipDir
		case !l.has(relative), entry.IsDir():
			return nil
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
	})
}

// unreadable names a file that cannot be read, and why.
func unreadable(err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) && errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("you may not read %s; change its permissions, or have git ignore it", failed.Path)
	}
	return err
}

// selectedTree is a tree of which only the listed files are seen, and which tells how
// much has been read of them.
type selectedTree struct {
	archive.Tree
	files fileList
	read  func(total int64)
	total int64
}

func (t *selectedTree) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := t.Tree.ReadDir(name)
	if err != nil {
		return nil, unreadable(err)
	}
	return slices.DeleteFunc(entries, func(entry fs.DirEntry) bool {
		return !t.files.has(path.Join(name, entry.Name()))
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
