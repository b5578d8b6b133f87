package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"midge/artifacts"
	"midge/artifacts/ignore"
	"midge/artifacts/scan"
)

// maxPath bounds the paths of a tree, in bytes: a server must not make us remember any
// number of directories one in another. It is more than a system call takes at a time,
// as the trees of users may be that deep.
const maxPath = 8 * artifacts.MaxPath

// Bounds of what a tree makes us remember, besides the number of its names, whatever a
// server says.
const (
	maxTreeBytes   = 128 << 20 // of tree and list objects: about two million files
	maxDirectories = 1 << 19
)

// fetchedTree is the tree that is to be in the directory.
type fetchedTree struct {
	top    *node
	lists  map[artifacts.Digest][]artifacts.Chunk
	memory *treeMemory

	entries, directories int // that are known
}

// node is a directory of it.
type node struct {
	path     string // from the top, with slashes; "" for the top
	entry    artifacts.Entry
	entries  []artifacts.Entry
	children map[string]*node
}

func (n *node) join(name string) string { return path.Join(n.path, name) }

func (n *node) find(name string) *artifacts.Entry {
	i, ok := slices.BinarySearchFunc(n.entries, name, func(e artifacts.Entry, name string) int {
		return strings.Compare(e.Name, name)
	})
	if !ok {
		return nil
	}
	return &n.entries[i]
}

// at gives the entry at a path, nil if there is none.
func (n *node) at(p string) *artifacts.Entry {
	for {
		name, rest, more := strings.Cut(p, "/")
		if !more {
			return n.find(name)
		}
		if n = n.children[name]; n == nil {
			return nil
		}
		p = rest
	}
}

// linked reports whether the entry, in directory n, is a hard link that can be made.
func (t *fetchedTree) linked(n *node, e *artifacts.Entry) bool {
	if e.Link == "" || artifacts.ComparePaths(e.Link, n.join(e.Name)) >= 0 {
		return false
	}
	first := t.top.at(e.Link)
	return first != nil && first.Link == "" && artifacts.SameFile(first, e)
}

// visit calls do for each directory, before those in it.
func (n *node) visit(do func(*node) error) error {
	if err := do(n); err != nil {
		return err
	}
	for i := range n.entries {
		if child := n.children[n.entries[i].Name]; child != nil {
			if err := child.visit(do); err != nil {
				return err
			}
		}
	}
	return nil
}

// pathScope takes the paths that a tree has, and leaves out all others.
type pathScope struct{ node *node }

var notInTree = &ignore.Rule{Source: "artifact", Pattern: "not in it"}

func (s *pathScope) Ignored(name string, isDir bool) (*ignore.Rule, error) {
	e := s.node.find(name)
	if e == nil || isDir != (e.Type == artifacts.TypeDirectory) {
		return notInTree, nil
	}
	return nil, nil
}

func (s *pathScope) Enter(_ context.Context, name string, _ ignore.ReadFile) (ignore.Scope, error) {
	return &pathScope{s.node.children[name]}, nil
}

// treeMemory holds the tree and list objects that were fetched, now or the last time.
type treeMemory struct {
	path    string // "" when nothing is remembered
	old     map[artifacts.Key][]byte
	current map[artifacts.Key][]byte
	changed bool
	added   int // bytes of the records that were added
}

// openTreeMemory loads the objects of the tree that was fetched last into dir.
// What does not have the digest it should is as good as none.
func openTreeMemory(cacheDir, dir string) (*treeMemory, error) {
	m := &treeMemory{old: make(map[artifacts.Key][]byte), current: make(map[artifacts.Key][]byte)}
	if cacheDir == "" {
		return m, nil
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the absolute path of %q: %w", dir, err)
	}
	m.path = filepath.Join(cacheDir, "fetched", artifacts.Sum([]byte(absolute)).String()[:32])
	file, err := os.Open(m.path)
	if err != nil {
		return m, nil
	}
	defer file.Close()
	// A damaged end costs what is behind it.
	_ = eachObject(file, func(key artifacts.Key, record []byte) error {
		m.old[key] = slices.Clone(record)
		return nil
	})
	return m, nil
}

