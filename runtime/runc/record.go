package runc

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"

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
	if err := record.Write(filepath.Join(w.containerDir(r.Handle), recordFile), r); err != nil {
		w.known.forget(r.Handle) // whichever is there now is read again
		return err
	}
	w.known.keep(r)
	return nil
}

// records gives the records of all containers that have one. It is asked for whenever a
// volume goes, and reads from the disk only what this worker has not read or written.
func (w *Worker) records() ([]containerRecord, error) {
	handles, err := names(w.path("containers"))
	if err != nil {
		return nil, err
	}
	var all []containerRecord
	for _, handle := range handles {
		r, err := w.known.get(handle, w.readRecord)
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

// knownRecords are records of containers as they are on the disk, by handle. The zero
// value has none.
type knownRecords struct {
	mu      sync.Mutex
	records map[string]containerRecord
	changes int // how often one was written or forgotten
}

// get gives the record that is known, or else the one that read gives.
func (k *knownRecords) get(handle string, read func(handle string) (containerRecord, error)) (containerRecord, error) {
	k.mu.Lock()
	r, known := k.records[handle]
	changes := k.changes
	k.mu.Unlock()
	if known {
		return r, nil
	}
	r, err := read(handle)
	if err != nil {
		return r, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	// What was written meanwhile is newer than what was read.
	if k.changes == changes {
		k.put(r)
	}
	return r, nil
}

// keep makes a record known that was written.
func (k *knownRecords) keep(r containerRecord) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	k.put(r)
}

func (k *knownRecords) put(r containerRecord) {
	if k.records == nil {
		k.records = make(map[string]containerRecord)
	}
	k.records[r.Handle] = r
}

func (k *knownRecords) forget(handle string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	delete(k.records, handle)
}
