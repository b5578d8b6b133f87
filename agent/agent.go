// Package agent supervises the processes of a container: one supervisor process a
// container, on the machine that the container is on.
//
// The supervisor is started detached, and does not end with the server that
// started it. It mounts the container's file systems in a mount namespace of its
// own, has an OCI runtime make the container, and has the container's first process
// (package pid1) start the task and every hijacked process. It owns their standard
// input, output and terminals, spools their output to disk (package spool), records
// their exit statuses there, and serves a unix socket by which a server, or the one
// that comes back after it, runs, follows, feeds and ends them.
//
// A supervisor lives as long as its container is up: it ends when it was told to
// stop the container and when the container's first process has ended. Then no
// process, mount or cgroup of the container is left, and what there is to know is
// on disk: a Client reads a process's output and exit status from there alike.
//
// The package knows nothing of images, artifacts or builds: it is told what to
// mount, and finds the runtime's configuration ready in the container's directory.
package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Files of a container's directory that are the agent's. The runtime's config.json
// and what is to be mounted lie beside them.
const (
	configFile  = "agent.json"
	lockFile    = "agent.lock"
	socketFile  = "agent.sock"
	logFile     = "agent.log"
	pidFile     = "init.pid"
	processDir  = "processes"
	specFile    = "process.json" // of a process
	spoolDir    = "output"
	exitFile    = "exit.json"
	usageFile   = "usage.json"
	runtimeLogs = "runtime.log"
)

// Names of the program's modes, its first argument.
const (
	// ModeSupervise is the supervisor of the container whose directory is the second
	// argument. The others name the namespaces that it has inherited.
	ModeSupervise = "supervise"
	// ModeInit is the first process of a container.
	ModeInit = "init"
	// ModeTry makes, as a supervisor would, the mounts of the container whose directory
	// is the second argument, and ends.
	ModeTry = "try"
	// ModeHold gives back on standard output what it reads, until standard input ends: a
	// namespace, or a cgroup, lives as long.
	ModeHold = "hold"
)

// Files that a supervisor inherits.
const (
	// readyDescriptor is the pipe on which it tells whoever started it that the
	// container is up, or why it is not.
	readyDescriptor = 3
	// namespaceDescriptor is the first namespace.
	namespaceDescriptor = 4
)

// Namespaces are made before a container, for it to have. nil ones are the machine's.
type Namespaces struct {
	// Users is not the container's own, but has the same users.
	Users   *os.File
	Network *os.File
}

// named gives the namespaces that there are, under the names of a supervisor's arguments.
func (n Namespaces) named() (names []string, files []*os.File) {
	for _, one := range []struct {
		name string
		file *os.File
	}{{"users", n.Users}, {"network", n.Network}} {
		if one.file != nil {
			names, files = append(names, one.name), append(files, one.file)
		}
	}
	return names, files
}

// inheritedNamespaces takes over the namespaces of these names.
func inheritedNamespaces(names []string) (Namespaces, error) {
	var n Namespaces
	for i, name := range names {
		unix.CloseOnExec(namespaceDescriptor + i)
		file := os.NewFile(uintptr(namespaceDescriptor+i), name)
		switch name {
		case "users":
			n.Users = file
		case "network":
			n.Network = file
		default:
			return n, fmt.Errorf("%q is no namespace of a container", name)
		}
	}
	return n, nil
}

// ValidID tells whether a container or a process may be called that: 1 to 64 of a-z, 0-9 and '-'.
func ValidID(id string) bool {
	return len(id) >= 1 && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// processPath gives a process's directory in its container's.
func processPath(dir, id string) (string, error) {
	if !ValidID(id) {
		return "", &Error{Kind: ErrorSpec, Message: fmt.Sprintf("%q is no id of a process: it is 1 to 64 of a-z, 0-9 and '-'", id)}
	}
	return filepath.Join(dir, processDir, id), nil
}
