package scan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"midge/artifacts"
)

// Cache remembers the digests of one directory's files between scans: path, size,
// times, inode and device stand for the content. A file that changed so shortly
// before the scan that another change might have left the same times is not
// remembered. A cache file that is damaged, or of another version, is as good as none.
//
// A Cache serves one Scan at a time.
type Cache struct {
	path string
	// Err says why the last scan could not be remembered; nil when it was. It costs
	// the next scan time, and nothing else.
	Err error

	clock func() time.Time
}

// OpenCache gives the cache kept in the file path, which need not exist.
func OpenCache(path string) *Cache { return &Cache{path: path, clock: time.Now} }

// CachePath gives the file for the cache of the directory dir below the user's
// cache directory base.
func CachePath(base, dir string) (string, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the absolute path of %q: %w", dir, err)
	}
	return filepath.Join(base, "scans", artifacts.Sum([]byte(absolute)).String()[:32]), nil
}

// cacheMagic begins a cache file; its last byte is the version of the format.
const cacheMagic = "midgesc\x01"

// Clocks of file systems tick in steps: those that keep whole seconds may be two
// seconds behind, the others a few milliseconds.
const (
	coarseTick = 2 * time.Second
	fineTick   = 50 * time.Millisecond
)

// cacheRun is the use of a cache by one scan.
type cacheRun struct {
	started     int64             // nanoseconds since 1970
	directories map[string][]byte // the entries of each directory, encoded
	count       int               // of files
}

// begin loads the cache.
func (c *Cache) begin() *cacheRun {
	run := &cacheRun{started: c.clock().UnixNano()}
	content, err := os.ReadFile(c.path)
	if err != nil || !run.load(content) {
		run.directories, run.count = nil, 0
	}
	return run
}

// load takes a cache file apart, and reports whether it is whole.
func (r *cacheRun) load(content []byte) bool {
	end := len(content) - artifacts.DigestSize
	if end < len(cacheMagic) || string(content[:len(cacheMagic)]) != cacheMagic ||
		artifacts.Sum(content[:end]) != artifacts.Digest(content[end:]) {
		return false
	}
	r.directories = make(map[string][]byte)
	for rest := content[len(cacheMagic):end]; len(rest) > 0; {
		path, ok := cutBytes(&rest)
		if !ok {
			return false
		}
		entries, ok := cutBytes(&rest)
		if !ok {
			return false
		}
		r.directories[string(path)] = entries
		for len(entries) > 0 {
			var e cachedEntry
			if entries, ok = e.decode(entries); !ok {
				return false
			}
			r.count++
		}
	}
	return true
}

func cutBytes(rest *[]byte) ([]byte, bool) {
	length, n := binary.Uvarint(*rest)
	if n <= 0 || length > uint64(len(*rest)-n) {
		return nil, false
	}
	taken := (*rest)[n : n+int(length)]
	*rest = (*rest)[n+int(length):]
	return taken, true
}

// cachedEntry is a remembered file. What follows the name has a fixed length.
type cachedEntry struct {
	name []byte
	info info
	key  artifacts.Key
}

const cachedFixed = 5*8 + 1 + artifacts.DigestSize

func (e *cachedEntry) decode(p []byte) (rest []byte, ok bool) {
	if e.name, ok = cutBytes(&p); !ok || len(p) < cachedFixed {
		return nil, false
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(p[8*i:]) }
	e.info = info{
		kind:  artifacts.TypeFile,
		size:  int64(number(0)),
		mtime: int64(number(1)),
		ctime: int64(number(2)),
		id:    fileID{number(3), number(4)},
	}
	e.key = artifacts.Key{Kind: artifacts.Kind(p[40]), Digest: artifacts.Digest(p[41:cachedFixed])}
	return p[cachedFixed:], true
}

func appendCached(b []byte, name string, i info, key artifacts.Key) []byte {
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(b, name...)
	for _, v := range [...]uint64{uint64(i.size), uint64(i.mtime), uint64(i.ctime), i.id.device, i.id.inode} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, byte(key.Kind))
	return append(b, key.Digest[:]...)
}

// cachedDir finds remembered files of one directory, asked for in order of name.
type cachedDir struct {
	rest    []byte
	current cachedEntry
	has     bool
}

func (r *cacheRun) directory(path string) cachedDir {
	d := cachedDir{rest: r.directories[path]}
	d.advance()
	return d
}

func (d *cachedDir) advance() {
	d.has = len(d.rest) > 0
	if d.has {
		d.rest, d.has = d.current.decode(d.rest)
	}
}

// find gives the key of a file, if it is remembered as what lstat tells now.
func (d *cachedDir) find(name string, i info, key *artifacts.Key) bool {
	for d.has && bytes.Compare(d.current.name, []byte(name)) < 0 {
		d.advance()
	}
	if !d.has || string(d.current.name) != name || !d.current.info.same(i) ||
		d.current.key.Kind != artifacts.ContentKind(i.size) {
		return false
	}
	*key = d.current.key
	return true
}

// settled reports whether a file's content cannot have changed since a scan that
// began at started without its times having changed too.
func settled(i info, started int64) bool {
	tick := fineTick
	if i.mtime%int64(time.Second) == 0 {
		tick = coarseTick
	}
	limit := int64(math.MinInt64)
	if started > limit+int64(tick) {
		limit = started - int64(tick)
	}
	return i.mtime < limit && i.ctime < limit
}

// end saves what the scan found, unless that is what the file says already.
func (c *Cache) end(run *cacheRun, tree *Tree) {
	content := []byte(cacheMagic)
	count := 0
	var entries []byte
	for d := range tree.Directories() {
		entries = entries[:0]
		for i, e := range d.d.entries {
			if e.Type == artifacts.TypeFile && e.Size > 0 && settled(d.d.infos[i], run.started) {
				entries = appendCached(entries, e.Name, d.d.infos[i], e.Content)
				count++
			}
		}
		if len(entries) > 0 {
			content = binary.AppendUvarint(content, uint64(len(d.Path())))
			content = append(content, d.Path()...)
			content = binary.AppendUvarint(content, uint64(len(entries)))
			content = append(content, entries...)
		}
	}
	if tree.Read == 0 && count == run.count {
		return
	}
	digest := artifacts.Sum(content)
	c.Err = ReplaceFile(c.path, append(content, digest[:]...))
}

// ReplaceFile writes beside path and renames, so that a reader sees all or nothing.
// It does not wait for the disk: what is kept so can be found anew.
func ReplaceFile(path string, content []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if removeErr := os.Remove(f.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
				err = errors.Join(err, removeErr)
			}
		}
	}()
	if _, err = f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
