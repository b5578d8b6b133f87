// Package cgroup2vm runs programs in a small emulated machine whose kernel has the
// unified cgroup hierarchy, for tests on a machine that has the old ones, or both.
package cgroup2vm

import (
	"os/exec"
	"path/filepath"
	"testing"

	"midge/test/source"
)

// Machine says what is to be found in the machine. It has busybox, and a disk of
// 256 MiB at /disk; all other files are lost with it.
type Machine struct {
	// Files are copied to the same path, with the libraries they link, Directories
	// with all that is below them.
	Files, Directories []string
	// Dir is where the command runs, "" being /root.
	Dir string
}

// Run runs a command in the machine and gives what it printed, on both streams. A
// command that fails there fails the test.
func (m Machine) Run(t testing.TB, command ...string) string {
	t.Helper()
	var args []string
	for _, file := range m.Files {
		args = append(args, "-f", file)
	}
	for _, directory := range m.Directories {
		args = append(args, "-d", directory)
	}
	if m.Dir != "" {
		args = append(args, "-C", m.Dir)
	}
	run := exec.CommandContext(t.Context(), filepath.Join(source.Dir(), "test/cgroup2vm/run.sh"), append(append(args, "--"), command...)...)
	output, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("in the machine %v: %v\n%s", command, err, output)
	}
	return string(output)
}

// BuildTest builds the tests of a package, "./usage" for one, as a program that
// needs nothing else, and gives its path.
func BuildTest(t testing.TB, path string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(path)+".test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, path)
	build.Dir = source.Dir()
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests of %s: %v\n%s", path, err, output)
	}
	return program
}
