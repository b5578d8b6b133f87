package store

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"midge/artifacts"
)

// MissingError tells that the store lacks an object that a tree in it names: the
// disk has lost it, or the tree was never complete.
type MissingError struct {
	Key artifacts.Key
}

func (e *MissingError) Error() string { return fmt.Sprintf("the artifact store lacks %v", e.Key) }

// frameCacheBytes bounds the decompressed frames that are kept for the objects
// read next: a walk in the order of the tree meets the same frame again and again.
const frameCacheBytes = 24 << 20

// frameCache keeps the frames used last. Frames of one large object are not kept.
type frameCache struct {
	mu      sync.Mutex
	max     int
	size    int
	order   *list.List // of *cachedFrame, the one used last in front
	entries map[frameKey]*list.Element
}

type frameKey struct{ pack, frame uint32 }

type cachedFrame struct {
	key  frameKey
	size int
	load func() ([]byte, error)
}

func (c *frameCache) init(max int) {
	c.max, c.order, c.entries = max, list.New(), make(map[frameKey]*list.Element)
}

// get gives a frame, which must not be written to. Those who want the same at once wait for one load.
func (c *frameCache) get(key frameKey, size int, load func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	if element := c.entries[key]; element != nil {
		c.order.MoveToFront(element)
		c.mu.Unlock()
		return element.Value.(*cachedFrame).load()
	}
	entry := &cachedFrame{key, size, sync.OnceValues(load)}
	c.entries[key] = c.order.PushFront(entry)
	c.size += size
	for c.size > c.max && c.order.Len() > 1 {
		c.remove(c.order.Back())
	}
	c.mu.Unlock()
	raw, err := entry.load()
	if err != nil {
		c.mu.Lock()
		if element := c.entries[key]; element != nil && element.Value == entry {
			c.remove(element)
		}
		c.mu.Unlock()
	}
	return raw, err
}

func (c *frameCache) remove(element *list.Element) {
	entry := c.order.Remove(element).(*cachedFrame)
	delete(c.entries, entry.key)
	c.size -= entry.size
}

// record gives the bytes of an object, which must not be written to.
func (s *Store) record(key artifacts.Key) ([]byte, error) {
	// The object may be on its way from one pack to another.
	for range 5 {
		s.mu.RLock()
		at, ok := s.index[key]
		p := s.packs[at.pack]
		s.mu.RUnlock()
		if !ok {
			return nil, &MissingError{key}
		}
		raw, err := s.frame(p, p.objects[at.object].frame)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %v: %w", key, err)
		}
		where := p.objects[at.object]
		return raw[where.offset : where.offset+where.size], nil
	}
	return nil, &MissingError{key}
}

// frame gives a decompressed frame.
func (s *Store) frame(p *pack, number uint32) ([]byte, error) {
	at := p.frames[number]
	load := func() ([]byte, error) {
		raw, err := p.rawFrame(number)
		s.noteUnreadable(p, err, func() error {
			_, err := p.rawFrame(number)
			return err
		})
		return raw, err
	}
	if at.raw > artifacts.FrameTarget {
		return load()
	}
	return s.frames.get(frameKey{p.id, number}, int(at.raw), load)
}

// entries gives what a directory holds, its parts put together.
func (s *Store) entries(tree artifacts.Digest) ([]artifacts.Entry, error) {
	directory, err := s.directory(tree)
	if err != nil {
		return nil, err
	}
	entries := directory.Entries
	for _, part := range directory.Parts {
		in, err := s.directory(part)
		if err != nil {
			return nil, err
		}
		entries = append(entries, in.Entries...)
	}
	return entries, nil
}

// directory gives one tree object.
func (s *Store) directory(tree artifacts.Digest) (artifacts.Directory, error) {
	record, err := s.record(artifacts.Key{Kind: artifacts.KindTree, Digest: tree})
	if err != nil {
		return artifacts.Directory{}, err
	}
	object, err := artifacts.ParseTreeRecord(record)
	if err != nil {
		return artifacts.Directory{}, err
	}
	directory, err := artifacts.DecodeTree(object)
	if err != nil {
		return artifacts.Directory{}, fmt.Errorf("tree %v: %w", tree, err)
	}
	return directory, nil
}

// chunks gives the keys of a file's contents, in order.
func (s *Store) chunks(e *artifacts.Entry) ([]artifacts.Key, error) {
	switch e.Content.Kind {
	case 0:
		return nil, nil
	case artifacts.KindContent:
		return []artifacts.Key{e.Content}, nil
	}
	record, err := s.record(e.Content)
	if err != nil {
		return nil, err
	}
	list, err := artifacts.DecodeList(record)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", e.Content, err)
	}
	keys := make([]artifacts.Key, len(list))
	for i, chunk := range list {
		keys[i] = artifacts.Key{Kind: artifacts.KindContent, Digest: chunk.Digest}
	}
	return keys, nil
}

// lookup gives the entry at path below a directory. Symlinks are not followed.
func (s *Store) lookup(top artifacts.Digest, path string) (e artifacts.Entry, ok bool, err error) {
	e = artifacts.Entry{Type: artifacts.TypeDirectory, Content: artifacts.Key{Kind: artifacts.KindTree, Digest: top}}
	for name := range strings.SplitSeq(path, "/") {
		if e.Type != artifacts.TypeDirectory {
			return artifacts.Entry{}, false, nil
		}
		entries, err := s.entries(e.Content.Digest)
		if err != nil {
			return artifacts.Entry{}, false, err
		}
		i, ok := slices.BinarySearchFunc(entries, name, func(e artifacts.Entry, name string) int {
			return strings.Compare(e.Name, name)
		})
		if !ok {
			return artifacts.Entry{}, false, nil
		}
		e = entries[i]
	}
	return e, true, nil
}

// link gives the path, below the directory top, of the file that the entry at name
// below it is a hard link of. base is the path of top in its tree. A link to what
// is not below top, comes later or is another file is none.
func (s *Store) link(top artifacts.Digest, base, name string, e *artifacts.Entry) (path string, ok bool, err error) {
	if e.Link == "" {
		return "", false, nil
	}
	path = e.Link
	if base != "" {
		if path, ok = strings.CutPrefix(path, base+"/"); !ok {
			return "", false, nil
		}
	}
	if artifacts.ComparePaths(path, name) >= 0 {
		return "", false, nil
	}
	first, ok, err := s.lookup(top, path)
	if err != nil || !ok {
		return "", false, err
	}
	return path, first.Link == "" && artifacts.SameFile(&first, e), nil
}
