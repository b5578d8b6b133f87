package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"midge/artifacts"
	"midge/artifacts/scan"
)

// objects is a directory of objects that any number of fetches share, in this process
// and in others, each object in a file of its own. What is there is verified when it
// is read, and what cannot be kept there costs a later fetch some bytes, and no more.
type objects struct {
	dir   string
	empty bool // when it was opened
}

// Times of objects that nobody uses. The time of a file is when it was used last, to
// the day.
const (
	objectsUnused    = 7 * 24 * time.Hour
	objectsPrecision = 24 * time.Hour
	objectsCollected = time.Hour // between two collections
)

// openObjects opens the objects in dir, made if it is not there; "" keeps none.
func openObjects(dir string) (*objects, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	o := &objects{dir: dir}
	_, err := os.Stat(filepath.Join(dir, strconv.Itoa(int(artifacts.KindTree))))
	o.empty = errors.Is(err, fs.ErrNotExist)
	return o, nil
}

// path gives where an object is, and the directory of that.
func (o *objects) path(key artifacts.Key) (dir, path string) {
	name := key.Digest.String()
	dir = filepath.Join(o.dir, strconv.Itoa(int(key.Kind)), name[:2])
	return dir, filepath.Join(dir, name)
}

// get gives the record of an object that is there.
func (o *objects) get(key artifacts.Key) (record []byte, ok bool) {
	_, path := o.path(key)
	file, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() > artifacts.MaxObject {
		return nil, false
	}
	record = make([]byte, info.Size())
	if _, err := file.ReadAt(record, 0); err != nil {
		return nil, false
	}
	if artifacts.VerifyRecord(key, record) != nil {
		_ = os.Remove(path)
		return nil, false
	}
	used(path, info)
	return record, true
}

// used notes that an object is used.
func used(path string, info fs.FileInfo) {
	if now := time.Now(); now.Sub(info.ModTime()) > objectsPrecision {
		_ = os.Chtimes(path, now, now)
	}
}

// put keeps the record of an object, which was verified.
func (o *objects) put(key artifacts.Key, record []byte) {
	dir, path := o.path(key)
	if info, err := os.Lstat(path); err == nil && info.Size() == int64(len(record)) {
		used(path, info)
		return
	}
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	file, err := os.CreateTemp(o.dir, newObject)
	if err != nil {
		return
	}
	_, err = file.Write(record)
	if errors.Join(err, file.Close()) == nil && os.Rename(file.Name(), path) == nil {
		return
	}
	_ = os.Remove(file.Name())
}

// putTree keeps the objects that stand for the directories of a tree. Those of its
// files come as they are read.
func (o *objects) putTree(tree *scan.Tree) {
	for d := range tree.Directories() {
		for _, object := range d.Objects() {
			o.put(artifacts.Key{Kind: artifacts.KindTree, Digest: object.Digest}, object.Record())
		}
	}
}

const (
	newObject     = ".new-" // what the names of objects begin with that are being written
	collectedFile = ".collected"
)

// collect removes what nobody has used for a while, unless somebody has done so
// within the hour. One that somebody is about to read is fetched again.
func (o *objects) collect() {
	stamp := filepath.Join(o.dir, collectedFile)
	now := time.Now()
	if info, err := os.Stat(stamp); err == nil && now.Sub(info.ModTime()) < objectsCollected {
		return
	}
	if os.WriteFile(stamp, nil, 0o600) != nil || os.Chtimes(stamp, now, now) != nil {
		return
	}
	_ = filepath.WalkDir(o.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == stamp {
			return nil // another may have removed it
		}
		if info, err := entry.Info(); err == nil && now.Sub(info.ModTime()) > objectsUnused {
			_ = os.Remove(path)
		}
		return nil
	})
}