// get gives an object's record and remembers that it is part of the tree.
func (m *treeMemory) get(key artifacts.Key) ([]byte, bool) {
	if record, ok := m.current[key]; ok {
		return record, true
	}
	record, ok := m.old[key]
	if ok {
		m.current[key] = record
	}
	return record, ok
}

func (m *treeMemory) add(key artifacts.Key, record []byte) error {
	if m.added += len(record); m.added > maxTreeBytes {
		return fmt.Errorf("the tree is too large to be fetched: the names in it take more than %d MiB", maxTreeBytes>>20)
	}
	m.current[key] = slices.Clone(record)
	m.changed = true
	return nil
}

// save remembers the objects of the tree, as a pack.
func (m *treeMemory) save() error {
	if m.path == "" || !m.changed && len(m.current) == len(m.old) {
		return nil
	}
	pack := artifacts.AppendPackStart(nil)
	var frame artifacts.FrameBuilder
	for key, record := range maps.All(m.current) {
		if !frame.Fits(len(record)) {
			pack = frame.AppendFrame(pack)
			frame.Reset()
		}
		frame.Add(key, record)
	}
	pack = artifacts.AppendPackEnd(frame.AppendFrame(pack))
	// That it cannot be saved costs the next Fetch some questions, and no more.
	_ = scan.ReplaceFile(m.path, pack)
	return nil
}

// eachObject reads a pack, verifies its objects and gives them one by one.
func eachObject(r io.Reader, do func(key artifacts.Key, record []byte) error) error {
	reader := artifacts.NewPackReader(r)
	var raw []byte
	for {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if raw, err = frame.Decompress(raw); err != nil {
			return err
		}
		if err := frame.Verify(raw); err != nil {
			return err
		}
		rest := raw
		for _, object := range frame.Objects {
			if err := do(object.Key, rest[:object.Size]); err != nil {
				return err
			}
			rest = rest[object.Size:]
		}
	}
}

// fetchTree gets the trees and lists that are not remembered, level by level.
func (f *fetcher) fetchTree(ctx context.Context, root artifacts.Digest) (*fetchedTree, error) {
	memory, err := openTreeMemory(f.options.CacheDir, f.dir)
	if err != nil {
		return nil, err
	}
	t := &fetchedTree{
		top:    &node{entry: artifacts.Entry{Type: artifacts.TypeDirectory, Content: artifacts.Key{Kind: artifacts.KindTree, Digest: root}}},
		lists:  make(map[artifacts.Digest][]artifacts.Chunk),
		memory: memory,
	}
	level := []*node{t.top}
	for len(level) > 0 {
		var next []*node
		if err := f.fetchLevel(ctx, t, level); err != nil {
			return nil, err
		}
		for _, n := range level {
			children, err := t.expand(n)
			if err != nil {
				return nil, err
			}
			next = append(next, children...)
		}
		if err := f.fetchLists(ctx, t, level); err != nil {
			return nil, err
		}
		level = next
	}
	return t, nil
}

// fetchLevel gets the tree objects of some directories. When nothing is remembered
// all that is below them comes along.
func (f *fetcher) fetchLevel(ctx context.Context, t *fetchedTree, level []*node) error {
	var missing []artifacts.Key
	for _, n := range level {
		if _, ok := t.memory.get(n.entry.Content); !ok {
			missing = append(missing, n.entry.Content)
		}
	}
	if err := f.fetchObjects(ctx, t, missing, len(t.memory.old) == 0 && (f.objects == nil || f.objects.empty)); err != nil {
		return err
	}
	var parts []artifacts.Key
	for _, n := range level {
		directory, err := t.directory(n.entry.Content)
		if err != nil {
			return err
		}
		for _, part := range directory.Parts {
			if key := (artifacts.Key{Kind: artifacts.KindTree, Digest: part}); !t.memory.has(key) {
				parts = append(parts, key)
			}
		}
	}
	return f.fetchObjects(ctx, t, parts, false)
}

