package machine

import (
	"io/fs"
	"path"
	"syscall"
)

// A Tree is a tree of files in memory, an archive.Tree: names are relative to
// its top and never lead out of it.
type Tree struct{ view }

// NewTree makes an empty tree.
func (s *Store) NewTree() *Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree(s.newNode(fs.ModeDir | 0o755))
}

func (s *Store) tree(root *node) *Tree {
	return &Tree{view{store: s, root: root, confined: true}}
}

// Copy makes a tree of what is in this one now. It costs no copy of contents.
func (t *Tree) Copy() *Tree {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	return t.store.tree(t.store.copyNode(t.root, map[*node]*node{}))
}

// CopyOf makes a tree of the directory of that name.
func (t *Tree) CopyOf(name string) (*Tree, error) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	at, err := t.existing(name, true)
	if err == nil && !at.node.mode.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("copy", name, err)
	}
	return t.store.tree(t.store.copyNode(at.node, map[*node]*node{})), nil
}

// device makes a device, as in /dev.
func (v *view) device(name string) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	return pathError("mknod", name, v.add(name, func() *node {
		made := v.store.newNode(fs.ModeDevice | fs.ModeCharDevice | 0o666)
		made.device = path.Base(name)
		return made
	}))
}

// Written is how many bytes the files of a tree have that were not copied into it from
// another, nor from it.
func (t *Tree) Written() uint64 {
	t.store.mu.RLock()
	defer t.store.mu.RUnlock()
	return t.root.written(map[*node]bool{})
}

// written counts files with several names once: those in seen.
func (n *node) written(seen map[*node]bool) (bytes uint64) {
	if seen[n] {
		return 0
	}
	seen[n] = true
	if !n.shared {
		bytes = uint64(len(n.data))
	}
	for _, child := range n.children {
		bytes += child.written(seen)
	}
	return bytes
}
