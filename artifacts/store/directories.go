package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"midge/artifacts"
	"midge/trace"
)

// directories are the trees that were made into directories. One that is there is
// whole: it is made beside and renamed.
type directories struct {
	mu   sync.Mutex
	made map[artifacts.Digest]*madeTree
}

// madeTree is a tree's directory, there or being made.
type madeTree struct {
	root  artifacts.Digest
	path  string
	ready chan struct{} // closed once err or the directory is there
	err   error
	size  int64 // bytes of its files

	// These belong to directories.mu.
	users  int // that hold the directory, or wait for it
	used   time.Time
	cancel context.CancelFunc // ends the making
}

// load takes over the directories of the process before. After the machine was
// started anew they may lack what had not reached the disk, and go.
func (d *directories) load(s *Store) error {
	d.made = make(map[artifacts.Digest]*madeTree)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("find whether the machine was started anew: %w", err)
	}
	mark := filepath.Join(s.dir, treesDir, "boot")
	last, err := os.ReadFile(mark)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	same := string(last) == string(boot)
	entries, err := os.ReadDir(filepath.Join(s.dir, treesDir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		root, err := artifacts.ParseDigest(entry.Name())
		if err != nil {
			continue
		}
		path := filepath.Join(s.dir, treesDir, entry.Name())
		if !same {
			if err := removeTree(path); err != nil {
				return err
			}
			continue
		}
		d.adopt(s, root, path)
	}
	if same {
		return nil
	}
	return os.WriteFile(mark, boot, 0o600)
}

func (d *directories) adopt(s *Store, root artifacts.Digest, path string) {
	ready := make(chan struct{})
	close(ready)
	made := &madeTree{root: root, path: path, ready: ready, used: time.Now(), cancel: func() {}}
	if found, err := s.entries(root); err == nil {
		made.size, _ = artifacts.Totals(found)
	}
	d.made[root] = made
}

// Materialise gives the tree of that digest as a directory, which is read only:
// who writes to it breaks it for all. It is made by the first who asks, and stays
// as it is until everybody has called release.
func (s *Store) Materialise(ctx context.Context, digest string) (dir string, release func(), err error) {
	ctx, span := trace.StartSpan(ctx, "materialise artifact")
	defer func() { span.End(err) }()
	root, err := artifacts.ParseDigest(digest)
	if err != nil {
		return "", nil, err
	}
	d := &s.trees
	d.mu.Lock()
	made := d.made[root]
	if made == nil {
		made = d.start(ctx, s, root)
	}
	made.users++
	d.mu.Unlock()
	release = sync.OnceFunc(func() { d.release(made) })
	select {
	case <-made.ready:
	case <-ctx.Done():
		release()
		return "", nil, context.Cause(ctx)
	}
	if made.err != nil {
		release()
		return "", nil, fmt.Errorf("make a directory of artifact %s: %w", digest, made.err)
	}
	return made.path, release, nil
}

// start begins to make a directory. It goes on when who asked first goes away, as
// long as anybody waits. d.mu is held.
func (d *directories) start(ctx context.Context, s *Store, root artifacts.Digest) *madeTree {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	made := &madeTree{
		root:   root,
		path:   filepath.Join(s.dir, treesDir, root.String()),
		ready:  make(chan struct{}),
		cancel: cancel,
	}
	d.made[root] = made
	s.background.Go(func() {
		defer cancel()
		size, err := s.make(ctx, made)
		d.mu.Lock()
		made.size, made.err = size, err
		if err != nil && d.made[root] == made {
			delete(d.made, root)
		}
		d.mu.Unlock()
		close(made.ready)
		if err := s.evict(context.WithoutCancel(ctx), s.options.MaxDirectories); err != nil {
			s.options.Logger.Error("directories of artifacts cannot be removed", "error", err)
		}
	})
	return made
}

