package main

import (
	"github.com/spf13/cobra"

	"midge/api"
)

func newVersionCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		GroupID: groupTargets,
		Short:   "Tell the version of this program",
		RunE: func(command *cobra.Command, args []string) error {
			if p.flags.json {
				return p.printJSON(map[string]string{"version": api.Version})
			}
			return p.tellVersion()
		},
	}
}
