package store

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"midge/artifacts"
)

// team is what one team may be told of.
type team struct {
	name string
	// granted holds objects that the team has sent and that are in a pack of another.
	granted packBits
	// complete holds trees below which nothing is missing to the team. It is found
	// out by looking, and forgotten when objects are removed.
	complete packBits
}

func (s *Store) team(name string) *team {
	t := s.teams[name]
	if t == nil {
		t = &team{name: name, granted: make(packBits), complete: make(packBits)}
		s.teams[name] = t
	}
	return t
}

// heldAt reports whether the team has sent the object that is there. s.mu is held.
func (s *Store) heldAt(t *team, at place) bool {
	return s.packs[at.pack].team == t.name || t.granted.has(at)
}

// held gives the place of an object that the team has sent.
func (s *Store) held(name string, key artifacts.Key) (place, int, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, ok := s.index[key]
	if !ok {
		return place{}, 0, false
	}
	t := s.teams[name]
	if t == nil || !s.heldAt(t, at) {
		return place{}, 0, false
	}
	return at, int(s.packs[at.pack].objects[at.object].size), true
}

// has reports whether the store has an object, whoever sent it.
func (s *Store) has(key artifacts.Key) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.index[key]
	return ok
}

// insert makes a pack's objects known. An object that is there already stays
// where it is, and the pack's team may know of it from now on. s.mu is held.
func (s *Store) insert(p *pack, keys contents) {
	s.packs[p.id] = p
	t := s.team(p.team)
	for i, object := range keys {
		if at, ok := s.index[object.Key]; !ok {
			s.index[object.Key] = place{p.id, uint32(i)}
		} else if !s.heldAt(t, at) {
			t.granted.set(at)
		}
	}
	s.nextID = max(s.nextID, p.id+1)
}

// publish gives sealed packs their names and makes their objects known, and those
// of others that the team has sent.
func (s *Store) publish(name string, writers []*packWriter, grants []artifacts.Key) ([]*pack, error) {
	s.mu.Lock()
	first := s.nextID
	s.nextID += uint32(len(writers))
	s.mu.Unlock()
	packs := make([]*pack, len(writers))
	for i, w := range writers {
		id := first + uint32(i)
		path := filepath.Join(s.dir, packsDir, packName(id))
		if err := os.Rename(w.file.Name(), path); err != nil {
			return nil, fmt.Errorf("publish a pack: %w", err)
		}
		packs[i] = &pack{id: id, team: w.team, created: w.created, path: path, size: w.size, frames: w.frames, objects: w.objects}
	}
	if len(writers) > 0 {
		if err := syncDir(filepath.Join(s.dir, packsDir)); err != nil {
			return nil, fmt.Errorf("publish a pack: %w", err)
		}
	}
	if err := s.saveGrants(name, grants); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range writers {
		s.insert(packs[i], w.keys)
	}
	s.grant(name, grants)
	return packs, nil
}

// grant lets a team know of objects. One that was removed meanwhile is passed
// over: the team is asked for it again. s.mu is held.
func (s *Store) grant(name string, keys []artifacts.Key) {
	t := s.team(name)
	for _, key := range keys {
		if at, ok := s.index[key]; ok && !s.heldAt(t, at) {
			t.granted.set(at)
		}
	}
}

func (s *Store) loadPacks() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, packsDir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(s.dir, packsDir, entry.Name())
		if err := s.loadPack(path); err != nil {
			// What is in it is asked for again, and Verify names it.
			s.options.Logger.Error("a pack cannot be used", "path", path, "error", err)
			s.unreadable.note(path, func() error { return s.loadPack(path) })
		}
	}
	return nil
}

// A grants file is named by the team and holds keys, one behind the other. One
// that was cut in its last key by a crash was not acknowledged yet.
const (
	keySize      = 1 + artifacts.DigestSize
	grantsSuffix = ".grants"
)

func (s *Store) grantsPath(name string) string {
	return filepath.Join(s.dir, grantsDir, hex.EncodeToString([]byte(name))+grantsSuffix)
}

func (s *Store) saveGrants(name string, keys []artifacts.Key) (err error) {
	if len(keys) == 0 {
		return nil
	}
	s.grantsMu.Lock()
	defer s.grantsMu.Unlock()
	f, err := os.OpenFile(s.grantsPath(name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("save what team %q has sent: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("save what team %q has sent: %w", name, err)
	}
	b := make([]byte, 0, len(keys)*keySize)
	for _, key := range keys {
		b = append(b, byte(key.Kind))
		b = append(b, key.Digest[:]...)
	}
	if _, err := f.WriteAt(b, end-end%keySize); err != nil {
		return fmt.Errorf("save what team %q has sent: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("save what team %q has sent: %w", name, err)
	}
	return nil
}

func (s *Store) loadGrants() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, grantsDir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name, err := hex.DecodeString(strings.TrimSuffix(entry.Name(), grantsSuffix))
		if err != nil {
			return fmt.Errorf("%q in %s is not a team's: %w", entry.Name(), grantsDir, err)
		}
		if err := s.loadGrantsOf(string(name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) loadGrantsOf(name string) error {
	f, err := os.Open(s.grantsPath(name))
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	var b [keySize]byte
	for {
		_, err := io.ReadFull(r, b[:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read what team %q has sent: %w", name, err)
		}
		s.grant(name, []artifacts.Key{{Kind: artifacts.Kind(b[0]), Digest: artifacts.Digest(b[1:])}})
	}
}

// compactGrants forgets what teams have sent that is not there any more.
func (s *Store) compactGrants() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, grantsDir))
	if err != nil {
		return err
	}
	s.grantsMu.Lock()
	defer s.grantsMu.Unlock()
	for _, entry := range entries {
		if err := s.compactGrantsIn(filepath.Join(s.dir, grantsDir, entry.Name())); err != nil {
			return fmt.Errorf("forget what a team has sent: %w", err)
		}
	}
	return nil
}

func (s *Store) compactGrantsIn(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	kept := make([]byte, 0, len(content))
	s.mu.RLock()
	for rest := content; len(rest) >= keySize; rest = rest[keySize:] {
		key := artifacts.Key{Kind: artifacts.Kind(rest[0]), Digest: artifacts.Digest(rest[1:keySize])}
		if _, ok := s.index[key]; ok {
			kept = append(kept, rest[:keySize]...)
		}
	}
	s.mu.RUnlock()
	if len(kept) == len(content) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Join(s.dir, temporaryDir), "grants-")
	if err != nil {
		return err
	}
	_, err = f.Write(kept)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}
