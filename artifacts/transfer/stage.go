package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// stage is where files are written before they are moved to their place: a
// directory in the destination that is laid out like the tree.
type stage struct {
	fetcher *fetcher
	root    *os.Root

	// wanted is what must be fetched, in the order of the tree, and targets where it goes.
	wanted  []artifacts.Key
	targets map[artifacts.Key][]target
	sizes   map[artifacts.Key]int

	mu   sync.Mutex
	made map[string]struct{} // directories
}

// target is a place for a content.
type target struct {
	node   *node
	entry  *artifacts.Entry
	offset int64 // of a chunk, in a large file
}

// openStage takes over what an earlier Fetch has left, and finds what is still to be fetched.
func (f *fetcher) openStage(ctx context.Context) (*stage, error) {
	s := &stage{
		fetcher: f,
		targets: make(map[artifacts.Key][]target),
		sizes:   make(map[artifacts.Key]int),
		made:    map[string]struct{}{"": {}},
	}
	if err := f.top.Mkdir(stagingName, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make a directory there: %w", err)
	}
	info, err := f.top.Lstat(stagingName)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%q is in the way; remove it", filepath.Join(f.dir, stagingName))
	}
	if err := f.checkCase(); err != nil {
		return nil, err
	}
	if s.root, err = f.top.OpenRoot(stagingName); err != nil {
		return nil, err
	}
	if err := s.plan(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) close() error { return s.root.Close() }

// checkCase refuses trees that a file system which does not tell A from a cannot hold.
func (f *fetcher) checkCase() error {
	if _, err := f.top.Lstat(strings.ToUpper(stagingName)); err != nil {
		return nil
	}
	return f.tree.top.visit(func(n *node) error {
		seen := make(map[string]string)
		for _, e := range n.entries {
			folded := strings.ToLower(e.Name)
			if other, ok := seen[folded]; ok {
				return &CaseError{Dir: n.path, A: other, B: e.Name}
			}
			seen[folded] = e.Name
		}
		return nil
	})
}

// directoriesOf gives the directories of a scan by their path.
func directoriesOf(tree *scan.Tree) map[string]scan.Directory {
	directories := make(map[string]scan.Directory)
	for d := range tree.Directories() {
		directories[d.Path()] = d
	}
	return directories
}

