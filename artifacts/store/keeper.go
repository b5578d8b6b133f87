package store

import (
	"sync"

	"midge/artifacts"
)

// keeper keeps what somebody was told is there, until it is closed: whole packs,
// and trees with all below them. A collection passes over it.
type keeper struct {
	store *Store

	mu    sync.Mutex
	packs map[uint32]struct{}
	trees map[artifacts.Digest]struct{}
}

func (s *Store) newKeeper() *keeper {
	k := &keeper{store: s, packs: make(map[uint32]struct{}), trees: make(map[artifacts.Digest]struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepers[k] = struct{}{}
	return k
}

func (k *keeper) close() {
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	delete(k.store.keepers, k)
}

// find keeps the pack of an object, if the object is there, and reports whether
// the team has sent it.
func (k *keeper) find(name string, key artifacts.Key) (there, held bool) {
	s := k.store
	// A collection takes s.mu for itself when it decides: it sees the object kept,
	// or has removed it before this looks.
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, ok := s.index[key]
	if !ok {
		return false, false
	}
	k.keepPack(at.pack)
	t := s.teams[name]
	return true, t != nil && s.heldAt(t, at)
}

func (k *keeper) keepPack(id uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.packs[id] = struct{}{}
}

// keepTree keeps a tree and all below it. s.mu is held for reading by who has seen
// that it is complete.
func (k *keeper) keepTree(root artifacts.Digest) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trees[root] = struct{}{}
	k.store.leases.gather(root)
}
