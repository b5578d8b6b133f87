package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// A Directory is a directory of this machine that is served to those who Fetch it, by
// its content as it was when it was opened: POST /fetch. A file that has changed since
// is not served, which cuts the answer.
type Directory struct {
	dir     string
	tree    *scan.Tree
	records map[artifacts.Key][]byte // the trees and lists
	pieces  map[artifacts.Key]piece  // the contents
}

// A piece is where in the directory a content lies.
type piece struct {
	name   string
	offset int64
	size   int
}

// OpenDirectory finds out what is in a directory, of which nothing is left out.
func OpenDirectory(ctx context.Context, dir string) (*Directory, error) {
	tree, err := scan.Scan(ctx, dir, scan.Options{IncludeGit: true})
	if err != nil {
		return nil, err
	}
	d := &Directory{dir: dir, tree: tree, records: make(map[artifacts.Key][]byte), pieces: make(map[artifacts.Key]piece)}
	for in := range tree.Directories() {
		for _, object := range in.Objects() {
			d.records[artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}] = object.Record()
		}
		for i := range in.Entries() {
			d.addFile(in, &in.Entries()[i])
		}
	}
	return d, nil
}

func (d *Directory) addFile(in scan.Directory, e *artifacts.Entry) {
	name := localName(path.Join(in.Path(), e.Name))
	switch e.Content.Kind {
	case artifacts.KindContent:
		d.pieces[e.Content] = piece{name, 0, int(e.Size)}
	case artifacts.KindList:
		chunks, _ := d.tree.Chunks(e.Content.Digest) // all were read in this scan
		d.records[e.Content] = artifacts.EncodeList(chunks)
		var offset int64
		for _, chunk := range chunks {
			d.pieces[artifacts.Key{Kind: artifacts.KindContent, Digest: chunk.Digest}] = piece{name, offset, int(chunk.Size)}
			offset += int64(chunk.Size)
		}
	}
}

// Digest is the tree's.
func (d *Directory) Digest() string { return d.tree.Root.String() }

// ServeHTTP implements http.Handler.
func (d *Directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != artifacts.FetchPath {
		http.NotFound(w, r)
		return
	}
	keys, err := d.asked(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", artifacts.PackType)
	if d.write(r.Context(), w, keys) != nil {
		panic(http.ErrAbortHandler) // only a cut answer can say so
	}
}

// asked gives the keys of the objects that are to be served. With ?below=1 all trees
// and lists come along.
func (d *Directory) asked(w http.ResponseWriter, r *http.Request) ([]artifacts.Key, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, artifacts.MaxPack))
	if err != nil {
		return nil, err
	}
	keys, err := artifacts.ParseKeys(body)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		_, isRecord := d.records[key]
		if _, isPiece := d.pieces[key]; !isRecord && !isPiece {
			return nil, fmt.Errorf("%v is not in the directory", key)
		}
	}
	if r.URL.Query().Get("below") == "1" {
		for key := range d.records {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// write writes a pack with the objects of some keys, each once.
func (d *Directory) write(ctx context.Context, w io.Writer, keys []artifacts.Key) (err error) {
	top, err := os.OpenRoot(d.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, top.Close()) }()
	encoded := artifacts.AppendPackStart(nil)
	var frame artifacts.FrameBuilder
	flush := func() error {
		_, err := w.Write(frame.AppendFrame(encoded))
		frame.Reset()
		encoded = encoded[:0]
		return err
	}
	written := make(map[artifacts.Key]struct{}, len(keys))
	for _, key := range keys {
		if _, ok := written[key]; ok {
			continue
		}
		written[key] = struct{}{}
		record, size := d.records[key], d.pieces[key].size
		if size == 0 {
			size = len(record)
		}
		if !frame.Fits(size) {
			if err := flush(); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if record != nil {
			frame.Add(key, record)
		} else if err := d.pieces[key].read(top, key, frame.Extend(key, size)); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	_, err = w.Write(artifacts.AppendPackEnd(nil))
	return err
}

// read reads a content that is still the one of that key.
func (p piece) read(top *os.Root, key artifacts.Key, record []byte) error {
	f, err := openFile(top, p.name)
	if err != nil {
		return changedIfGone(p.name, err)
	}
	_, err = f.ReadAt(record, p.offset)
	if err := errors.Join(err, f.Close()); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %q: %w", p.name, err)
	}
	if artifacts.VerifyRecord(key, record) != nil {
		return &scan.ChangedError{Path: p.name}
	}
	return nil
}
