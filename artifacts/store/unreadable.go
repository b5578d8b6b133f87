package store

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
)

// unreadable is what could not be read when it was needed, until it can or is gone.
type unreadable struct {
	mu    sync.Mutex
	packs map[string]func() error // by path; each tries again
}

// note remembers what could not be read, and how to try again.
func (u *unreadable) note(path string, try func() error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.packs == nil {
		u.packs = make(map[string]func() error)
	}
	if u.packs[path] == nil {
		u.packs[path] = try
	}
}

// Unreadable says how many packs there are of which something could not be read when it was
// needed, and cannot now, and gives one's error.
func (s *Store) Unreadable() (packs int, err error) {
	s.unreadable.mu.Lock()
	paths := slices.Sorted(maps.Keys(s.unreadable.packs))
	tries := maps.Clone(s.unreadable.packs)
	s.unreadable.mu.Unlock()
	for _, path := range paths {
		failed := tries[path]()
		if failed == nil || errors.Is(failed, fs.ErrNotExist) {
			s.unreadable.mu.Lock()
			delete(s.unreadable.packs, path)
			s.unreadable.mu.Unlock()
			continue
		}
		if packs++; err == nil {
			err = failed
		}
	}
	return packs, err
}

// noteUnreadable notes a pack when err is one of reading it; try reads the same again.
func (s *Store) noteUnreadable(p *pack, err error, try func() error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a pack that is rewritten goes
		s.unreadable.note(p.path, try)
	}
}

// loadPack makes the objects of a pack known.
func (s *Store) loadPack(path string) error {
	p, keys, err := readPack(path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.insert(p, keys)
	return nil
}