func (d *directories) release(made *madeTree) {
	d.mu.Lock()
	defer d.mu.Unlock()
	made.users--
	made.used = time.Now()
	select {
	case <-made.ready:
	default:
		if made.users == 0 {
			made.cancel()
			// Who asks from now on must not wait for what was given up.
			delete(d.made, made.root)
		}
	}
}

// evict removes the directories used longest ago until those left have no more
// than limit bytes, or are all in use.
func (s *Store) evict(ctx context.Context, limit int64) error {
	if s.trees.total() <= limit {
		return nil
	}
	inUse, err := s.inUse(ctx)
	if err != nil {
		return err
	}
	paths, err := s.trees.takeOldest(limit, inUse, s)
	for _, path := range paths {
		err = errors.Join(err, removeTree(path))
	}
	return err
}

func (d *directories) total() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var total int64
	for _, made := range d.made {
		total += made.size
	}
	return total
}

func (s *Store) inUse(ctx context.Context) (map[string]bool, error) {
	inUse := make(map[string]bool)
	if s.options.InUse == nil {
		return inUse, nil
	}
	digests, err := s.options.InUse(ctx)
	if err != nil {
		return nil, fmt.Errorf("find which directories of artifacts are in use: %w", err)
	}
	for _, digest := range digests {
		inUse[digest] = true
	}
	return inUse, nil
}

// takeOldest moves directories out of sight, and gives where they are to be removed.
func (d *directories) takeOldest(limit int64, inUse map[string]bool, s *Store) (paths []string, err error) {
	total := d.total()
	d.mu.Lock()
	defer d.mu.Unlock()
	for total > limit {
		oldest := d.oldest(inUse)
		if oldest == nil {
			break
		}
		path, err := d.moveAway(s, oldest)
		if err != nil {
			return paths, err
		}
		paths = append(paths, path)
		total -= oldest.size
	}
	return paths, nil
}

// takeGone moves the directories of trees out of sight that the store does not
// have any more, and gives where they are to be removed.
func (d *directories) takeGone(inUse map[string]bool, s *Store) (paths []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, made := range d.made {
		key := artifacts.Key{Kind: artifacts.KindTree, Digest: made.root}
		if !made.idle(inUse) || s.has(key) {
			continue
		}
		path, err := d.moveAway(s, made)
		if err != nil {
			return paths, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// moveAway moves a directory to where it can be removed. d.mu is held.
func (d *directories) moveAway(s *Store, made *madeTree) (string, error) {
	away, err := os.MkdirTemp(filepath.Join(s.dir, temporaryDir), "gone-")
	if err != nil {
		return "", err
	}
	if err := os.Rename(made.path, filepath.Join(away, "tree")); err != nil {
		return "", errors.Join(err, os.Remove(away))
	}
	delete(d.made, made.root)
	return away, nil
}

// idle reports whether the directory is there and nobody uses it. directories.mu is held.
func (m *madeTree) idle(inUse map[string]bool) bool {
	select {
	case <-m.ready:
		return m.users == 0 && !inUse[m.root.String()]
	default:
		return false
	}
}

// evictGone removes the directories of trees that the store does not have any more.
func (s *Store) evictGone(ctx context.Context) error {
	inUse, err := s.inUse(ctx)
	if err != nil {
		return err
	}
	paths, err := s.trees.takeGone(inUse, s)
	for _, path := range paths {
		err = errors.Join(err, removeTree(path))
	}
	return err
}

// oldest gives the directory that was used longest ago of those nobody uses.
func (d *directories) oldest(inUse map[string]bool) *madeTree {
	var oldest *madeTree
	for _, made := range d.made {
		if made.idle(inUse) && (oldest == nil || made.used.Before(oldest.used)) {
			oldest = made
		}
	}
	return oldest
}

// removeTree removes a directory and all in it, whatever the modes of its directories.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walkErr := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return os.Chmod(name, 0o700)
	})
	return errors.Join(walkErr, os.RemoveAll(path))
}
