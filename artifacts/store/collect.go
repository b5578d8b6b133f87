package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"midge/artifacts"
	"midge/trace"
)

// Collected says what a collection has done.
type Collected struct {
	// Removed counts pack files that are gone, Written those that hold what was
	// still needed of them.
	Removed, Written int
	// Freed is how many bytes of disk less the packs take.
	Freed int64
	// Live counts the objects that are needed, Lost those that are named and are not there.
	Live, Lost int
}

// A pack is rewritten when less than half of its bytes are needed, and when it is
// small and others are as well: each Send makes some.
const (
	smallPack   = 8 << 20
	smallAtOnce = 8
)

// Collect removes what no tree needs that roots names. roots gives digests; it is
// called once. Whatever is read, sent, stored or made into a directory while the
// collection runs, or was so within Options.Grace, stays as well.
//
// When a named tree is damaged, so that what it needs cannot be known, nothing is
// removed and the error says so. Objects that are only lost do not keep a
// collection from its work; they are in the error, too.
//
// A process that is killed in a collection leaves nothing that Open does not put right.
func (s *Store) Collect(ctx context.Context, roots func(ctx context.Context) ([]string, error)) (collected Collected, err error) {
	ctx, span := trace.StartSpan(ctx, "collect artifacts")
	defer func() { span.End(err) }()
	s.collecting.Lock()
	defer s.collecting.Unlock()
	s.uploads.expire()
	s.leases.begin()
	defer s.leases.end()
	c := &collection{store: s, marker: marker{store: s, live: make(packBits)}}
	c.begin()
	named, err := roots(ctx)
	if err != nil {
		return Collected{}, fmt.Errorf("find which artifacts are needed: %w", err)
	}
	for _, digest := range named {
		root, err := artifacts.ParseDigest(digest)
		if err != nil {
			return Collected{}, err
		}
		if err := c.marker.mark(ctx, root); err != nil {
			return Collected{}, err
		}
	}
	err = c.sweep(ctx)
	if err == nil {
		err = errors.Join(s.compactGrants(), s.evictGone(ctx))
	}
	c.count()
	return c.collected, errors.Join(err, errors.Join(c.marker.lost...))
}

// collection is one run of Collect.
type collection struct {
	store     *Store
	marker    marker
	old       []*pack // that may be removed
	collected Collected
}

// begin finds the packs that are old enough to be removed. What open uploads and
// ingestions keep is marked like what is leased.
func (c *collection) begin() {
	s := c.store
	limit := time.Now().Add(-s.options.Grace)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.packs {
		if p.created.Before(limit) {
			c.old = append(c.old, p)
		}
	}
	for k := range s.keepers {
		k.gather()
	}
}

// gather has the trees that are kept marked by the collection that runs.
func (k *keeper) gather() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for root := range k.trees {
		k.store.leases.gather(root)
	}
}

// lock takes the store for itself at a moment when everything that is leased is
// marked.
func (c *collection) lock(ctx context.Context) error {
	for {
		for _, root := range c.store.leases.take() {
			// A tree that is being sent is leased before it is there.
			lost := len(c.marker.lost)
			if err := c.marker.mark(ctx, root); err != nil {
				return err
			}
			c.marker.lost = c.marker.lost[:lost]
		}
		c.store.mu.Lock()
		if c.store.leases.untouched() {
			return nil
		}
		c.store.mu.Unlock()
	}
}

// pinned gives the packs that uploads and ingestions rely on. s.mu is held.
func (c *collection) pinned() map[uint32]bool {
	pinned := make(map[uint32]bool)
	for k := range c.store.keepers {
		k.mu.Lock()
		for id := range k.packs {
			pinned[id] = true
		}
		k.mu.Unlock()
	}
	return pinned
}

// liveness gives how many objects of a pack are needed, their bytes, and those of all.
func (c *collection) liveness(p *pack) (objects int, live, total int64) {
	marked := c.marker.live[p.id]
	for i := range p.objects {
		total += int64(p.objects[i].size)
		if marked != nil && marked.has(uint32(i)) {
			objects++
			live += int64(p.objects[i].size)
		}
	}
	return objects, live, total
}

