package runc

import (
	"errors"
	"io/fs"
	"path/filepath"

	"midge/agent/record"
	"midge/runtime"
)

const recordFile = "container.json"

// A containerRecord is what the worker remembers of a container. It is written once the
// container is up: a container without one is half made.
type containerRecord struct {
	Handle  string   `json:"handle"`
	Volumes []volume `json:"volumes,omitempty"`
	// Image is the digest of the image of a store, "" when there is none.
	Image string `json:"image,omitempty"`
	// HostImage is the name of the host image that it has, "" when it has another.
	HostImage string `json:"host_image,omitempty"`
	// Network is the id of its namespace on the bridge, "" when there is none.
	Network    string `json:"network,omitempty"`
	Privileged bool   `json:"privileged,omitempty"`
	// Made are the files that the worker itself has put among the container's, and
	// when they were last changed then, in nanoseconds, by path inside.
	Made map[string]int64 `json:"made,omitempty"`
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
	// Mounted is where the container's supervisor has mounted it, on the stage.
	Mounted string `json:"mounted"`
	// Mapped tells that the container has a user namespace.
	Mapped bool `json:"mapped,omitempty"`
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
func (w *Worker) readRecord(handle string) (containerRecord, error) {
	r, err := record.Read[containerRecord](filepath.Join(w.containerDir(handle), recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = &runtime.NotFoundError{Kind: "container", Name: handle}
	}
	return r, err
}

func (w *Worker) writeRecord(r containerRecord) error {
	return record.Write(filepath.Join(w.containerDir(r.Handle), recordFile), r)
}

// records reads the records of all containers that have one.
func (w *Worker) records() ([]containerRecord, error) {
	handles, err := names(w.path("containers"))
	if err != nil {
		return nil, err
	}
	var all []containerRecord
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
