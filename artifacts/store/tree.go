package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"midge/artifacts"
	"midge/runtime"
)

// Tree is a stored tree as an artifact. It is a runtime.Local as well: its
// directory is made when it is asked for.
type Tree struct {
	store        *Store
	team         string
	root         artifacts.Digest
	files, bytes int64
}

var _ runtime.Local = (*Tree)(nil)

// Open gives the stored tree of that digest for a team. A tree that the team has
// not sent, or not all of, is a *runtime.NotFoundError.
//
// The tree stays for Options.Grace; from then on for as long as a row names it.
func (s *Store) Open(ctx context.Context, team, digest string) (runtime.Artifact, error) {
	tree, err := s.Tree(ctx, team, digest)
	if err != nil {
		return nil, err
	}
	return tree, nil
}

// Tree is Open, for those who want the whole of it.
func (s *Store) Tree(ctx context.Context, team, digest string) (*Tree, error) {
	root, err := artifacts.ParseDigest(digest)
	if err != nil {
		return nil, err
	}
	defer s.leases.hold(root)()
	found, err := s.complete(ctx, team, root)
	if err != nil {
		return nil, fmt.Errorf("open artifact %s: %w", digest, err)
	}
	if !found.whole {
		return nil, &runtime.NotFoundError{Kind: "artifact", Name: digest}
	}
	return &Tree{store: s, team: team, root: root, files: found.totals.files, bytes: found.totals.size}, nil
}

// Handle gives the digest.
func (t *Tree) Handle() string { return t.root.String() }

// Files gives how many files and symlinks the tree has.
func (t *Tree) Files() int64 { return t.files }

// Bytes gives the length of all files together, each hard link group once.
func (t *Tree) Bytes() int64 { return t.bytes }

// LocalPath gives the tree as a directory, made unless it is there. It stays as it
// is until release is called.
func (t *Tree) LocalPath(ctx context.Context) (dir string, release func(), err error) {
	return t.store.Materialise(ctx, t.root.String())
}

// StreamOut gives the tree at path as an uncompressed tar stream, in the order of
// the tree.
func (t *Tree) StreamOut(ctx context.Context, path string) (io.ReadCloser, error) {
	release := t.store.leases.hold(t.root)
	entry, at, err := t.Find(path)
	if err != nil {
		release()
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer release()
		w.CloseWithError(t.store.writeTar(ctx, w, entry, at))
	}()
	return &stream{PipeReader: r, stop: func() {
		cancel(errStreamClosed)
		<-done
	}}, nil
}

var errStreamClosed = errors.New("the stream was closed")

// stream ends its writer when it is closed.
type stream struct {
	*io.PipeReader
	stop func()
}

func (s *stream) Close() error {
	err := s.PipeReader.Close()
	s.stop()
	return err
}

// maxSymlinks is how many symlinks a path may go through.
const maxSymlinks = 40

// Find gives the entry at path, relative to the top and with slashes between, and
// the path where that is once symlinks on the way are followed. The last name is
// not followed. The top is a directory without a name, at "". A path that is not
// there, or would leave the tree, is a *runtime.NotFoundError.
func (t *Tree) Find(path string) (artifacts.Entry, string, error) {
	top := artifacts.Entry{
		Type:    artifacts.TypeDirectory,
		Mode:    0o755,
		Content: artifacts.Key{Kind: artifacts.KindTree, Digest: t.root},
		Size:    t.bytes,
		Files:   t.files,
	}
	walk := finder{store: t.store, asked: path, way: []artifacts.Entry{top}}
	if err := walk.follow(path); err != nil {
		return artifacts.Entry{}, "", err
	}
	names := make([]string, 0, len(walk.way))
	for _, e := range walk.way[1:] {
		names = append(names, e.Name)
	}
	return walk.way[len(walk.way)-1], strings.Join(names, "/"), nil
}

// finder follows a path through a tree; way is the entries from the top to where it is.
type finder struct {
	store    *Store
	asked    string
	way      []artifacts.Entry
	symlinks int
}

func (f *finder) notFound() error { return &runtime.NotFoundError{Kind: "path", Name: f.asked} }

func (f *finder) follow(path string) error {
	if strings.HasPrefix(path, "/") {
		return f.notFound()
	}
	names := strings.Split(path, "/")
	for i, name := range names {
		if name == "" || name == "." {
			continue
		}
		if err := f.resolve(); err != nil {
			return err
		}
		if name == ".." {
			if len(f.way) == 1 {
				return f.notFound()
			}
			f.way = f.way[:len(f.way)-1]
			continue
		}
		if err := f.enter(name); err != nil {
			return err
		}
		if i < len(names)-1 {
			if err := f.resolve(); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve follows the symlink that the way has come to, if it is one.
func (f *finder) resolve() error {
	last := f.way[len(f.way)-1]
	if last.Type != artifacts.TypeSymlink {
		return nil
	}
	if f.symlinks++; f.symlinks > maxSymlinks {
		return f.notFound()
	}
	f.way = f.way[:len(f.way)-1]
	if err := f.follow(last.Target); err != nil {
		return err
	}
	return f.resolve()
}

func (f *finder) enter(name string) error {
	last := f.way[len(f.way)-1]
	if last.Type != artifacts.TypeDirectory {
		return f.notFound()
	}
	entries, err := f.store.entries(last.Content.Digest)
	if err != nil {
		return err
	}
	i, ok := slices.BinarySearchFunc(entries, name, func(e artifacts.Entry, name string) int {
		return strings.Compare(e.Name, name)
	})
	if !ok {
		return f.notFound()
	}
	f.way = append(f.way, entries[i])
	return nil
}
