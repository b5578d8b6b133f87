package store

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"midge/artifacts"
	"midge/runtime"
	"midge/trace"
)

// IngestTar stores the tree that an uncompressed tar stream holds and gives its
// digest, how many files it has and their bytes together. A stream that is cut or
// no tar, an entry that would leave the tree, and one that is no file, directory,
// symlink or hard link are a *runtime.TarError. On an error nothing is visible.
//
// Of entries with the same name the last counts. The tree stays for Options.Grace;
// from then on for as long as a row names it.
func (s *Store) IngestTar(ctx context.Context, team string, r io.Reader) (digest string, files, bytes int64, err error) {
	ctx, span := trace.StartSpan(ctx, "ingest tar")
	defer func() { span.End(err) }()
	i := s.newIngestion(team)
	defer func() { err = errors.Join(err, i.end()) }()
	t := &tarTree{ingestion: i, limit: s.options.MaxArtifactSize, chunker: artifacts.NewChunker(nil)}
	if err := t.read(ctx, r); err != nil {
		return "", 0, 0, err
	}
	t.link(&t.top, "")
	root, size, files, err := t.encode(&t.top)
	if err != nil {
		return "", 0, 0, err
	}
	if err := i.finish(ctx, root, size); err != nil {
		return "", 0, 0, err
	}
	return root.String(), files, size, nil
}

// tarTree is the tree of a tar stream.
type tarTree struct {
	ingestion *ingestion
	limit     int64 // bytes, 0 for none
	size      int64
	chunker   *artifacts.Chunker
	top       tarNode
	groups    map[*tarFile]string // the first name of each file that has several
}

// tarNode is a name in the tree.
type tarNode struct {
	entry    artifacts.Entry // without a name; of a file, see file
	modTime  int64
	children map[string]*tarNode // of a directory
	file     *tarFile            // shared by the names of one file
}

// tarFile is a file, whatever its names.
type tarFile struct {
	entry artifacts.Entry
	names int
}

func (t *tarTree) read(ctx context.Context, r io.Reader) error {
	end := &endWatcher{r: r}
	reader := tar.NewReader(end)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			if !end.seen() {
				return tarError("", io.ErrUnexpectedEOF)
			}
			return drain(r)
		}
		if err != nil {
			return tarError("", err)
		}
		if err := t.add(header, reader); err != nil {
			return err
		}
	}
}

func refuse(header *tar.Header, format string, args ...any) error {
	return &runtime.TarError{Entry: header.Name, Err: fmt.Errorf(format, args...)}
}

func (t *tarTree) add(header *tar.Header, r io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := tarPath(header, header.Name)
	if err != nil {
		return err
	}
	node := &tarNode{modTime: header.ModTime.UnixNano()}
	node.entry.Mode = uint16(header.Mode) & artifacts.ModeMask
	switch header.Typeflag {
	case tar.TypeDir:
		return t.directory(header, name, node)
	case tar.TypeReg, tar.TypeGNUSparse:
		err = t.content(header, r, node)
	case tar.TypeSymlink:
		node.entry.Type, node.entry.Mode, node.entry.Target = artifacts.TypeSymlink, 0, header.Linkname
		if target := header.Linkname; target == "" || len(target) >= artifacts.MaxPath || strings.Contains(target, "\x00") {
			err = refuse(header, "the symlink's target %q is impossible", target)
		}
	case tar.TypeLink:
		err = t.hardLink(header, node)
	default:
		err = refuse(header, "it is a %s, which cannot be part of an artifact", tarType(header.Typeflag))
	}
	if err != nil {
		return err
	}
	return t.place(header, name, node)
}

func tarType(flag byte) string {
	switch flag {
	case tar.TypeChar, tar.TypeBlock:
		return "device"
	case tar.TypeFifo:
		return "named pipe"
	}
	return fmt.Sprintf("entry of type %q", flag)
}

// tarPath gives a name in the stream as a path in the tree, "" for the top.
func tarPath(header *tar.Header, name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return "", refuse(header, "%q is an absolute path", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", refuse(header, "%q leads out of the tree", name)
		}
	}
	clean := path.Clean(name)
	if clean == "." {
		return "", nil
	}
	if !artifacts.ValidPath(clean) {
		return "", refuse(header, "%q cannot be a path", name)
	}
	return clean, nil
}

// directory adds a directory, or gives one that is there its mode and time.
func (t *tarTree) directory(header *tar.Header, name string, node *tarNode) error {
	node.entry.Type = artifacts.TypeDirectory
	if name == "" {
		return nil
	}
	parent, base, err := t.parent(header, name)
	if err != nil {
		return err
	}
	if old := parent.children[base]; old != nil && old.entry.Type == artifacts.TypeDirectory {
		old.entry.Mode, old.modTime = node.entry.Mode, node.modTime
		return nil
	}
	return t.place(header, name, node)
}

