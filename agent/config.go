package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Config is what a supervisor is told about its container.
type Config struct {
	// ID is what the OCI runtime calls the container.
	ID string `json:"id"`
	// Runtime is the OCI runtime's program, RuntimeRoot where it keeps its state.
	Runtime     string `json:"runtime"`
	RuntimeRoot string `json:"runtime_root"`
	// Cgroup is the container's cgroup, as an absolute path below every hierarchy's root.
	Cgroup string `json:"cgroup"`
	// Mounts are made, in order, before the runtime makes the container.
	Mounts []Mount `json:"mounts,omitempty"`

	// WorkingDir, Env and User are what processes have that do not say otherwise.
	WorkingDir string   `json:"working_dir"`
	Env        []string `json:"env,omitempty"`
	User       string   `json:"user,omitempty"`
	// Own are directories inside that are given to the user who writes there.
	Own        []string `json:"own,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
}

// WriteConfig writes the configuration into the container's directory.
func WriteConfig(dir string, config Config) error {
	return writeJSON(filepath.Join(dir, configFile), config)
}

// ReadConfig reads it from there. That there is none is an fs.ErrNotExist.
func ReadConfig(dir string) (Config, error) {
	return readJSON[Config](filepath.Join(dir, configFile))
}

// writeJSON writes a file as a whole or not at all.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, b, 0o600, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func readJSON[T any](path string) (T, error) {
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

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
