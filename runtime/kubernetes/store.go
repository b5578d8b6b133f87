package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"midge/runtime/archive"
)

// A store keeps directories under names. One that is removed or replaced stays for
// those who have it open.
type store struct {
	dir string

	mu   sync.Mutex // held while names change
	open map[string]*openDirectory
}

// An openDirectory is one that somebody has open under its name.
type openDirectory struct {
	users int
	gone  string // where it lies since it has no name any more
}

// Prefixes of what is in a store and no directory of a name.
const (
	newPrefix     = ".new-"
	removedPrefix = ".removed-"
)

const (
	dataDir = "data" // what a directory of the store is about
	keyFile = "key"  // a text that goes with it
)

// openStore opens the store of a directory, and removes what a server that was killed left in it.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the worker's state directory: %w", err)
	}
	s := &store{dir: dir, open: make(map[string]*openDirectory)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
				return nil, fmt.Errorf("remove what an earlier server left: %w", err)
			}
		}
	}
	return s, nil
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

// make makes an empty directory that has no name yet.
func (s *store) make(key string) (dir string, err error) {
	dir, err = os.MkdirTemp(s.dir, newPrefix)
	if err != nil {
		return "", err
	}
	err = errors.Join(os.Mkdir(filepath.Join(dir, dataDir), 0o755), os.WriteFile(filepath.Join(dir, keyFile), []byte(key), 0o600))
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// add gives a directory that was made its name. A name that is there is an fs.ErrExist.
func (s *store) add(name, dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Lstat(s.path(name)); err == nil {
		return fs.ErrExist
	}
	return os.Rename(dir, s.path(name))
}

// replace gives a directory that was made its name, in place of the one that has it.
func (s *store) replace(name, dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.take(name); err != nil {
		return err
	}
	return os.Rename(dir, s.path(name))
}

// remove removes the directory of a name. It tells whether there was one.
func (s *store) remove(name string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(name)
}

// take takes a directory its name, and removes it unless somebody has it open. The
// store is locked.
func (s *store) take(name string) (bool, error) {
	path := s.path(name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	to, err := os.MkdirTemp(s.dir, removedPrefix)
	if err != nil {
		return false, err
	}
	if err := os.Rename(path, filepath.Join(to, name)); err != nil {
		return false, errors.Join(err, os.Remove(to))
	}
	if opened := s.open[name]; opened != nil {
		opened.gone = to
		delete(s.open, name)
		return true, nil
	}
	return true, os.RemoveAll(to)
}

// tree opens what is in the directory of a name, until release is called. That there
// is none is an fs.ErrNotExist.
func (s *store) tree(name string) (tree archive.Tree, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tree, err = archive.OpenTree(filepath.Join(s.path(name), dataDir))
	if err != nil {
		return nil, nil, err
	}
	opened := s.open[name]
	if opened == nil {
		opened = &openDirectory{}
		s.open[name] = opened
	}
	opened.users++
	return tree, sync.OnceFunc(func() {
		tree.Close()
		s.close(name, opened)
	}), nil
}

func (s *store) close(name string, opened *openDirectory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if opened.users--; opened.users > 0 {
		return
	}
	if opened.gone == "" {
		delete(s.open, name)
		return
	}
	// What stays is removed when the store is opened next.
	_ = os.RemoveAll(opened.gone)
}

// names lists the names.
func (s *store) names() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// key gives the text that goes with a name. That there is none is an fs.ErrNotExist.
func (s *store) key(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := os.ReadFile(filepath.Join(s.path(name), keyFile))
	return string(b), err
}
