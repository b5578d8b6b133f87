package server

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// backupDirs are the directories of the data dir that a backup has, besides the
// database. Containers and sessions are of the machine they run on.
var backupDirs = []string{logsDir, treesDir, tracesDir}

// notInBackup are directories below those whose contents are made anew when they are
// not there.
var notInBackup = map[string]bool{filepath.Join(treesDir, "trees"): true, filepath.Join(treesDir, "tmp"): true}

// backup sends the data dir as a tar archive, as it is at one moment while the server
// goes on: unpacked into an empty data dir it makes a server with the same history. The
// database comes first: what it names is in the files that follow, because those are
// written before it names them, and are not removed while a backup is made.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	snapshot := filepath.Join(s.dir.path, fmt.Sprintf("backup-%d.db", time.Now().UnixNano()))
	defer func() {
		if err := os.Remove(snapshot); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("the copy of the database for a backup is left", "path", snapshot, "error", err)
		}
	}()
	if err := s.database.Copy(r.Context(), snapshot); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-tar")
	b := &backupWriter{archive: tar.NewWriter(w), holds: newBackupHolds()}
	err := b.addFile(snapshot, filepath.Base(s.dir.databasePath()))
	for _, dir := range backupDirs {
		if err == nil {
			err = b.addDir(s.dir.path, dir)
		}
	}
	if err == nil {
		err = b.close()
	}
	if err != nil {
		if r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "a backup failed", "error", err)
		}
		// Half a backup must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
}

// backupEndName is the name of the last entry of a backup, which tells what the others are.
// None of the data dir has it.
const backupEndName = "backup.json"

// backupEnd is the content of the last entry.
type backupEnd struct {
	Entries int    `json:"entries"` // before it
	SHA256  string `json:"sha256"`  // of their names, sizes and contents, in hexadecimal
}

// backupHolds is what a backup holds as far as it has been written or read.
type backupHolds struct {
	entries int
	digest  hash.Hash
}

func newBackupHolds() *backupHolds { return &backupHolds{digest: sha256.New()} }

// add takes in an entry. What is read of its content goes through the reader that it gives.
func (h *backupHolds) add(header *tar.Header, content io.Reader) io.Reader {
	h.entries++
	fmt.Fprintf(h.digest, "%q %d\n", header.Name, header.Size)
	return io.TeeReader(content, h.digest)
}

func (h *backupHolds) end() backupEnd {
	return backupEnd{Entries: h.entries, SHA256: hex.EncodeToString(h.digest.Sum(nil))}
}

// backupWriter writes a backup.
type backupWriter struct {
	archive *tar.Writer
	holds   *backupHolds
}

// add adds an entry with its content.
func (b *backupWriter) add(header *tar.Header, content io.Reader) error {
	if err := b.archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(b.archive, b.holds.add(header, content))
	return err
}

// close writes the end, without which a backup is none.
func (b *backupWriter) close() error {
	end, err := json.Marshal(b.holds.end())
	if err != nil {
		return err
	}
	header := &tar.Header{Name: backupEndName, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(end))}
	return errors.Join(b.add(header, bytes.NewReader(end)), b.archive.Close())
}

// addDir adds a directory below top and all in it.
func (b *backupWriter) addDir(top, dir string) error {
	return filepath.WalkDir(filepath.Join(top, dir), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was not there, or is a temporary file that has gone
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && notInBackup[name]:
			return filepath.SkipDir
		case entry.IsDir():
			return b.add(&tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o700}, bytes.NewReader(nil))
		case entry.Type().IsRegular() && entry.Name() != "lock":
			return b.addFile(path, name)
		}
		return nil
	})
}

// addFile adds a file as long as it is now, though it may grow meanwhile.
func (b *backupWriter) addFile(path, name string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: filepath.ToSlash(name), Typeflag: tar.TypeReg, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime()}
	if err := b.add(header, io.LimitReader(file, info.Size())); err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	return nil
}
