package runtimetest

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"midge/api"
	"midge/runtime"
	"midge/runtime/archive"
	"midge/runtime/runtimetest/machine"
)

// files are a container's files.
type files struct{ container *container }

func (c *container) Files() runtime.Files { return files{c} }

// open gives the absolute path that path means.
func (f files) open(ctx context.Context, path string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	f.container.mu.Lock()
	defer f.container.mu.Unlock()
	if f.container.destroyed {
		return "", &runtime.NotFoundError{Kind: "container", Name: f.container.spec.Handle}
	}
	return f.container.absolute(path), nil
}

func (f files) List(ctx context.Context, path string) ([]api.File, error) {
	name, err := f.open(ctx, path)
	if err != nil {
		return nil, err
	}
	return archive.List(f.tree(), name)
}

func (f files) Stat(ctx context.Context, path string) (api.File, error) {
	name, err := f.open(ctx, path)
	if err != nil {
		return api.File{}, err
	}
	return archive.Stat(f.tree(), name)
}

func (f files) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	name, err := f.open(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := f.container.worker.fail(StreamOut, f.container.spec.Handle); err != nil {
		return nil, err
	}
	return streamTree(ctx, f.tree(), name)
}

func (f files) StreamIn(ctx context.Context, path string, tar io.Reader) error {
	name, err := f.open(ctx, path)
	if err != nil {
		return err
	}
	if err := f.container.worker.fail(StreamIn, f.container.spec.Handle); err != nil {
		return err
	}
	return archive.ExtractTree(ctx, tar, f.tree(), archive.Options{Path: strings.TrimPrefix(name, "/"), KeepTop: true})
}

func (f files) tree() archive.Tree { return userFiles{f.container.files} }

// userFiles are the files of a machine without what its kernel shows as such.
type userFiles struct{ *machine.FileSystem }

func (f userFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	if ofKernel(name) {
		return nil, nil
	}
	return f.FileSystem.ReadDir(name)
}

func (f userFiles) Open(name string) (io.ReadCloser, error) {
	if ofKernel(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	info, err := f.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return nil, err
	}
	return f.FileSystem.Open(name)
}

func ofKernel(name string) bool {
	return name == "/proc" || strings.HasPrefix(name, "/proc/")
}

// given is a tree that a container has, as it was at first.
type given struct {
	path        string
	before, now *machine.Tree
}

// rememberGiven keeps the container's image and inputs as they are.
func (c *container) rememberGiven() {
	c.given = append(c.given, given{"/", c.root.Copy(), c.root})
	for _, mounted := range c.mounts {
		if mounted.volume.parent != "" {
			c.given = append(c.given, given{mounted.volume.path, mounted.volume.tree.Copy(), mounted.volume.tree})
		}
	}
}

func (f files) Changes(ctx context.Context) ([]api.FileChange, error) {
	if _, err := f.open(ctx, "/"); err != nil {
		return nil, err
	}
	all := []api.FileChange{}
	for _, tree := range f.container.given {
		c := comparison{at: tree.path, before: tree.before, after: tree.now.Copy()}
		if err := c.directory("."); err != nil {
			return nil, err
		}
		all = append(all, c.changes...)
	}
	slices.SortFunc(all, func(a, b api.FileChange) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// A comparison finds how two trees differ.
type comparison struct {
	at            string
	before, after *machine.Tree
	changes       []api.FileChange
}

func (c *comparison) directory(name string) error {
	after, err := c.after.ReadDir(name)
	if err != nil {
		return err
	}
	for _, entry := range after {
		if err := c.entry(path.Join(name, entry.Name())); err != nil {
			return err
		}
	}
	before, err := c.before.ReadDir(name)
	if err != nil { // it is new
		return nil
	}
	for _, entry := range before {
		below := path.Join(name, entry.Name())
		if _, err := c.after.Lstat(below); err == nil {
			continue
		}
		info, err := c.before.Lstat(below)
		if err != nil {
			return err
		}
		c.add(api.FileRemoved, below, info)
	}
	return nil
}

func (c *comparison) entry(name string) error {
	after, err := c.after.Lstat(name)
	if err != nil {
		return err
	}
	before, err := c.before.Lstat(name)
	if err != nil {
		c.add(api.FileAdded, name, after)
	} else if !c.same(name, before, after) {
		c.add(api.FileModified, name, after)
	}
	if after.IsDir() {
		return c.directory(name)
	}
	return nil
}

// same tells whether a file is as it was, but for its time.
func (c *comparison) same(name string, before, after fs.FileInfo) bool {
	if before.Mode() != after.Mode() {
		return false
	}
	switch after.Mode().Type() {
	case 0:
		was, wasErr := c.before.ReadFile(name)
		is, isErr := c.after.ReadFile(name)
		return wasErr == nil && isErr == nil && bytes.Equal(was, is)
	case fs.ModeSymlink:
		was, wasErr := c.before.Readlink(name)
		is, isErr := c.after.Readlink(name)
		return wasErr == nil && isErr == nil && was == is
	}
	return true
}

func (c *comparison) add(change api.FileChangeKind, name string, info fs.FileInfo) {
	file := archive.Describe(info)
	c.changes = append(c.changes, api.FileChange{Path: path.Join(c.at, name), Change: change, Type: file.Type, Size: file.Size})
}
