package store

import (
	"context"
	"fmt"

	"midge/artifacts"
)

// check looks whether a team has sent all of a tree. What it finds whole is
// remembered, so that the next check looks at what is new alone.
type check struct {
	store *Store
	team  string
	// missing is told of each tree and list that is there and names what is not:
	// bit i of absent is for its entry, part or chunk i of count. With nil the check
	// ends at the first thing that is missing.
	missing func(key artifacts.Key, absent bits, count int) error
	// keeper keeps what is found, so that who is told of it can rely on it; nil does not.
	keeper *keeper
	// generation is the store's when the check began: what a collection removed since
	// makes findings worthless for others.
	generation uint64
	// seen holds trees and lists found incomplete.
	seen map[artifacts.Key]finding
}

// finding is what a check knows of an object and all below it.
type finding struct {
	present bool // the object itself is there
	whole   bool // and nothing below it is missing
	known   bool // the totals are known
	totals  totals
}

// totals are those of a directory's entries.
type totals struct{ size, files int64 }

// TreeError tells that a tree cannot be accepted, because what it says of what it
// names is not so.
type TreeError struct {
	Tree   artifacts.Digest
	Reason string
}

func (e *TreeError) Error() string { return fmt.Sprintf("tree %v: %s", e.Tree, e.Reason) }

func badTree(digest artifacts.Digest, format string, args ...any) error {
	return &TreeError{Tree: digest, Reason: fmt.Sprintf(format, args...)}
}

// maxDepth is more directories one in another than a path of MaxPath bytes has.
const maxDepth = artifacts.MaxPath/2 + 1

// complete looks at a tree for team, whether all of it is there.
func (s *Store) complete(ctx context.Context, team string, root artifacts.Digest) (finding, error) {
	return s.newCheck(team).tree(ctx, root, 0)
}

// newCheck begins a check of a tree. The tree is leased, so that what is found
// stays while it is looked at.
func (s *Store) newCheck(team string) *check {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return &check{store: s, team: team, generation: s.generation}
}

// tree looks at a directory and all below it.
func (c *check) tree(ctx context.Context, digest artifacts.Digest, depth int) (finding, error) {
	if depth > maxDepth {
		return finding{}, badTree(digest, "it has more directories one in another than a path can name")
	}
	return c.object(ctx, artifacts.Key{Kind: artifacts.KindTree, Digest: digest}, func(at place) (finding, error) {
		directory, err := c.store.directory(digest)
		if err != nil {
			return finding{}, err
		}
		if directory.Parts != nil {
			return c.parts(ctx, digest, directory.Parts, depth)
		}
		if err := artifacts.CheckParts([][]artifacts.Entry{directory.Entries}); err != nil {
			return finding{}, fmt.Errorf("tree %v: %w", digest, err)
		}
		return c.entries(ctx, digest, directory.Entries, c.isComplete(digest, at), depth)
	})
}

// object looks at what is held of a tree by look, unless that was done.
func (c *check) object(ctx context.Context, key artifacts.Key, look func(at place) (finding, error)) (finding, error) {
	if ctx.Err() != nil {
		return finding{}, context.Cause(ctx)
	}
	if found, ok := c.seen[key]; ok {
		return found, nil
	}
	at, _, ok := c.held(key)
	if !ok {
		return finding{}, nil
	}
	found, err := look(at)
	if err != nil {
		return finding{}, err
	}
	found.present = true
	if !found.whole {
		if c.seen == nil {
			c.seen = make(map[artifacts.Key]finding)
		}
		c.seen[key] = found
	} else if key.Kind == artifacts.KindTree {
		c.setComplete(key)
	}
	return found, nil
}

// held gives the place of an object that the team has sent, and its size.
func (c *check) held(key artifacts.Key) (place, int, bool) {
	s := c.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, ok := s.index[key]
	if !ok {
		return place{}, 0, false
	}
	t := s.teams[c.team]
	if t == nil || !s.heldAt(t, at) {
		return place{}, 0, false
	}
	if c.keeper != nil {
		c.keeper.keepPack(at.pack)
	}
	return at, int(s.packs[at.pack].objects[at.object].size), true
}

