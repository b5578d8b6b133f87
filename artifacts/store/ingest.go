package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"midge/artifacts"
	"midge/artifacts/scan"
	"midge/runtime"
	"midge/trace"
)

// Ingest stores a tree of a build of the team and gives its digest, how many
// files it has and their bytes together. A runtime.Local is read where it lies, a
// Sender sends what the store lacks of it, and another artifact is read through its
// tar stream. A tree this store gave is not read at all. On an error nothing of it is
// visible, but what a Sender has sent, which goes as that of a broken upload does.
//
// The tree stays for Options.Grace; from then on for as long as a row names it.
func (s *Store) Ingest(ctx context.Context, team string, a runtime.Artifact) (digest string, files, bytes int64, err error) {
	ctx, span := trace.StartSpan(ctx, "ingest artifact")
	defer func() { span.End(err) }()
	if tree, ok := a.(*Tree); ok && tree.store == s && tree.team == team {
		s.leases.hold(tree.root)()
		return tree.root.String(), tree.files, tree.bytes, nil
	}
	if local, ok := a.(runtime.Local); ok {
		return s.ingestLocal(ctx, team, local)
	}
	if sender, ok := a.(Sender); ok {
		return s.ingestSent(ctx, team, sender)
	}
	tar, err := a.StreamOut(ctx, ".")
	if err != nil {
		return "", 0, 0, fmt.Errorf("read artifact %q: %w", a.Handle(), err)
	}
	digest, files, bytes, err = s.IngestTar(ctx, team, tar)
	if err := errors.Join(err, tar.Close()); err != nil {
		return "", 0, 0, fmt.Errorf("store artifact %q: %w", a.Handle(), err)
	}
	return digest, files, bytes, nil
}

func (s *Store) ingestLocal(ctx context.Context, team string, local runtime.Local) (digest string, files, bytes int64, err error) {
	dir, release, err := local.LocalPath(ctx)
	if err != nil {
		return "", 0, 0, fmt.Errorf("find the directory of artifact %q: %w", local.Handle(), err)
	}
	defer release()
	i := s.newIngestion(team)
	defer func() { err = errors.Join(err, i.end()) }()
	tree, err := scan.Scan(ctx, dir, scan.Options{IncludeGit: true, Object: i.add})
	if err != nil {
		return "", 0, 0, fmt.Errorf("read artifact %q: %w", local.Handle(), err)
	}
	for directory := range tree.Directories() {
		if err := i.addTrees(directory.Objects()); err != nil {
			return "", 0, 0, err
		}
	}
	if err := i.finish(ctx, tree.Root, tree.Bytes); err != nil {
		return "", 0, 0, err
	}
	return tree.Root.String(), tree.Files, tree.Bytes, nil
}

// ingestion gathers the objects of one tree in packs that nobody sees until it is
// finished. Objects may be added by many goroutines.
type ingestion struct {
	store *Store
	team  string
	kept  *keeper // what is there already

	mu     sync.Mutex
	known  map[artifacts.Key]struct{}
	grants []artifacts.Key
	small  *artifacts.FrameBuilder // contents
	trees  *artifacts.FrameBuilder // trees and lists, which are read without contents

	files   sync.Mutex
	current *packWriter
	full    []*packWriter
	sealing sync.WaitGroup
	sealErr error
}

func (s *Store) newIngestion(team string) *ingestion {
	return &ingestion{
		store: s,
		team:  team,
		kept:  s.newKeeper(),
		known: make(map[artifacts.Key]struct{}),
		small: new(artifacts.FrameBuilder),
		trees: new(artifacts.FrameBuilder),
	}
}

// builders holds those that are empty, for their memory.
var builders = sync.Pool{New: func() any { return new(artifacts.FrameBuilder) }}

// add takes an object, unless it is there. The record is the caller's again on return.
func (i *ingestion) add(key artifacts.Key, record []byte) error {
	i.mu.Lock()
	if _, ok := i.known[key]; ok {
		i.mu.Unlock()
		return nil
	}
	i.known[key] = struct{}{}
	if there, held := i.kept.find(i.team, key); there {
		if !held {
			i.grants = append(i.grants, key)
		}
		i.mu.Unlock()
		return nil
	}
	builder := &i.small
	if key.Kind != artifacts.KindContent {
		builder = &i.trees
	}
	var full *artifacts.FrameBuilder
	if !(*builder).Fits(len(record)) {
		full = *builder
		*builder = builders.Get().(*artifacts.FrameBuilder)
	}
	(*builder).Add(key, record)
	i.mu.Unlock()
	return i.write(full)
}

func (i *ingestion) addTrees(objects []artifacts.TreeObject) error {
	for _, object := range objects {
		if err := i.add(artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}, object.Record()); err != nil {
			return err
		}
	}
	return nil
}

// write compresses a frame and puts it into the current pack.
func (i *ingestion) write(builder *artifacts.FrameBuilder) error {
	if builder == nil || len(builder.Objects()) == 0 {
		return nil
	}
	encoded := builder.AppendFrame(nil)
	i.files.Lock()
	defer i.files.Unlock()
	if i.current == nil {
		w, err := i.store.newPackWriter(i.team)
		if err != nil {
			return err
		}
		i.current = w
	}
	if err := i.current.add(builder.Objects(), encoded); err != nil {
		return err
	}
	builder.Reset()
	builders.Put(builder)
	if i.current.size >= storedPackTarget {
		i.seal()
	}
	return nil
}

// storedPackTarget is how large a pack that the server makes by itself grows.
const storedPackTarget = 64 << 20

// seal brings the current pack to the disk while the next one is filled. i.files is held.
func (i *ingestion) seal() {
	w := i.current
	i.full = append(i.full, w)
	i.current = nil
	i.sealing.Go(func() {
		if err := w.seal(time.Now()); err != nil {
			i.files.Lock()
			i.sealErr = errors.Join(i.sealErr, err)
			i.files.Unlock()
		}
	})
}

// finish makes the tree visible, once all of it was added.
func (i *ingestion) finish(ctx context.Context, root artifacts.Digest, size int64) error {
	if limit := i.store.options.MaxArtifactSize; limit > 0 && size > limit {
		return &SizeError{Size: size, Max: limit}
	}
	if err := errors.Join(i.write(i.small), i.write(i.trees)); err != nil {
		return err
	}
	i.files.Lock()
	if i.current != nil {
		i.seal()
	}
	i.files.Unlock()
	i.sealing.Wait()
	if i.sealErr != nil {
		return i.sealErr
	}
	defer i.store.leases.hold(root)()
	if _, err := i.store.publish(i.team, i.full, i.grants); err != nil {
		return err
	}
	i.full = nil
	found, err := i.store.complete(ctx, i.team, root)
	if err != nil {
		return err
	}
	if !found.whole {
		return fmt.Errorf("tree %v was stored without all that it names", root)
	}
	return nil
}

// end removes what was not made visible.
func (i *ingestion) end() error {
	defer i.kept.close()
	i.sealing.Wait()
	full := i.full
	if i.current != nil {
		full = append(full, i.current)
	}
	var errs []error
	for _, w := range full {
		if err := w.discard(); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
