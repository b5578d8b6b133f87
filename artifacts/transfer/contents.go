package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// contents is what the server lacks of the files of a tree, each content once.
type contents struct {
	files []lackedFile
	bytes int64
}

// lackedFile is a file of which something is to be sent.
type lackedFile struct {
	dir   scan.Directory
	index int   // in its entries
	bytes int64 // to be sent
	// chunks are those of a large file that are to be sent; nil for a small file.
	chunks []chunkAt
}

// chunkAt is a chunk of a file.
type chunkAt struct {
	key    artifacts.Key
	offset int64
	size   int
}

func (f *lackedFile) path() string { return path.Join(f.dir.Path(), f.dir.Entries()[f.index].Name) }

// gaps tells what the server lacks of a tree.
type gaps interface {
	// eachEntry calls absent with the index of each entry of a directory that names
	// what the server lacks.
	eachEntry(d scan.Directory, absent func(index int))
	// anyChunk reports whether the server may lack chunks of a list, and chunk
	// whether it lacks the i-th.
	anyChunk(list artifacts.Key) bool
	chunk(list artifacts.Key, i int, digest artifacts.Digest) bool
}

// lackedContents finds which files have contents that the server lacks.
func (s *sender) lackedContents(lacks gaps) (*contents, error) {
	c := new(contents)
	seen := make(map[artifacts.Digest]struct{})
	isNew := func(digest artifacts.Digest) bool {
		_, ok := seen[digest]
		seen[digest] = struct{}{}
		return !ok
	}
	for d := range s.tree.Directories() {
		lacks.eachEntry(d, func(index int) {
			if e := &d.Entries()[index]; e.Content.Kind == artifacts.KindContent && isNew(e.Content.Digest) {
				c.add(lackedFile{dir: d, index: index, bytes: e.Size})
			}
		})
		for index, e := range d.Entries() {
			if e.Content.Kind != artifacts.KindList || !lacks.anyChunk(e.Content) {
				continue
			}
			chunks, err := s.chunks(d, index)
			if err != nil {
				return nil, err
			}
			c.add(lackedChunks(d, index, chunks, func(i int) bool {
				return lacks.chunk(e.Content, i, chunks[i].Digest) && isNew(chunks[i].Digest)
			}))
		}
	}
	return c, nil
}

func lackedChunks(d scan.Directory, index int, chunks []artifacts.Chunk, lacked func(i int) bool) lackedFile {
	f := lackedFile{dir: d, index: index}
	var offset int64
	for i, chunk := range chunks {
		if lacked(i) {
			key := artifacts.Key{Kind: artifacts.KindContent, Digest: chunk.Digest}
			f.chunks = append(f.chunks, chunkAt{key, offset, int(chunk.Size)})
			f.bytes += int64(chunk.Size)
		}
		offset += int64(chunk.Size)
	}
	return f
}

func (c *contents) add(f lackedFile) {
	if f.bytes > 0 {
		c.files = append(c.files, f)
		c.bytes += f.bytes
	}
}

// describe says in a receipt what is to be sent.
func (c *contents) describe(receipt *Receipt) {
	receipt.SentFiles, receipt.SentBytes = int64(len(c.files)), c.bytes
	receipt.DeduplicatedBytes = receipt.Bytes - c.bytes
	var largest []*lackedFile
	for i := range c.files {
		f := &c.files[i]
		at, _ := slices.BinarySearchFunc(largest, f, func(a, b *lackedFile) int { return cmp.Compare(b.bytes, a.bytes) })
		if at < largestCount {
			largest = slices.Insert(largest, at, f)
			largest = largest[:min(len(largest), largestCount)]
		}
	}
	receipt.Largest = make([]PathSize, len(largest))
	for i, f := range largest {
		receipt.Largest[i] = PathSize{f.path(), f.bytes}
	}
}

