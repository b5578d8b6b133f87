package main

import (
	"os"
	"path/filepath"

	"midge/client"
	"midge/runtime/runc/rootless"
)

// defaultDataDir is root's, or an ordinary user's own: see
// https://specifications.freedesktop.org/basedir-spec.
func defaultDataDir() string {
	if !rootless.Ordinary() {
		return "/var/lib/midge"
	}
	if base := os.Getenv("XDG_DATA_HOME"); base != "" {
		return filepath.Join(base, "midge")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "midge" // below the working directory, which is all there is
	}
	return filepath.Join(home, ".local/share/midge")
}

// defaultSocket is where midge looks for it.
func defaultSocket() string {
	if socket := client.OwnSocket(os.Getenv); rootless.Ordinary() && socket != "" {
		return socket
	}
	return client.LocalSocket
}
