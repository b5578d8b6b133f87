package scan

import (
	"io/fs"
	"iter"

	"midge/artifacts"
)

// Tree is what a directory was found to hold. It does not change.
type Tree struct {
	// Root is the digest of the whole.
	Root artifacts.Digest
	// Files counts what is no directory, Bytes what the files have together, each
	// hard link group once.
	Files, Bytes int64
	// Read and ReadBytes say what had to be read because no cache knew it.
	Read, ReadBytes int64
	// Ignored is what was left out, in the order of the tree.
	Ignored []Ignored

	top   *directory
	lists map[artifacts.Digest][]artifacts.Chunk
}

// directory is a directory of a Tree.
type directory struct {
	path     string // from the top, with slashes; "" for the top
	entries  []artifacts.Entry
	infos    []info
	children []*directory // of the entries that are directories, in order
	objects  []artifacts.TreeObject
}

func (d *directory) join(name string) string {
	if d.path == "" {
		return name
	}
	return d.path + "/" + name
}

func (d *directory) display() string {
	if d.path == "" {
		return "."
	}
	return d.path
}

// encode makes the objects of all directories, from the bottom up.
func (t *Tree) encode() {
	t.Bytes, t.Files = t.top.encode()
	t.Root = t.top.objects[0].Digest
}

func (d *directory) encode() (size, files int64) {
	next := 0
	for i := range d.entries {
		e := &d.entries[i]
		if e.Type != artifacts.TypeDirectory {
			continue
		}
		child := d.children[next]
		next++
		e.Size, e.Files = child.encode()
		e.Content = artifacts.Key{Kind: artifacts.KindTree, Digest: child.objects[0].Digest}
	}
	d.objects = artifacts.EncodeTree(d.entries)
	return artifacts.Totals(d.entries)
}

// Directory is a directory of a Tree, for reading.
type Directory struct{ d *directory }

// Path is from the top, with slashes; "" for the top.
func (d Directory) Path() string { return d.d.path }

// Entries are sorted by name. They are the Tree's.
func (d Directory) Entries() []artifacts.Entry { return d.d.entries }

// Objects gives the tree object that stands for the directory and, behind it, its
// parts. They are the Tree's.
func (d Directory) Objects() []artifacts.TreeObject { return d.d.objects }

// Key names the tree object that stands for the directory.
func (d Directory) Key() artifacts.Key {
	return artifacts.Key{Kind: artifacts.KindTree, Digest: d.d.objects[0].Digest}
}

// Children gives the directories in this one, in order of name.
func (d Directory) Children() iter.Seq[Directory] {
	return func(yield func(Directory) bool) {
		for _, child := range d.d.children {
			if !yield(Directory{child}) {
				return
			}
		}
	}
}

// Unchanged reports whether what fi says of the file at index of Entries is what
// the scan saw, as far as that can be told.
func (d Directory) Unchanged(index int, fi fs.FileInfo) bool {
	e := &d.d.entries[index]
	return fi.Mode().IsRegular() && fi.Size() == e.Size && fi.ModTime().UnixNano() == e.ModTime
}

// Top gives the top directory.
func (t *Tree) Top() Directory { return Directory{t.top} }

// Directories gives all directories, each before those in it.
func (t *Tree) Directories() iter.Seq[Directory] {
	return func(yield func(Directory) bool) { t.top.visit(yield) }
}

func (d *directory) visit(yield func(Directory) bool) bool {
	if !yield(Directory{d}) {
		return false
	}
	for _, child := range d.children {
		if !child.visit(yield) {
			return false
		}
	}
	return true
}

// Chunks gives the chunks of a large file, if it was read in this scan.
func (t *Tree) Chunks(list artifacts.Digest) ([]artifacts.Chunk, bool) {
	chunks, ok := t.lists[list]
	return chunks, ok
}
