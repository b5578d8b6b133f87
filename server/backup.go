package server

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
	archive := tar.NewWriter(w)
	err := addFile(archive, snapshot, filepath.Base(s.dir.databasePath()))
	for _, dir := range backupDirs {
		if err == nil {
			err = addDir(archive, s.dir.path, dir)
		}
	}
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		if r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "a backup failed", "error", err)
		}
		// Half a backup must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
}

// addDir adds a directory below top and all in it.
func addDir(archive *tar.Writer, top, dir string) error {
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
			return archive.WriteHeader(&tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o700})
		case entry.Type().IsRegular() && entry.Name() != "lock":
			return addFile(archive, path, name)
		}
		return nil
	})
}

// addFile adds a file as long as it is now, though it may grow meanwhile.
func addFile(archive *tar.Writer, path, name string) error {
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
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.Copy(archive, io.LimitReader(file, info.Size())); err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	return nil
}

// Restore unpacks a backup into a data dir, which must not be there or be empty. On an error
// it is so again: no server is to be started on half of a backup.
func Restore(backup io.Reader, dataDir string) (err error) {
	entries, err := os.ReadDir(dataDir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("there is something in %s: restore into a directory that is empty or not there", dataDir)
	}
	made := errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return fmt.Errorf("make the data dir: %w", err)
	}
	root, err := os.OpenRoot(dataDir)
	if err != nil {
		return fmt.Errorf("open the data dir: %w", err)
	}
	if err = unpack(root, backup); err != nil {
		err = errors.Join(fmt.Errorf("restore the backup into %s: %w", dataDir, err), removeUnpacked(root, made))
	}
	return errors.Join(err, root.Close())
}

func unpack(root *os.Root, backup io.Reader) error {
	for archive, files := tar.NewReader(backup), 0; ; files++ {
		header, err := archive.Next()
		if err == io.EOF && files > 0 {
			return nil
		}
		if err == nil {
			err = restoreEntry(root, header, archive)
		}
		switch {
		case errors.Is(err, tar.ErrHeader):
			return errors.New("it is no tar archive, or damaged")
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("it ends too soon: a part of it is missing")
		case err != nil:
			return err
		}
	}
}

// removeUnpacked removes what is in a directory, and the directory if it was made.
func removeUnpacked(root *os.Root, made bool) error {
	if made {
		return os.RemoveAll(root.Name())
	}
	entries, err := os.ReadDir(root.Name())
	for _, entry := range entries {
		err = errors.Join(err, root.RemoveAll(entry.Name()))
	}
	return err
}

func restoreEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	name := strings.TrimSuffix(header.Name, "/")
	if header.Typeflag == tar.TypeDir {
		return root.MkdirAll(name, 0o700)
	}
	if header.Typeflag != tar.TypeReg {
		return fmt.Errorf("%q is no file", header.Name)
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