// parts looks at a directory that is kept in parts.
func (c *check) parts(ctx context.Context, digest artifacts.Digest, parts []artifacts.Digest, depth int) (finding, error) {
	all := finding{whole: true, known: true}
	var absent bits
	held := make([][]artifacts.Entry, 0, len(parts))
	for i, part := range parts {
		var entries []artifacts.Entry
		found, err := c.object(ctx, artifacts.Key{Kind: artifacts.KindTree, Digest: part}, func(at place) (finding, error) {
			directory, err := c.store.directory(part)
			if err != nil {
				return finding{}, err
			}
			if directory.Parts != nil {
				return finding{}, badTree(digest, "a part of it is in parts")
			}
			entries = directory.Entries
			return c.entries(ctx, part, entries, c.isComplete(part, at), depth)
		})
		if err != nil {
			return finding{}, err
		}
		if !found.present {
			absent.set(uint32(i))
		}
		all.whole = all.whole && found.whole
		all.known = all.known && found.known
		all.totals.size += found.totals.size
		all.totals.files += found.totals.files
		if !all.whole && c.missing == nil {
			return all, nil
		}
		held = append(held, entries)
	}
	if all.whole {
		if err := artifacts.CheckParts(held); err != nil {
			return finding{}, fmt.Errorf("tree %v: %w", digest, err)
		}
	}
	return all, c.report(artifacts.Key{Kind: artifacts.KindTree, Digest: digest}, absent, len(parts))
}

// entries looks at what a tree object with entries names. complete says that this
// was done before.
func (c *check) entries(ctx context.Context, digest artifacts.Digest, entries []artifacts.Entry, complete bool, depth int) (finding, error) {
	found := finding{whole: true, known: true}
	found.totals.size, found.totals.files = artifacts.Totals(entries)
	if complete {
		return found, nil
	}
	var absent bits
	for i := range entries {
		of, err := c.entry(ctx, digest, &entries[i], depth)
		if err != nil {
			return finding{}, err
		}
		found.whole = found.whole && of.whole
		if !found.whole && c.missing == nil {
			return found, nil
		}
		if !of.present {
			absent.set(uint32(i))
		}
	}
	return found, c.report(artifacts.Key{Kind: artifacts.KindTree, Digest: digest}, absent, len(entries))
}

func (c *check) entry(ctx context.Context, digest artifacts.Digest, e *artifacts.Entry, depth int) (finding, error) {
	switch e.Content.Kind {
	case 0:
		return finding{present: true, whole: true}, nil
	case artifacts.KindContent:
		return c.content(digest, e.Content.Digest, e.Size)
	case artifacts.KindList:
		return c.list(ctx, digest, e)
	}
	found, err := c.tree(ctx, e.Content.Digest, depth+1)
	if err != nil {
		return finding{}, err
	}
	if found.known && found.totals != (totals{e.Size, e.Files}) {
		return finding{}, badTree(digest, "it says that %q has %d files of %d bytes, which are %d of %d",
			e.Name, e.Files, e.Size, found.totals.files, found.totals.size)
	}
	return found, nil
}

func (c *check) content(of, digest artifacts.Digest, size int64) (finding, error) {
	key := artifacts.Key{Kind: artifacts.KindContent, Digest: digest}
	_, have, ok := c.held(key)
	if !ok {
		return finding{}, nil
	}
	if int64(have) != size {
		return finding{}, badTree(of, "it says that %v has %d bytes, which are %d", key, size, have)
	}
	return finding{present: true, whole: true}, nil
}

func (c *check) list(ctx context.Context, digest artifacts.Digest, e *artifacts.Entry) (finding, error) {
	return c.object(ctx, e.Content, func(place) (finding, error) {
		record, err := c.store.record(e.Content)
		if err != nil {
			return finding{}, err
		}
		chunks, err := artifacts.DecodeList(record)
		if err != nil {
			return finding{}, fmt.Errorf("%v: %w", e.Content, err)
		}
		if size := artifacts.ListSize(chunks); size != e.Size {
			return finding{}, badTree(digest, "it says that %q has %d bytes, which are %d", e.Name, e.Size, size)
		}
		found := finding{whole: true}
		var absent bits
		for i, chunk := range chunks {
			of, err := c.content(digest, chunk.Digest, int64(chunk.Size))
			if err != nil {
				return finding{}, err
			}
			if !of.present {
				found.whole = false
				absent.set(uint32(i))
			}
		}
		return found, c.report(e.Content, absent, len(chunks))
	})
}

func (c *check) report(key artifacts.Key, absent bits, count int) error {
	if len(absent) == 0 || c.missing == nil {
		return nil
	}
	return c.missing(key, absent, count)
}

// isComplete reports whether a tree was found complete before, and keeps all below
// it in that case.
func (c *check) isComplete(tree artifacts.Digest, at place) bool {
	c.store.mu.RLock()
	defer c.store.mu.RUnlock()
	t := c.store.teams[c.team]
	if t == nil || !t.complete.has(at) {
		return false
	}
	if c.keeper != nil {
		c.keeper.keepTree(tree)
	}
	return true
}

func (c *check) setComplete(key artifacts.Key) {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if at, ok := c.store.index[key]; ok && c.store.generation == c.generation {
		c.store.team(c.team).complete.set(at)
	}
}
