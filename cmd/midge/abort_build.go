package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newAbortBuildCommand(p *program) *cobra.Command {
	var build string
	command := &cobra.Command{
		Use:     "abort-build -b BUILD",
		Aliases: []string{"ab"},
		GroupID: groupBuilds,
		Short:   "Abort a build",
		RunE: func(command *cobra.Command, args []string) error {
			if build == "" {
				return errors.New("name the build with -b, like: midge abort-build -b 12")
			}
			id, err := parseBuildID(build)
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.AbortBuild(command.Context(), id); err != nil {
				return err
			}
			p.report("build successfully aborted")
			return nil
		},
	}
	command.Flags().StringVarP(&build, "build", "b", "", "the `id` of the build")
	return command
}

// report tells that what was asked for is done.
func (p *program) report(format string, args ...any) {
	if !p.flags.quiet {
		fmt.Fprintf(p.stdout, format+"\n", args...)
	}
}
