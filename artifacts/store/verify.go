package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// Verified says what Verify has looked at, and what is wrong.
type Verified struct {
	Packs, Objects, Trees, Directories int
	// Problems is empty when all is well.
	Problems []string
}

// Verify reads everything: that each pack holds the contents it says, that of the
// trees that roots names nothing is missing, and that the directories made of
// trees are as they were. roots may be nil. An error tells that it could not be
// finished. What is stored, fetched or collected meanwhile does no harm.
func (s *Store) Verify(ctx context.Context, roots func(ctx context.Context) ([]string, error)) (Verified, error) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	v := &verification{store: s}
	if err := v.packs(ctx); err != nil {
		return v.Verified, err
	}
	if roots != nil {
		if err := v.trees(ctx, roots); err != nil {
			return v.Verified, err
		}
	}
	return v.Verified, v.directories(ctx)
}

type verification struct {
	Verified
	store *Store
}

func (v *verification) problem(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

func (v *verification) packs(ctx context.Context) error {
	entries, err := os.ReadDir(filepath.Join(v.store.dir, packsDir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		v.Packs++
		if err := v.pack(filepath.Join(v.store.dir, packsDir, entry.Name())); err != nil {
			v.problem("pack %s: %v", entry.Name(), err)
		}
	}
	return nil
}

// pack reads a pack file from end to end.
func (v *verification) pack(path string) error {
	_, keys, err := readPack(path)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	reader := artifacts.NewPackReader(f)
	var raw []byte
	for {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if raw, err = frame.Decompress(raw); err != nil {
			return err
		}
		if err := frame.Verify(raw); err != nil {
			return err
		}
		if len(keys) < len(frame.Objects) || !slices.Equal(keys[:len(frame.Objects)], frame.Objects) {
			return errors.New("its footer is not that of its frames")
		}
		keys = keys[len(frame.Objects):]
		v.Objects += len(frame.Objects)
	}
	if len(keys) > 0 {
		return errors.New("its footer names objects that are not in it")
	}
	return nil
}

// trees looks whether all that named trees need is there.
func (v *verification) trees(ctx context.Context, roots func(ctx context.Context) ([]string, error)) error {
	named, err := roots(ctx)
	if err != nil {
		return fmt.Errorf("find which artifacts are needed: %w", err)
	}
	m := &marker{store: v.store, live: make(packBits)}
	for _, digest := range named {
		v.Trees++
		root, err := artifacts.ParseDigest(digest)
		if err == nil {
			err = m.mark(ctx, root)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			v.problem("%v", err)
			m.lost = nil
		}
	}
	for _, err := range m.lost {
		v.problem("%v", err)
	}
	return nil
}

// directories looks whether somebody has written to a directory that was made of a tree.
func (v *verification) directories(ctx context.Context) error {
	held := v.store.trees.latest(-1)
	defer func() {
		for _, made := range held {
			v.store.trees.release(made)
		}
	}()
	for _, made := range held {
		v.Directories++
		tree, err := scan.Scan(ctx, made.path, scan.Options{IncludeGit: true})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			v.problem("directory of artifact %v: %v", made.root, err)
		case tree.Root != made.root:
			v.problem("directory of artifact %v: its content is that of %v now", made.root, tree.Root)
		}
	}
	return nil
}