// plan compares the tree with what is in the destination and on the stage.
func (s *stage) plan(ctx context.Context) error {
	f := s.fetcher
	staged, err := scan.Scan(ctx, filepath.Join(f.dir, stagingName), scan.Options{Scope: &pathScope{f.tree.top}, IncludeGit: true})
	if err != nil {
		return err
	}
	// What another tree has left would be moved along with its directory.
	for _, i := range staged.Ignored {
		if err := s.root.RemoveAll(localName(i.Path)); err != nil {
			return err
		}
	}
	there, onStage := directoriesOf(f.local), directoriesOf(staged)
	f.there = there
	err = f.tree.top.visit(func(n *node) error {
		for i := range n.entries {
			e := &n.entries[i]
			if e.Type != artifacts.TypeFile || f.tree.linked(n, e) {
				continue
			}
			if sameContent(find(there, n.path, e.Name), e) {
				continue
			}
			f.staged[n.join(e.Name)] = struct{}{}
			if sameContent(find(onStage, n.path, e.Name), e) {
				if err := f.finishFile(f.staging(n.join(e.Name)), e); err != nil {
					return err
				}
				continue
			}
			if err := s.want(n, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.copyLocal(there)
}

// find gives the entry of a scanned directory, nil if there is none.
func find(directories map[string]scan.Directory, dir, name string) *artifacts.Entry {
	d, ok := directories[dir]
	if !ok {
		return nil
	}
	n := node{entries: d.Entries()}
	return n.find(name)
}

func sameContent(a, b *artifacts.Entry) bool {
	return a != nil && a.Type == artifacts.TypeFile && a.Size == b.Size && a.Content == b.Content
}

// want notes that a file has to be put on the stage.
func (s *stage) want(n *node, e *artifacts.Entry) error {
	switch e.Content.Kind {
	case 0:
		w := s.newWriter()
		return errors.Join(w.file(n, e, nil), w.close())
	case artifacts.KindContent:
		s.add(e.Content, int(e.Size), target{n, e, 0})
		return nil
	}
	return s.wantLarge(n, e)
}

func (s *stage) add(key artifacts.Key, size int, to target) {
	if len(s.targets[key]) == 0 {
		s.wanted = append(s.wanted, key)
		s.sizes[key] = size
	}
	s.targets[key] = append(s.targets[key], to)
}

// wantLarge wants those chunks of a large file that are not at their place on the stage.
func (s *stage) wantLarge(n *node, e *artifacts.Entry) (err error) {
	w := s.newWriter()
	defer func() { err = errors.Join(err, w.close()) }()
	file, err := w.open(n, e.Name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Truncate(e.Size); err != nil {
		return fmt.Errorf("make room for %q: %w", n.join(e.Name), err)
	}
	buffer := make([]byte, artifacts.MaxContent)
	var offset int64
	for _, chunk := range s.fetcher.tree.lists[e.Content.Digest] {
		p := buffer[:chunk.Size]
		if _, err := file.ReadAt(p, offset); err != nil {
			return fmt.Errorf("read %q: %w", n.join(e.Name), err)
		}
		if artifacts.Sum(p) != chunk.Digest {
			s.add(artifacts.Key{Kind: artifacts.KindContent, Digest: chunk.Digest}, len(p), target{n, e, offset})
		}
		offset += int64(len(p))
	}
	return nil
}

// copyLocal puts contents on the stage that are in the destination under another
// name, or in another version of a large file.
func (s *stage) copyLocal(there map[string]scan.Directory) error {
	w := s.newWriter()
	buffer := make([]byte, artifacts.MaxContent)
	for _, d := range there {
		for index, e := range d.Entries() {
			var err error
			switch e.Content.Kind {
			case artifacts.KindContent:
				err = s.copyChunk(w, d, e, e.Content, 0, buffer[:e.Size])
			case artifacts.KindList:
				err = s.copyChunks(w, d, index, buffer)
			}
			if err != nil {
				return errors.Join(err, w.close())
			}
		}
	}
	s.dropDone()
	return w.close()
}

// copyChunks copies the chunks of a large file, if the tree has a large file at its path.
func (s *stage) copyChunks(w *stageWriter, d scan.Directory, index int, buffer []byte) error {
	e := d.Entries()[index]
	name := path.Join(d.Path(), e.Name)
	if to := s.fetcher.tree.top.at(name); to == nil || to.Content.Kind != artifacts.KindList || to.Content == e.Content {
		return nil
	}
	chunks, ok := s.fetcher.local.Chunks(e.Content.Digest)
	if !ok {
		file, err := openFile(s.fetcher.top, name)
		if err != nil {
			return changedIfGone(name, err)
		}
		chunks, _, err = scan.ReadChunks(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("read %q: %w", name, err)
		}
	}
	var offset int64
	for _, chunk := range chunks {
		key := artifacts.Key{Kind: artifacts.KindContent, Digest: chunk.Digest}
		if err := s.copyChunk(w, d, e, key, offset, buffer[:chunk.Size]); err != nil {
			return err
		}
		offset += int64(chunk.Size)
	}
	return nil
}

// copyChunk copies a content of a file in the destination, if it is wanted and
// still there; else it is fetched.
func (s *stage) copyChunk(w *stageWriter, d scan.Directory, e artifacts.Entry, key artifacts.Key, offset int64, buffer []byte) error {
	targets := s.targets[key]
	if len(targets) == 0 {
		return nil
	}
	file, err := openFile(s.fetcher.top, path.Join(d.Path(), e.Name))
	if err != nil {
		return nil
	}
	_, err = file.ReadAt(buffer, offset)
	if errors.Join(err, file.Close()) != nil || artifacts.Sum(buffer) != key.Digest {
		return nil
	}
	delete(s.targets, key)
	return w.put(targets, buffer)
}

// dropDone takes out of wanted what was found.
func (s *stage) dropDone() {
	kept := s.wanted[:0]
	for _, key := range s.wanted {
		if len(s.targets[key]) > 0 {
			kept = append(kept, key)
		}
	}
	s.wanted = kept
}

// Bounds of one request for contents.
const (
	fetchBytes = 16 << 20
	fetchKeys  = 8192
)

// fetch gets what is wanted, with several requests at a time.
func (s *stage) fetch(ctx context.Context) error {
	var total int64
	files := make(map[*artifacts.Entry]struct{})
	for _, key := range s.wanted {
		total += int64(s.sizes[key])
		for _, to := range s.targets[key] {
			files[to.entry] = struct{}{}
		}
	}
	s.fetcher.receipt.FetchedFiles, s.fetcher.receipt.FetchedBytes = int64(len(files)), total
	if p := s.fetcher.options.Progress; p != nil {
		p.Total(total)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := make(chan []artifacts.Key)
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for batch := range batches {
				if err := s.fetchBatch(ctx, batch); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for rest := s.wanted; len(rest) > 0; {
		n := s.batch(rest)
		select {
		case batches <- rest[:n]:
			rest = rest[n:]
		case <-ctx.Done():
			rest = nil
		}
	}
	close(batches)
	wg.Wait()
	return context.Cause(ctx)
}

func (s *stage) batch(keys []artifacts.Key) int {
	size := 0
	for i, key := range keys {
		if size += s.sizes[key]; size >= fetchBytes || i+1 == fetchKeys {
			return i + 1
		}
	}
	return len(keys)
}

func (s *stage) fetchBatch(ctx context.Context, keys []artifacts.Key) error {
	w := s.newWriter()
	err := s.fetcher.get(ctx, keys, nil, func(key artifacts.Key, record []byte) error {
		if p := s.fetcher.options.Progress; p != nil {
			p.Moved(int64(len(record)))
		}
		return w.put(s.targets[key], record)
	})
	return errors.Join(err, w.close())
}