func (m *treeMemory) has(key artifacts.Key) bool {
	_, ok := m.get(key)
	return ok
}

// fetchLists gets the lists of the large files in some directories.
func (f *fetcher) fetchLists(ctx context.Context, t *fetchedTree, level []*node) error {
	var missing, all []artifacts.Key
	for _, n := range level {
		for i := range n.entries {
			if key := n.entries[i].Content; key.Kind == artifacts.KindList {
				all = append(all, key)
				if !t.memory.has(key) {
					missing = append(missing, key)
				}
			}
		}
	}
	if err := f.fetchObjects(ctx, t, missing, false); err != nil {
		return err
	}
	for _, key := range all {
		record, ok := t.memory.get(key)
		if !ok {
			return notSent(key)
		}
		chunks, err := artifacts.DecodeList(record)
		if err != nil {
			return err
		}
		t.lists[key.Digest] = chunks
	}
	return nil
}

func notSent(key artifacts.Key) error { return fmt.Errorf("the server did not send %v", key) }

func (t *fetchedTree) directory(key artifacts.Key) (artifacts.Directory, error) {
	record, ok := t.memory.get(key)
	if !ok {
		return artifacts.Directory{}, notSent(key)
	}
	object, err := artifacts.ParseTreeRecord(record)
	if err != nil {
		return artifacts.Directory{}, err
	}
	return artifacts.DecodeTree(object)
}

// expand finds the entries of a directory and gives the directories in it.
func (t *fetchedTree) expand(n *node) ([]*node, error) {
	directory, err := t.directory(n.entry.Content)
	if err != nil {
		return nil, err
	}
	parts := [][]artifacts.Entry{directory.Entries}
	if directory.Parts != nil {
		parts = parts[:0]
		for _, digest := range directory.Parts {
			part, err := t.directory(artifacts.Key{Kind: artifacts.KindTree, Digest: digest})
			if err != nil {
				return nil, err
			}
			parts = append(parts, part.Entries)
		}
	}
	if err := artifacts.CheckParts(parts); err != nil {
		return nil, err
	}
	n.entries = slices.Concat(parts...)
	if t.entries += len(n.entries); t.entries > artifacts.MaxNames {
		return nil, fmt.Errorf("the tree is too large to be fetched: it has more than %d names", artifacts.MaxNames)
	}
	var children []*node
	for _, e := range n.entries {
		if e.Type != artifacts.TypeDirectory {
			continue
		}
		if t.directories++; t.directories > maxDirectories {
			return nil, fmt.Errorf("the tree is too large to be fetched: it has more than %d directories", maxDirectories)
		}
		child := &node{path: n.join(e.Name), entry: e}
		if len(child.path) > maxPath {
			return nil, fmt.Errorf("the path %.100q... has more than %d bytes", child.path, maxPath)
		}
		if n.children == nil {
			n.children = make(map[string]*node)
		}
		n.children[e.Name] = child
		children = append(children, child)
	}
	return children, nil
}

// keyBatch is how many objects one request asks for.
const keyBatch = 100_000

// fetchObjects gets trees and lists.
func (f *fetcher) fetchObjects(ctx context.Context, t *fetchedTree, keys []artifacts.Key, below bool) error {
	var query url.Values
	if below {
		query = url.Values{"below": {"1"}}
	}
	for batch := range slices.Chunk(keys, keyBatch) {
		err := f.get(ctx, batch, query, func(key artifacts.Key, record []byte) error {
			if key.Kind == artifacts.KindContent {
				return nil
			}
			return t.memory.add(key, record)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
