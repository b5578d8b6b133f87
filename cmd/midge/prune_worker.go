package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newPruneWorkerCommand(p *program) *cobra.Command {
	var worker string
	var allStalled bool
	command := &cobra.Command{
		Use:     "prune-worker (-w WORKER | --all-stalled)",
		Aliases: []string{"pw"},
		GroupID: groupOther,
		Short:   "Have the server forget a worker that is gone",
		RunE: func(command *cobra.Command, args []string) error {
			if worker == "" && !allStalled {
				return errors.New("name a worker with -w, or choose --all-stalled")
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			var names []string
			if worker != "" {
				names = append(names, worker)
			}
			if allStalled {
				workers, err := c.Workers(command.Context())
				if err != nil {
					return err
				}
				for _, w := range workers {
					if w.State == "stalled" {
						names = append(names, w.Name)
					}
				}
			}
			for _, name := range names {
				if err := c.PruneWorker(command.Context(), name); err != nil {
					return err
				}
				p.report("pruned '%s'", name)
			}
			if len(names) == 0 {
				p.report("no stalled workers")
			}
			return nil
		},
	}
	chosenVar(command.Flags(), &worker, "worker", "w", "the `name` of the worker")
	command.Flags().BoolVarP(&allStalled, "all-stalled", "a", false, "all that have not been heard of lately")
	return command
}
