package store

import (
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"midge/artifacts"
)

func splitPath(path string) iter.Seq[string] { return strings.SplitSeq(path, "/") }

// baseDir is a directory of a tree that was made before, whose files are linked
// into the new one where they are the same: both are read only.
type baseDir struct {
	fd      int
	entries map[string]*artifacts.Entry
}

// candidates is how many of the trees made last are compared with a new one.
const candidates = 4

// similar gives the top of the made tree that has most in common with root, held
// until release is called, or nil.
func (s *Store) similar(root artifacts.Digest) (*baseDir, func()) {
	entries, err := s.entries(root)
	if err != nil {
		return nil, func() {}
	}
	var best *madeTree
	var bestFiles int64
	for _, made := range s.trees.latest(candidates) {
		files := s.common(entries, made.root, similarDepth)
		if files > bestFiles {
			if best != nil {
				s.trees.release(best)
			}
			best, bestFiles = made, files
			continue
		}
		s.trees.release(made)
	}
	if best == nil {
		return nil, func() {}
	}
	base, closeBase, err := s.openBase(unix.AT_FDCWD, best.path, best.root)
	if err != nil {
		s.trees.release(best)
		return nil, func() {}
	}
	return base, func() {
		closeBase()
		s.trees.release(best)
	}
}

// latest gives the n directories that were used last, all if n is negative, each
// held for the caller.
func (d *directories) latest(n int) []*madeTree {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ready []*madeTree
	for _, made := range d.made {
		select {
		case <-made.ready:
			if made.err == nil {
				ready = append(ready, made)
			}
		default:
		}
	}
	slices.SortFunc(ready, func(a, b *madeTree) int { return b.used.Compare(a.used) })
	if n >= 0 {
		ready = ready[:min(n, len(ready))]
	}
	for _, made := range ready {
		made.users++
		made.used = time.Now()
	}
	return ready
}

// similarDepth is how deep trees are compared to find the most similar.
const similarDepth = 3

// common counts the files that a directory with these entries has in common with
// another, down to a depth.
func (s *Store) common(entries []artifacts.Entry, with artifacts.Digest, depth int) int64 {
	other, err := s.entries(with)
	if err != nil {
		return 0
	}
	names := make(map[string]*artifacts.Entry, len(other))
	for i := range other {
		names[other[i].Name] = &other[i]
	}
	var files int64
	for i := range entries {
		e, o := &entries[i], names[entries[i].Name]
		switch {
		case o == nil || o.Type != e.Type:
		case e.Type == artifacts.TypeFile && artifacts.SameFile(e, o):
			files++
		case e.Type == artifacts.TypeDirectory && e.Content == o.Content:
			files += e.Files
		case e.Type == artifacts.TypeDirectory && depth > 0:
			if inside, err := s.entries(e.Content.Digest); err == nil {
				files += s.common(inside, o.Content.Digest, depth-1)
			}
		}
	}
	return files
}

func (s *Store) openBase(at int, name string, tree artifacts.Digest) (*baseDir, func(), error) {
	entries, err := s.entries(tree)
	if err != nil {
		return nil, nil, err
	}
	fd, err := openDirectory(at, name)
	if err != nil {
		return nil, nil, err
	}
	base := &baseDir{fd: fd, entries: make(map[string]*artifacts.Entry, len(entries))}
	for i := range entries {
		base.entries[entries[i].Name] = &entries[i]
	}
	return base, func() { unix.Close(fd) }, nil
}

// enter gives the directory of the same name in b, nil when there is none.
func (b *baseDir) enter(s *Store, e *artifacts.Entry) (*baseDir, func()) {
	if b == nil {
		return nil, func() {}
	}
	other := b.entries[e.Name]
	if other == nil || other.Type != artifacts.TypeDirectory {
		return nil, func() {}
	}
	below, closeBelow, err := s.openBase(b.fd, e.Name, other.Content.Digest)
	if err != nil {
		// Its objects may have been removed since; then all is written anew.
		return nil, func() {}
	}
	return below, closeBelow
}

// link makes e in the directory parent a name of the same file in b, if there is
// one, and reports whether it has. Files that have several names in either tree
// are left alone: two names of one file there could be two files here.
func (b *baseDir) link(parent int, e *artifacts.Entry) bool {
	if b == nil {
		return false
	}
	other := b.entries[e.Name]
	if other == nil || other.Link != "" || e.Link != "" || other.ModTime != e.ModTime || !artifacts.SameFile(other, e) {
		return false
	}
	// Whatever keeps the link from being made, the file can still be written.
	return unix.Linkat(b.fd, e.Name, parent, e.Name, 0) == nil
}
