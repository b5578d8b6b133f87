package transfer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// checkConflicts refuses to put something in the place of a directory that has
// files in it, unless it may be removed.
func (f *fetcher) checkConflicts() error {
	if f.options.Delete {
		return nil
	}
	for _, i := range f.local.Ignored {
		if !i.Dir || f.tree.top.at(i.Path) == nil {
			continue
		}
		empty, err := f.isEmpty(i.Path)
		if err != nil {
			return err
		}
		if !empty {
			return &ConflictError{Path: i.Path}
		}
	}
	return nil
}

func (f *fetcher) isEmpty(path string) (bool, error) {
	dir, err := f.top.Open(localName(path))
	if err != nil {
		return false, err
	}
	_, err = dir.Readdirnames(1)
	if closeErr := dir.Close(); closeErr != nil {
		return false, closeErr
	}
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// apply moves what is on the stage to its place. It may be broken off at any
// point and done again.
func (f *fetcher) apply(ctx context.Context) error {
	if err := f.removeObstacles(); err != nil {
		return err
	}
	if err := f.applyDirectory(ctx, f.tree.top); err != nil {
		return err
	}
	if err := f.applyLinks(); err != nil {
		return err
	}
	if f.options.Delete {
		if err := f.deleteOthers(); err != nil {
			return err
		}
	}
	if err := f.top.RemoveAll(stagingName); err != nil {
		return err
	}
	return f.applyTimes(f.tree.top)
}

// removeObstacles removes what is of another type than the tree has there.
func (f *fetcher) removeObstacles() error {
	for _, i := range f.local.Ignored {
		if f.tree.top.at(i.Path) == nil {
			continue
		}
		remove := f.top.Remove
		if f.options.Delete {
			remove = f.top.RemoveAll
		}
		if err := remove(localName(i.Path)); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetcher) staging(p string) string { return localName(path.Join(stagingName, p)) }

// applyDirectory moves what belongs into a directory. One that is not there yet is
// completed on the stage and moved as a whole.
func (f *fetcher) applyDirectory(ctx context.Context, n *node) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	here, ok := f.there[n.path]
	if !ok {
		if err := f.complete(n); err != nil {
			return err
		}
		return f.top.Rename(f.staging(n.path), localName(n.path))
	}
	if err := f.makeWritable(n); err != nil {
		return err
	}
	for i := range n.entries {
		e := &n.entries[i]
		var err error
		switch e.Type {
		case artifacts.TypeDirectory:
			err = f.applyDirectory(ctx, n.children[e.Name])
		case artifacts.TypeSymlink:
			err = f.applySymlink(n, e, here)
		case artifacts.TypeFile:
			err = f.applyFile(n, e, here)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeWritable lets the owner change a directory; its mode is set at the end.
func (f *fetcher) makeWritable(n *node) error {
	info, err := f.top.Lstat(localName(n.path))
	if err != nil || info.Mode()&0o700 == 0o700 {
		return err
	}
	return f.top.Chmod(localName(n.path), 0o700)
}

// complete makes, on the stage, what a directory has besides files.
func (f *fetcher) complete(n *node) error {
	if err := f.top.MkdirAll(f.staging(n.path), 0o700); err != nil {
		return err
	}
	for i := range n.entries {
		e := &n.entries[i]
		var err error
		switch {
		case e.Type == artifacts.TypeDirectory:
			err = f.complete(n.children[e.Name])
		case e.Type == artifacts.TypeSymlink:
			err = f.stageSymlink(n, e)
		case e.Content.Kind == artifacts.KindList && !f.tree.linked(n, e):
			err = f.finishFile(f.staging(n.join(e.Name)), e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *fetcher) stageSymlink(n *node, e *artifacts.Entry) error {
	name := f.staging(n.join(e.Name))
	if err := f.top.RemoveAll(name); err != nil {
		return err
	}
	return f.top.Symlink(e.Target, name)
}

func (f *fetcher) applySymlink(n *node, e *artifacts.Entry, here scan.Directory) error {
	if old := findIn(here, e.Name); old != nil && old.Type == artifacts.TypeSymlink && old.Target == e.Target {
		return nil
	}
	if err := f.top.MkdirAll(f.staging(n.path), 0o700); err != nil {
		return err
	}
	if err := f.stageSymlink(n, e); err != nil {
		return err
	}
	return f.top.Rename(f.staging(n.join(e.Name)), localName(n.join(e.Name)))
}

func findIn(d scan.Directory, name string) *artifacts.Entry {
	n := node{entries: d.Entries()}
	return n.find(name)
}

// applyFile moves a file from the stage, or gives the one that is there its mode and time.
func (f *fetcher) applyFile(n *node, e *artifacts.Entry, here scan.Directory) error {
	if f.tree.linked(n, e) {
		return nil
	}
	name := n.join(e.Name)
	if _, ok := f.staged[name]; ok {
		if err := f.finishFile(f.staging(name), e); err != nil {
			return err
		}
		return f.top.Rename(f.staging(name), localName(name))
	}
	old := findIn(here, e.Name)
	if old.Mode == e.Mode && (old.ModTime == e.ModTime || e.ModTime == 0) {
		return nil
	}
	return f.finishFile(localName(name), e)
}

func (f *fetcher) finishFile(name string, e *artifacts.Entry) error {
	if err := f.top.Chmod(name, fileMode(e.Mode)); err != nil {
		return err
	}
	return setTime(f.top, name, e)
}

// applyLinks makes the hard links, now that all files are at their place.
func (f *fetcher) applyLinks() error {
	return f.tree.top.visit(func(n *node) error {
		for i := range n.entries {
			e := &n.entries[i]
			if !f.tree.linked(n, e) {
				continue
			}
			if err := f.applyLink(localName(e.Link), localName(n.join(e.Name))); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *fetcher) applyLink(first, name string) error {
	want, err := f.top.Lstat(first)
	if err != nil {
		return err
	}
	have, err := f.top.Lstat(name)
	if err == nil && os.SameFile(want, have) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	const beside = stagingName + ".link"
	if err := f.top.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.top.Link(first, beside); err != nil {
		return err
	}
	return f.top.Rename(beside, name)
}

// deleteOthers removes what the tree does not have.
func (f *fetcher) deleteOthers() error {
	for _, i := range f.local.Ignored {
		if i.Path == stagingName || f.tree.top.at(i.Path) != nil {
			continue
		}
		if err := f.top.RemoveAll(localName(i.Path)); err != nil {
			return err
		}
		f.receipt.Deleted = append(f.receipt.Deleted, i.Path)
	}
	return nil
}

// applyTimes gives directories their mode and time, from the bottom up.
func (f *fetcher) applyTimes(n *node) error {
	for i := range n.entries {
		if child := n.children[n.entries[i].Name]; child != nil {
			if err := f.applyTimes(child); err != nil {
				return err
			}
		}
	}
	if n.path == "" {
		return nil
	}
	return f.finishFile(localName(n.path), &n.entry)
}