// chunks gives the chunks of a large file. Those of a file that the scan did not
// have to read are found by reading it, once.
func (s *sender) chunks(d scan.Directory, index int) ([]artifacts.Chunk, error) {
	e := &d.Entries()[index]
	if chunks, ok := s.tree.Chunks(e.Content.Digest); ok {
		return chunks, nil
	}
	if chunks, ok := s.lists[e.Content.Digest]; ok {
		return chunks, nil
	}
	name := path.Join(d.Path(), e.Name)
	f, err := openFile(s.top, name)
	if err != nil {
		return nil, changedIfGone(name, err)
	}
	chunks, key, err := scan.ReadChunks(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	if key != e.Content {
		return nil, &scan.ChangedError{Path: name}
	}
	if s.lists == nil {
		s.lists = make(map[artifacts.Digest][]artifacts.Chunk)
	}
	s.lists[e.Content.Digest] = chunks
	return chunks, nil
}

// openFile opens a file below an open directory. A named pipe that took its place does not block.
func openFile(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// changedIfGone types the error of a file that was there when it was scanned.
func changedIfGone(name string, err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return &scan.ChangedError{Path: name}
	}
	return fmt.Errorf("open %q: %w", name, err)
}

// sendContents sends the contents of files. Several goroutines read and compress,
// each a frame at a time.
func (s *sender) sendContents(ctx context.Context, c *contents) error {
	p := newPacker(ctx, s)
	next := make(chan []lackedFile)
	for range readers() {
		p.workers.Go(func() {
			for files := range next {
				if err := s.sendFiles(p, files); err != nil {
					p.fail(err)
					return
				}
			}
		})
	}
	for rest := c.files; len(rest) > 0; {
		n := batchOf(rest)
		select {
		case next <- rest[:n]:
			rest = rest[n:]
		case <-p.ctx.Done():
			rest = nil
		}
	}
	close(next)
	return p.finish()
}

// batchOf gives how many files from the first make about one frame.
func batchOf(files []lackedFile) int {
	var size int64
	for i := range files {
		if size += files[i].bytes; size >= artifacts.FrameTarget {
			return i + 1
		}
	}
	return len(files)
}

// sendFiles puts the contents of some files into frames.
func (s *sender) sendFiles(p *packer, files []lackedFile) (err error) {
	f := p.newFrames()
	defer f.release()
	in := &inDir{top: s.top}
	defer func() { err = errors.Join(err, in.close()) }()
	for i := range files {
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		if err := s.sendFile(f, in, &files[i]); err != nil {
			return err
		}
	}
	return f.flush()
}

// inDir opens files of one directory after the other; it holds the last.
type inDir struct {
	top  *os.Root
	path string
	dir  *os.Root
}

func (d *inDir) close() error {
	if d.dir == nil {
		return nil
	}
	dir := d.dir
	d.dir = nil
	return dir.Close()
}

func (d *inDir) open(f *lackedFile) (*os.File, error) {
	if d.dir == nil || d.path != f.dir.Path() {
		if err := d.close(); err != nil {
			return nil, err
		}
		dir, err := d.top.OpenRoot(localName(f.dir.Path()))
		if err != nil {
			return nil, err
		}
		d.dir, d.path = dir, f.dir.Path()
	}
	return openFile(d.dir, f.dir.Entries()[f.index].Name)
}

func (s *sender) sendFile(f *frames, in *inDir, lacked *lackedFile) (err error) {
	name := lacked.path()
	file, err := in.open(lacked)
	if err != nil {
		return changedIfGone(name, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := lacked.check(file, name); err != nil {
		return err
	}
	chunks := lacked.chunks
	if chunks == nil {
		e := &lacked.dir.Entries()[lacked.index]
		chunks = []chunkAt{{e.Content, 0, int(e.Size)}}
	}
	for _, chunk := range chunks {
		record, err := f.extend(chunk.key, chunk.size)
		if err != nil {
			return err
		}
		if _, err := file.ReadAt(record, chunk.offset); err != nil {
			if errors.Is(err, io.EOF) {
				return &scan.ChangedError{Path: name}
			}
			return fmt.Errorf("read %q: %w", name, err)
		}
	}
	f.in.files++
	return lacked.check(file, name)
}

// check tells whether the file is as it was scanned.
func (f *lackedFile) check(file *os.File, name string) error {
	fi, err := file.Stat()
	if err != nil {
		return fmt.Errorf("look at %q: %w", name, err)
	}
	if !f.dir.Unchanged(f.index, fi) {
		return &scan.ChangedError{Path: name}
	}
	return nil
}
