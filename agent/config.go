package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"midge/agent/quota"
	"midge/agent/record"
)

// Config is what a supervisor is told about its container.
type Config struct {
	// ID is what the OCI runtime calls the container.
	ID string `json:"id"`
	// Runtime is the OCI runtime's program.
	Runtime string `json:"runtime"`
	// Cgroup is the container's cgroup, as an absolute path below every hierarchy's root,
	// "" when it has none.
	Cgroup string `json:"cgroup"`
	// Stage is a directory of the machine in whose place, for the supervisor alone,
	// the container's file systems are mounted; Mounts are made there in order.
	Stage  string  `json:"stage"`
	Mounts []Mount `json:"mounts,omitempty"`
	// RootUID and RootGID are the machine's numbers of the container's root.
	RootUID int `json:"root_uid,omitempty"`
	RootGID int `json:"root_gid,omitempty"`
	// Rootfs is the root file system, MountPoints where in it the runtime will mount what.
	Rootfs      string       `json:"rootfs"`
	MountPoints []MountPoint `json:"mount_points,omitempty"`

	// WorkingDir, Env and User are what processes have that do not say otherwise.
	WorkingDir string   `json:"working_dir"`
	Env        []string `json:"env,omitempty"`
	User       string   `json:"user,omitempty"`
	// Entrypoint is run when a process has no path, with Arguments when it has none.
	Entrypoint []string `json:"entrypoint,omitempty"`
	Arguments  []string `json:"arguments,omitempty"`
	// Own are directories inside that are given to the user who writes there.
	Own        []string `json:"own,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`

	// Written are the directories of the machine in which lies what processes write to
	// files, DiskLimit how many bytes these and their output may take, 0 any number.
	Written   []string `json:"written,omitempty"`
	DiskLimit uint64   `json:"disk_limit,omitempty"`
	// DiskProject is the project that these files belong to, whose quota is DiskLimit; 0
	// where they have none.
	DiskProject quota.Project `json:"disk_project,omitempty"`
}

// WriteConfig writes the configuration into the container's directory.
func WriteConfig(dir string, config Config) error {
	return record.Write(filepath.Join(dir, configFile), config)
}

// ReadConfig reads it from there. That there is none is an fs.ErrNotExist.
func ReadConfig(dir string) (Config, error) {
	return record.Read[Config](filepath.Join(dir, configFile))
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
