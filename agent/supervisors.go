package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Supervisors finds the supervisors of the containers whose directories are, or were,
// directly in dir: by the name of that directory. Their caller releases them.
func Supervisors(dir string) (map[string]*os.Process, error) {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	supervisors := make(map[string]*os.Process)
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		// First, so that it is not another process of that number that is meant later.
		process, err := os.FindProcess(pid)
		if err != nil {
			return nil, fmt.Errorf("open process %d: %w", pid, err)
		}
		container, ok := supervised(filepath.Join(entry, "cmdline"))
		if !ok || filepath.Dir(container) != filepath.Clean(dir) {
			process.Release()
			continue
		}
		supervisors[filepath.Base(container)] = process
	}
	return supervisors, nil
}

// supervised gives the directory of the container whose supervisor has that command
// line, and false for any other process, or one that has ended.
func supervised(path string) (string, bool) {
	line, err := os.ReadFile(path)
	if err != nil {
		return "", false
	}
	args := bytes.Split(line, []byte{0})
	if len(args) < 3 || string(args[1]) != ModeSupervise {
		return "", false
	}
	return string(args[2]), true
}
