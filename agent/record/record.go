// Package record keeps small facts on disk, as JSON, each in a file of its own.
//
// A file is written as a whole or not at all, whenever its writer is killed. It is
// not forced to the disk: what it is about, a container and its processes, does not
// outlive the machine either.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Write makes v the content of the file.
func Write(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	// Created for its owner alone.
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// reserved is what is added to the name of a file for which there is room.
const reserved = ".room"

// Reserve takes that many bytes of the disk for the file, which WriteReserved makes of
// them when the disk is full by then.
func Reserve(path string, bytes int64) error {
	f, err := os.OpenFile(path+reserved, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.Fallocate(int(f.Fd()), 0, 0, bytes)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, bytes))
	}
	if err != nil {
		return fmt.Errorf("reserve room for %s: %w", path, err)
	}
	return nil
}

// WriteReserved is Write for a file for which Reserve has taken the room.
func WriteReserved(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f, err := os.OpenFile(path+reserved, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Truncate(int64(len(b)))
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Read gives the content of the file. That there is none is an fs.ErrNotExist.
func Read[T any](path string) (T, error) {
	var v T
	b, err := os.ReadFile(path)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("read %s: %w", path, err)
	}
	return v, nil
}