// sweep removes packs of which nothing is needed, and rewrites those of which little is.
func (c *collection) sweep(ctx context.Context) error {
	// What is leased counts as needed from the start, so that little is rewritten in vain.
	if err := c.lock(ctx); err != nil {
		return err
	}
	pinned := c.pinned()
	c.store.mu.Unlock()
	sparse := make(map[string][]*pack)
	small := make(map[string][]*pack)
	for _, p := range c.old {
		objects, live, total := c.liveness(p)
		switch {
		case pinned[p.id]:
		case objects == 0:
			if err := c.replace(ctx, []*pack{p}, nil); err != nil {
				return err
			}
		case 2*live < total:
			sparse[p.team] = append(sparse[p.team], p)
		case p.size < smallPack:
			small[p.team] = append(small[p.team], p)
		}
	}
	for team, packs := range small {
		if len(packs) >= smallAtOnce {
			sparse[team] = append(sparse[team], packs...)
		}
	}
	for _, packs := range sparse {
		if err := c.rewriteAll(ctx, packs); err != nil {
			return err
		}
	}
	return nil
}

// rewriteAll rewrites packs of one team, as many at a time as make one pack.
func (c *collection) rewriteAll(ctx context.Context, packs []*pack) error {
	for len(packs) > 0 {
		n, size := 0, int64(0)
		for n < len(packs) && (n == 0 || size < storedPackTarget) {
			size += packs[n].size
			n++
		}
		if err := c.rewrite(ctx, packs[:n]); err != nil {
			return err
		}
		packs = packs[n:]
	}
	return nil
}

// replace removes packs whose needed objects are in the pack of w, which is sealed;
// w is nil when there are none. A pack that somebody has come to rely on stays.
func (c *collection) replace(ctx context.Context, packs []*pack, w *packWriter) error {
	keys := make([]contents, len(packs))
	before := make([]int, len(packs))
	for i, p := range packs {
		var err error
		if _, keys[i], err = readPack(p.path); err != nil {
			return err
		}
		before[i], _, _ = c.liveness(p)
	}
	var written *pack
	var numbers map[artifacts.Key]uint32
	if w != nil {
		var err error
		if written, err = c.publish(w); err != nil {
			return err
		}
		numbers = w.numbers()
	}
	if err := c.lock(ctx); err != nil {
		return err
	}
	pinned := c.pinned()
	var gone []*pack
	for i, p := range packs {
		if now, _, _ := c.liveness(p); pinned[p.id] || now != before[i] {
			continue
		}
		c.remove(p, keys[i], written, numbers)
		gone = append(gone, p)
	}
	c.store.mu.Unlock()
	return c.unlink(gone)
}

// publish gives a written pack its name. Its objects are not known by it yet: they
// are where they were.
func (c *collection) publish(w *packWriter) (*pack, error) {
	packs, err := c.store.publish(w.team, []*packWriter{w}, nil)
	if err != nil {
		return nil, err
	}
	c.collected.Written++
	c.collected.Freed -= packs[0].size
	return packs[0], nil
}

// remove takes a pack out of the index, whose needed objects are in written by
// these numbers. s.mu is held.
func (c *collection) remove(p *pack, keys contents, written *pack, numbers map[artifacts.Key]uint32) {
	s := c.store
	marked := c.marker.live[p.id]
	for i, object := range keys {
		at := place{p.id, uint32(i)}
		if s.index[object.Key] != at {
			continue
		}
		if marked == nil || !marked.has(at.object) {
			delete(s.index, object.Key)
			continue
		}
		moved := place{written.id, numbers[object.Key]}
		s.index[object.Key] = moved
		c.marker.live.set(moved)
		for _, t := range s.teams {
			if t.granted.has(at) {
				t.granted.set(moved)
			}
		}
	}
	delete(s.packs, p.id)
	for _, t := range s.teams {
		delete(t.granted, p.id)
		t.complete = make(packBits)
	}
	s.generation++
}

// unlink removes the files of packs that are out of the index.
func (c *collection) unlink(packs []*pack) error {
	for _, p := range packs {
		if err := os.Remove(p.path); err != nil {
			return fmt.Errorf("remove a pack: %w", err)
		}
		c.collected.Removed++
		c.collected.Freed += p.size
	}
	if len(packs) == 0 {
		return nil
	}
	return syncDir(filepath.Join(c.store.dir, packsDir))
}

func (c *collection) count() {
	c.collected.Lost = len(c.marker.lost)
	c.store.mu.RLock()
	defer c.store.mu.RUnlock()
	for id := range c.marker.live {
		if p := c.store.packs[id]; p != nil {
			objects, _, _ := c.liveness(p)
			c.collected.Live += objects
		}
	}
}
