package server

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Restore unpacks a backup into a data dir, which must not be there or be empty. On an error
// it is so again: no server is to be started on half of a backup. One of a version before
// backups told what they hold is whole, but may be damaged: of such a one checked is false.
func Restore(backup io.Reader, dataDir string) (checked bool, err error) {
	entries, err := os.ReadDir(dataDir)
	if err == nil && len(entries) > 0 {
		return false, fmt.Errorf("there is something in %s: restore into a directory that is empty or not there", dataDir)
	}
	made := errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return false, fmt.Errorf("make the data dir: %w", err)
	}
	root, err := os.OpenRoot(dataDir)
	if err != nil {
		return false, fmt.Errorf("open the data dir: %w", err)
	}
	if checked, err = unpack(root, backup); err != nil {
		err = errors.Join(fmt.Errorf("restore the backup into %s: %w", dataDir, err), removeUnpacked(root, made))
	}
	return checked, errors.Join(err, root.Close())
}

var (
	errBackupCut     = errors.New("it ends too soon: a part of it is missing; copy it once more from where it was made, or take another")
	errBackupDamaged = errors.New("it is damaged: it does not hold what was written into it; copy it once more from where it was made, or take another")
)

// tarEnd is how many bytes of zeros end a tar archive.
const tarEnd = 1024

// unpack unpacks a backup to its end, and tells whether that says what there is to be.
func unpack(root *os.Root, backup io.Reader) (checked bool, err error) {
	read := &countingReader{reader: backup}
	archive, holds := tar.NewReader(read), newBackupHolds()
	for {
		before := read.count
		header, err := archive.Next()
		if err == io.EOF && holds.entries > 0 && read.count-before >= tarEnd {
			return checked, nil
		}
		switch {
		case err != nil:
		case checked:
			return false, errBackupDamaged // there is something behind its end
		case header.Name == backupEndName:
			checked, err = true, checkBackup(archive, holds)
		default:
			err = restoreEntry(root, header, holds.add(header, archive))
		}
		switch {
		case errors.Is(err, tar.ErrHeader):
			return false, errors.New("it is no tar archive, or damaged")
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return false, errBackupCut
		case err != nil:
			return false, err
		}
	}
}

// checkBackup compares what a backup says that it holds with what was read.
func checkBackup(content io.Reader, holds *backupHolds) error {
	text, err := io.ReadAll(io.LimitReader(content, 4<<10))
	if err != nil {
		return err
	}
	var end backupEnd
	if err := json.Unmarshal(text, &end); err != nil || end != holds.end() {
		return errBackupDamaged
	}
	return nil
}

// countingReader counts what is read.
type countingReader struct {
	reader io.Reader
	count  int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.reader.Read(p)
	r.count += int64(n)
	return n, err
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
