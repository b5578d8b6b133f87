// Package scan makes a tree out of a directory: it walks it with all cores,
// leaves out what the ignore rules name, and finds the digest of every file, from
// a stat cache where that may be trusted and by reading where not.
//
// A file that changes while it is read is read once more, and named in the error
// when it has changed again. Nothing outside the directory is read, whatever is
// moved about meanwhile: every name is opened below the open directory it was
// seen in, and no symlink is followed.
package scan

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"midge/artifacts"
	"midge/artifacts/ignore"
	"midge/trace"
)

// Ignored is a path that was left out, with all that is below it.
type Ignored struct {
	Path string
	Dir  bool
	Rule ignore.Rule
}

// Options says how to scan. The zero value takes everything but .git.
type Options struct {
	// Scope holds the ignore rules of the top directory; nil ignores nothing.
	Scope ignore.Scope
	// IncludeGit takes what is named .git as well.
	IncludeGit bool
	// Cache remembers digests from one scan to the next; nil reads every file.
	Cache *Cache
	// Object is given every object of each file that is read, from many goroutines
	// at once. The record is the scan's again when it returns.
	Object func(key artifacts.Key, record []byte) error
	// Progress is told of files and bytes as their digests become known, from many
	// goroutines at once; nil for nobody.
	Progress func(files, bytes int64)
}

// UnsupportedError tells of something that is no file, directory or symlink.
type UnsupportedError struct {
	Path string
	What string // socket, named pipe, device
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%q is a %s, which cannot be part of an artifact; remove it, or name it in .midgeignore", e.Path, e.What)
}

// ChangedError tells that a file changed or vanished while it was read, twice.
type ChangedError struct {
	Path string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%q changes while it is read; wait until nothing writes to it, and try again", e.Path)
}

// Scan makes a tree of the directory dir.
func Scan(ctx context.Context, dir string, options Options) (tree *Tree, err error) {
	ctx, span := trace.StartSpan(ctx, "walk")
	defer func() {
		if err == nil {
			span.Set(trace.Files(tree.Files), trace.Bytes(tree.Bytes), trace.Digest(tree.Root.String()))
		}
		span.End(err)
	}()
	top, err := openTop(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory %q: %w", dir, err)
	}
	w := &walk{
		ctx:     ctx,
		options: options,
		queue:   newQueue(runtime.GOMAXPROCS(0)),
		groups:  make(map[fileID][]groupMember),
	}
	if options.Cache != nil {
		w.cache = options.Cache.begin()
	}
	root := &directory{}
	w.queue.push(func() error { return w.directory(root, newSharedDir(top), options.Scope) })
	err = w.queue.run(ctx)
	w.endReading(err)
	if err != nil {
		return nil, err
	}
	w.link()
	tree = &Tree{top: root, lists: w.lists}
	tree.encode()
	slices.SortFunc(w.ignored, func(a, b Ignored) int { return artifacts.ComparePaths(a.Path, b.Path) })
	tree.Ignored = w.ignored
	tree.Read, tree.ReadBytes = w.read.files.Load(), w.read.bytes.Load()
	if options.Cache != nil {
		options.Cache.end(w.cache, tree)
	}
	return tree, nil
}
