package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newAbortBuildCommand(p *program) *cobra.Command {
	var choice buildChoice
	command := &cobra.Command{
		Use:     "abort-build -b BUILD",
		Aliases: []string{"ab"},
		GroupID: groupBuilds,
		Short:   "Abort a build",
		RunE: func(command *cobra.Command, args []string) error {
			if choice.build == "" {
				return errors.New("name the build with -b, like: midge abort-build -b 12")
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			id, err := choice.id(command.Context(), c)
			if err != nil {
				return err
			}
			if err := c.AbortBuild(command.Context(), id); err != nil {
				return err
			}
			p.report("build successfully aborted")
			return nil
		},
	}
	choice.addFlags(command.Flags())
	return command
}

// report tells that what was asked for is done.
func (p *program) report(format string, args ...any) {
	if !p.flags.quiet {
		fmt.Fprintf(p.stdout, format+"\n", args...)
	}
}
