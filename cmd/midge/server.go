package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newServerCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "server [flags]",
		GroupID: groupTargets,
		Short:   "Run a server on this machine",
		Long: `Run a server on this machine: midge-server, which lies beside midge or on the PATH. All that
follows is for it; see midge server --help.`,
		DisableFlagParsing: true,
		Args:               cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			path, err := findServer()
			if err != nil {
				return err
			}
			return runInstead(path, args)
		},
	}
}

// findServer gives the path of midge-server.
func findServer() (string, error) {
	if self, err := executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), "midge-server")); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("midge-server")
	if errors.Is(err, exec.ErrDot) || errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("midge-server is neither beside midge nor on the PATH; build it with: make build")
	}
	if err != nil {
		return "", fmt.Errorf("find midge-server: %w", err)
	}
	return path, nil
}
