package machine

import (
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Store holds file trees in memory. Its methods, and those of the trees and
// file systems made of it, may be used from many goroutines at once.
type Store struct {
	mu     sync.RWMutex // guards every node
	lastID uint64
}

// node is a file, a directory, a link or a device.
type node struct {
	id       uint64
	mode     fs.FileMode
	modified time.Time
	links    uint64 // how many names it has

	data   []byte // of a file
	shared bool   // data belongs to other nodes as well: copy before writing

	target   string           // of a link
	children map[string]*node // of a directory
	device   string           // of a device, its name in /dev
}

func (s *Store) newNode(mode fs.FileMode) *node {
	s.lastID++
	n := &node{id: s.lastID, mode: mode, modified: time.Now(), links: 1}
	if mode.IsDir() {
		n.children = map[string]*node{}
	}
	return n
}

// copyNode copies a node and all below it; hard links stay such among the copies.
// Contents are shared until one of both is written to.
func (s *Store) copyNode(n *node, copies map[*node]*node) *node {
	if done, ok := copies[n]; ok {
		done.links++
		return done
	}
	n.shared = true
	made := s.newNode(n.mode)
	made.modified, made.data, made.shared = n.modified, n.data, true
	made.target, made.device = n.target, n.device
	copies[n] = made
	for name, child := range n.children {
		made.children[name] = s.copyNode(child, copies)
	}
	return made
}

func (n *node) names() []string { return slices.Sorted(maps.Keys(n.children)) }

func (n *node) touch() { n.modified = time.Now() }

func (n *node) resize(size int64) {
	if size <= int64(len(n.data)) {
		n.own()
		n.data = n.data[:size]
		return
	}
	n.own()
	n.data = append(n.data, make([]byte, size-int64(len(n.data)))...)
}

func (n *node) own() {
	if n.shared {
		n.data = slices.Clone(n.data)
		n.shared = false
	}
}

func (n *node) writeAt(p []byte, offset int64) {
	if end := offset + int64(len(p)); end > int64(len(n.data)) {
		n.resize(end)
	} else {
		n.own()
	}
	copy(n.data[offset:], p)
	n.touch()
}

// view resolves names in a tree: from the inside of a volume, which links do
// not leave, or of a container, whose links begin at its root.
type view struct {
	store    *Store
	root     *node
	mounts   map[*node]*node // what covers a directory
	confined bool
}

// place is where a name leads: what is there, or nil, and the directory that
// holds it, nil for the root.
type place struct {
	parent *node
	name   string
	node   *node
}

const maxLinks = 40

// lookup resolves a name whose components but the last must exist. The store is locked.
func (v *view) lookup(name string, follow bool) (place, error) {
	above := []*node{v.covered(v.root)}
	rest := components(name)
	if v.confined && len(name) > 0 && name[0] == '/' {
		return place{}, errLeaves
	}
	for links := 0; len(rest) > 0; {
		component := rest[0]
		rest = rest[1:]
		dir := above[len(above)-1]
		if !dir.mode.IsDir() {
			return place{}, syscall.ENOTDIR
		}
		if component == ".." {
			if len(above) > 1 {
				above = above[:len(above)-1]
			} else if v.confined {
				return place{}, errLeaves
			}
			continue
		}
		child, ok := dir.children[component]
		if !ok {
			if len(rest) == 0 {
				return place{dir, component, nil}, nil
			}
			return place{}, syscall.ENOENT
		}
		child = v.covered(child)
		if child.mode.Type() == fs.ModeSymlink && (follow || len(rest) > 0) {
			if links++; links > maxLinks {
				return place{}, syscall.ELOOP
			}
			if child.target[0] == '/' {
				if v.confined {
					return place{}, errLeaves
				}
				above = above[:1]
			}
			rest = append(components(child.target), rest...)
			continue
		}
		if len(rest) == 0 {
			return place{dir, component, child}, nil
		}
		above = append(above, child)
	}
	return place{nil, ".", above[len(above)-1]}, nil
}

// errLeaves tells that a name leads out of a tree.
const errLeaves = leavesError("it leads out of the tree")

type leavesError string

func (e leavesError) Error() string { return string(e) }

func (v *view) covered(n *node) *node {
	for {
		above, ok := v.mounts[n]
		if !ok {
			return n
		}
		n = above
	}
}

// components splits a name; a name that ends in a slash ends in a directory.
func components(name string) []string {
	var parts []string
	for start := 0; start < len(name); {
		end := start
		for end < len(name) && name[end] != '/' {
			end++
		}
		if part := name[start:end]; part != "" && part != "." {
			parts = append(parts, part)
		}
		start = end + 1
	}
	return parts
}

// existing resolves a name that must exist.
func (v *view) existing(name string, follow bool) (place, error) {
	found, err := v.lookup(name, follow)
	if err == nil && found.node == nil {
		err = syscall.ENOENT
	}
	return found, err
}

// add puts a node where nothing is yet.
func (v *view) add(name string, make func() *node) error {
	at, err := v.lookup(name, false)
	if err != nil {
		return err
	}
	if at.node != nil {
		return syscall.EEXIST
	}
	at.parent.children[at.name] = make()
	at.parent.touch()
	return nil
}

// remove removes a name: of a directory only when it is empty or all of it goes.
func (v *view) remove(name string, all bool) error {
	at, err := v.existing(name, false)
	if err != nil {
		return err
	}
	if at.parent == nil || at.parent.children[at.name] != at.node {
		return syscall.EBUSY
	}
	if at.node.mode.IsDir() && len(at.node.children) > 0 {
		if !all {
			return syscall.ENOTEMPTY
		}
		if v.mountedBelow(at.node) {
			return syscall.EBUSY
		}
	}
	delete(at.parent.children, at.name)
	at.node.links--
	at.parent.touch()
	return nil
}

func (v *view) mountedBelow(n *node) bool {
	for _, child := range n.children {
		if _, ok := v.mounts[child]; ok || v.mountedBelow(child) {
			return true
		}
	}
	return false
}
