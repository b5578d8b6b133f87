package pod

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"midge/agent"
	"midge/runtime"
)

// A Config says what the container's processes have that do not say otherwise, and
// what volumes there are.
type Config struct {
	// Dir is the working directory, absolute.
	Dir string `json:"dir"`
	// Env is added to what the image sets.
	Env []string `json:"env,omitempty"`
	// User is "" for the one that the container runs as.
	User       string   `json:"user,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
	Volumes    []Volume `json:"volumes,omitempty"`
}

// A Volume is a directory of the container.
type Volume struct {
	// Path is where the container sees it.
	Path string `json:"path"`
	// Own has it given to the user that a process runs as.
	Own bool `json:"own,omitempty"`
}

// State says how far the container is.
type State struct {
	// Ready tells that it was configured, and so that all its inputs are there.
	Ready bool `json:"ready"`
	// User is who its first process runs as.
	User int `json:"user"`
}

// offset is the answer to a write.
type offset struct {
	Offset int64 `json:"offset"`
}

// kind says what an error is at the other end, besides those of package agent.
const (
	kindLost     = "lost"
	kindTar      = "tar"
	kindNoPath   = "no-path"
	kindOther    = "other"
	kindNoVolume = "no-volume"
)

// A failure is an error on its way.
type failure struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	// Path is agent.Error's, a tar stream's entry, the process of a LostError, or what is not there.
	Path  string `json:"path,omitempty"`
	Found bool   `json:"found,omitempty"`
}

func failureOf(err error) failure {
	if e := (*agent.Error)(nil); errors.As(err, &e) {
		return failure{Kind: string(e.Kind), Message: e.Message, Path: e.Path, Found: e.Found}
	}
	if e := (*agent.LostError)(nil); errors.As(err, &e) {
		return failure{Kind: kindLost, Message: e.Error(), Path: e.Process}
	}
	if e := (*runtime.TarError)(nil); errors.As(err, &e) {
		return failure{Kind: kindTar, Message: e.Err.Error(), Path: e.Entry}
	}
	if e := (*runtime.NotFoundError)(nil); errors.As(err, &e) {
		if e.Kind == "volume" {
			return failure{Kind: kindNoVolume, Message: e.Error(), Path: e.Name}
		}
		return failure{Kind: kindNoPath, Message: e.Error(), Path: e.Name}
	}
	return failure{Kind: kindOther, Message: err.Error()}
}

func (f failure) err() error {
	switch f.Kind {
	case kindLost:
		return &agent.LostError{Process: f.Path}
	case kindTar:
		return &runtime.TarError{Entry: f.Path, Err: errors.New(f.Message)}
	case kindNoPath:
		return &runtime.NotFoundError{Kind: "path", Name: f.Path}
	case kindNoVolume:
		return &runtime.NotFoundError{Kind: "volume", Name: f.Path}
	case kindOther:
		return errors.New(f.Message)
	default:
		return &agent.Error{Kind: agent.ErrorKind(f.Kind), Message: f.Message, Path: f.Path, Found: f.Found}
	}
}

// statusFailed is the status of an answer that is a failure. Any other but 200 is not
// of the first process's making.
const statusFailed = http.StatusUnprocessableEntity

func writeFailure(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusFailed)
	// One that is gone does not learn of it.
	_ = json.NewEncoder(w).Encode(failureOf(err))
}

// limit bounds an answer that is JSON, in bytes.
const limit = 64 << 20

func decode[T any](ctx context.Context, r io.Reader) (T, error) {
	var v T
	err := json.NewDecoder(io.LimitReader(r, limit)).Decode(&v)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return v, err
}
