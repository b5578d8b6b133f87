package image

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"midge/runtime/archive/compression"
)

// A layer lies in layers/<name>/: fs has its files, layer.json what unpacking it found out.
const (
	layerFiles = "fs"
	layerFacts = "layer.json"
)

// facts is what unpacking a layer finds out about it.
type facts struct {
	// Implied are directories that the layer has files in and no entry for. Their
	// modes and owners are those of the layers below.
	Implied []string `json:"implied,omitempty"`
}

// layerName names a layer by the digest of its uncompressed tar. It is short,
// because all names of an image have to fit into the one page that mount takes.
func layerName(diffID v1.Hash) string { return diffID.Hex[:24] }

// unpack puts a layer's files into the store, unless it has them, from the stream
// that open gives. The stream may be compressed with gzip or zstd.
func (s *Store) unpack(ctx context.Context, diffID v1.Hash, open func(context.Context) (io.ReadCloser, error)) error {
	name := layerName(diffID)
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	final := filepath.Join(s.dir, "layers", name)
	if there, err := exists(final); there || err != nil {
		return err
	}
	temporary, err := s.temporary(name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	files := filepath.Join(temporary, layerFiles)
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	stream, err := open(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	found, err := s.apply(ctx, diffID, files, stream)
	if err != nil {
		return err
	}
	text, err := json.Marshal(found)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temporary, layerFacts), text, 0o600); err != nil {
		return err
	}
	if err := syncFiles(temporary); err != nil {
		return err
	}
	return os.Rename(temporary, final)
}

// apply unpacks a stream into dir and checks that it is the layer that diffID names.
func (s *Store) apply(ctx context.Context, diffID v1.Hash, dir string, stream io.Reader) (facts, error) {
	plain, _, err := compression.Undo(stream)
	if err != nil {
		return facts{}, err
	}
	defer plain.Close()
	hash := sha256.New()
	hashed := bufio.NewReaderSize(io.TeeReader(plain, hash), 1<<16)
	entries := newEntries()
	convert := archive.OverlayConvertWhiteout
	if s.options.UserXattr {
		convert = userWhiteout
	}
	_, err = archive.Apply(ctx, dir, hashed, archive.WithFilter(entries.see), archive.WithConvertWhiteout(convert))
	if err != nil {
		return facts{}, err
	}
	// What follows the end of the archive counts for the digest too.
	if _, err := io.Copy(io.Discard, hashed); err != nil {
		return facts{}, err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != diffID.Hex {
		return facts{}, fmt.Errorf("the layer's content has the digest sha256:%s, not %s as the image says", got, diffID)
	}
	return facts{Implied: entries.implied()}, nil
}

// userWhiteout is archive.OverlayConvertWhiteout for overlays with userxattr.
func userWhiteout(header *tar.Header, name string) (bool, error) {
	if filepath.Base(name) == ".wh..wh..opq" {
		return false, unix.Setxattr(filepath.Dir(name), "user.overlay.opaque", []byte{'y'}, 0)
	}
	return archive.OverlayConvertWhiteout(header, name)
}

// entries collects the names in a layer.
type entries struct {
	explicit map[string]bool // everything that has an entry
	parents  map[string]bool // every directory above an entry
}

func newEntries() *entries {
	return &entries{explicit: make(map[string]bool), parents: make(map[string]bool)}
}

// see takes note of an entry; it refuses what cannot be unpacked by itself.
func (e *entries) see(header *tar.Header) (bool, error) {
	name := path.Join("/", header.Name)
	if header.Typeflag == tar.TypeLink {
		if target := path.Join("/", header.Linkname); !e.explicit[target] {
			return false, fmt.Errorf("%q is a hard link to %q, which is not in the same layer", header.Name, header.Linkname)
		}
	}
	e.explicit[name] = true
	for dir := path.Dir(name); dir != "/" && !e.parents[dir]; dir = path.Dir(dir) {
		e.parents[dir] = true
	}
	return true, nil
}

func (e *entries) implied() []string {
	var dirs []string
	for dir := range e.parents {
		if !e.explicit[dir] {
			dirs = append(dirs, strings.TrimPrefix(dir, "/"))
		}
	}
	slices.Sort(dirs)
	return dirs
}

// syncFiles makes everything below dir survive a power cut.
func syncFiles(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(file.Fd())))
}
