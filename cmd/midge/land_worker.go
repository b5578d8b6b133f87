package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newLandWorkerCommand(p *program) *cobra.Command {
	var worker string
	command := &cobra.Command{
		Use:     "land-worker -w WORKER",
		Aliases: []string{"lw"},
		GroupID: groupOther,
		Short:   "Let a worker finish what it does and take no more",
		RunE: func(command *cobra.Command, args []string) error {
			if worker == "" {
				return errors.New("name the worker with -w; see midge workers")
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.LandWorker(command.Context(), worker); err != nil {
				return err
			}
			p.report("landed '%s'", worker)
			return nil
		},
	}
	chosenVar(command.Flags(), &worker, "worker", "w", "the `name` of the worker")
	return command
}
