package runc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"midge/runtime"
)

const recordFile = "container.json"

// A record is what the worker remembers of a container. It is written once the
// container is up: a container without one is half made.
type record struct {
	Handle  string   `json:"handle"`
	Volumes []volume `json:"volumes,omitempty"`
}

// A volume is a directory that a container mounts.
type volume struct {
	Handle string `json:"handle"`
	// Path is as it stands in the spec, Target what it means inside.
	Path   string     `json:"path"`
	Target string     `json:"target"`
	Kind   volumeKind `json:"kind"`
	// Dir is what the container writes: all there is, or what differs from Lower.
	Dir   string `json:"dir"`
	Lower string `json:"lower,omitempty"`
	// Merged is where the container's supervisor has mounted both, when there is a Lower.
	Merged string `json:"merged,omitempty"`
	// Parent is the handle of the artifact or volume that Lower is.
	Parent string `json:"parent,omitempty"`
	// Key is a cache's.
	Key string `json:"key,omitempty"`
}

type volumeKind string

const (
	inputVolume  volumeKind = "input"
	outputVolume volumeKind = "output"
	cacheVolume  volumeKind = "cache"
)

// readRecord reads a container's record. One that has none is a *runtime.NotFoundError.
func (w *Worker) readRecord(handle string) (record, error) {
	b, err := os.ReadFile(filepath.Join(w.containerDir(handle), recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, &runtime.NotFoundError{Kind: "container", Name: handle}
	}
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, fmt.Errorf("read the record of container %s: %w", handle, err)
	}
	return r, nil
}

func (w *Worker) writeRecord(r record) error {
	return writeJSON(filepath.Join(w.containerDir(r.Handle), recordFile), r)
}

// writeJSON writes a file as a whole or not at all.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return renameio.WriteFile(path, b, 0o600, renameio.WithTempDir(filepath.Dir(path)))
}

// records reads the records of all containers that have one.
func (w *Worker) records() ([]record, error) {
	handles, err := names(w.path("containers"))
	if err != nil {
		return nil, err
	}
	var all []record
	for _, handle := range handles {
		r, err := w.readRecord(handle)
		if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}