// content reads a file and stores it.
func (t *tarTree) content(header *tar.Header, r io.Reader, node *tarNode) error {
	if t.size += header.Size; t.limit > 0 && t.size > t.limit {
		return &SizeError{Size: t.size, Max: t.limit}
	}
	file := &tarFile{names: 1}
	file.entry.Type, file.entry.Mode, file.entry.Size = artifacts.TypeFile, node.entry.Mode, header.Size
	file.entry.ModTime = node.modTime
	node.file = file
	t.chunker.Reset(r)
	content, whole, err := t.chunker.Whole()
	if err != nil {
		return tarError(header.Name, err)
	}
	if !whole {
		file.entry.Content, err = t.large(header)
		return err
	}
	if len(content) == 0 {
		return nil
	}
	file.entry.Content = artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum(content)}
	return t.ingestion.add(file.entry.Content, content)
}

// large stores a file in chunks.
func (t *tarTree) large(header *tar.Header) (artifacts.Key, error) {
	var chunks []artifacts.Chunk
	for {
		chunk, err := t.chunker.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return artifacts.Key{}, tarError(header.Name, err)
		}
		key := artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum(chunk)}
		if err := t.ingestion.add(key, chunk); err != nil {
			return artifacts.Key{}, err
		}
		chunks = append(chunks, artifacts.Chunk{Digest: key.Digest, Size: int32(len(chunk))})
	}
	list := artifacts.EncodeList(chunks)
	if len(list) > artifacts.MaxObject {
		return artifacts.Key{}, refuse(header, "it is too large for an artifact")
	}
	key := artifacts.Key{Kind: artifacts.KindList, Digest: artifacts.Sum(list)}
	return key, t.ingestion.add(key, list)
}

func (t *tarTree) hardLink(header *tar.Header, node *tarNode) error {
	target, err := tarPath(header, header.Linkname)
	if err != nil {
		return err
	}
	linked := t.find(target)
	if linked == nil || linked.file == nil {
		return refuse(header, "it is a hard link to %q, which is no file before it", header.Linkname)
	}
	node.file = linked.file
	node.file.names++
	return nil
}

func (t *tarTree) find(name string) *tarNode {
	node := &t.top
	if name == "" {
		return node
	}
	for part := range strings.SplitSeq(name, "/") {
		if node = node.children[part]; node == nil {
			return nil
		}
	}
	return node
}

// parent gives the directory that name is in, made with all above it if need be.
func (t *tarTree) parent(header *tar.Header, name string) (*tarNode, string, error) {
	node := &t.top
	for {
		part, rest, more := strings.Cut(name, "/")
		if !more {
			return node, name, nil
		}
		child := node.children[part]
		if child == nil {
			child = &tarNode{entry: artifacts.Entry{Type: artifacts.TypeDirectory, Mode: 0o755}}
			node.set(part, child)
		}
		if child.entry.Type != artifacts.TypeDirectory {
			return nil, "", refuse(header, "%q in its path is no directory", part)
		}
		node, name = child, rest
	}
}

func (n *tarNode) set(name string, child *tarNode) {
	if n.children == nil {
		n.children = make(map[string]*tarNode)
	}
	n.children[name] = child
}

// place gives a node its name. What had the name before is replaced, unless it is
// a directory with something in it.
func (t *tarTree) place(header *tar.Header, name string, node *tarNode) error {
	if name == "" {
		return refuse(header, "it takes the place of the top directory")
	}
	parent, base, err := t.parent(header, name)
	if err != nil {
		return err
	}
	if old := parent.children[base]; old != nil {
		if len(old.children) > 0 {
			return refuse(header, "it takes the place of a directory that is not empty")
		}
		if old.file != nil {
			old.file.names--
		}
	}
	parent.set(base, node)
	return nil
}

func (n *tarNode) names() []string {
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// link finds the first name of each file that has several, in the order of the tree.
func (t *tarTree) link(node *tarNode, at string) {
	for _, name := range node.names() {
		child := node.children[name]
		if child.children != nil {
			t.link(child, path.Join(at, name))
		}
		if child.file == nil || child.file.names < 2 {
			continue
		}
		if t.groups == nil {
			t.groups = make(map[*tarFile]string)
		}
		if first, ok := t.groups[child.file]; ok {
			child.entry.Link = first
		} else {
			t.groups[child.file] = path.Join(at, name)
		}
	}
}

// encode stores the objects of a directory and all below it.
func (t *tarTree) encode(node *tarNode) (digest artifacts.Digest, size, files int64, err error) {
	entries := make([]artifacts.Entry, 0, len(node.children))
	for _, name := range node.names() {
		child := node.children[name]
		e := child.entry
		if child.file != nil {
			e = child.file.entry
			e.Link = child.entry.Link
		} else {
			e.ModTime = child.modTime
		}
		e.Name = name
		if e.Type == artifacts.TypeDirectory {
			e.Content.Kind = artifacts.KindTree
			if e.Content.Digest, e.Size, e.Files, err = t.encode(child); err != nil {
				return artifacts.Digest{}, 0, 0, err
			}
		}
		entries = append(entries, e)
	}
	objects := artifacts.EncodeTree(entries)
	size, files = artifacts.Totals(entries)
	return objects[0].Digest, size, files, t.ingestion.addTrees(objects)
}
