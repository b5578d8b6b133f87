package main

import (
	"errors"

	"github.com/spf13/cobra"

	"midge/client"
	"midge/execute"
)

func newWatchCommand(p *program) *cobra.Command {
	var choice buildChoice
	var timestamps, logFailed, withStatus bool
	command := &cobra.Command{
		Use:     "watch [-b BUILD]",
		Aliases: []string{"w"},
		GroupID: groupBuilds,
		Short:   "Show a build's output, from its beginning to its end",
		Long: `Show a build's output, from its beginning to its end, and exit with its status as
execute does. Without -b it is your team's newest build. An interrupt ends only the watching.`,
		Example: `  midge watch -b 12
  midge watch -b 12 --timestamps`,
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			ctx := command.Context()
			id, err := choice.id(ctx, c)
			if err != nil {
				return err
			}
			p.measurement.concerns(id)
			view := newExecutionView(p)
			view.log.timestamps, view.log.silent = timestamps, logFailed
			if p.flags.json {
				view.records = newRecorder(p.stdout)
			}
			outcome, err := execute.Follow(ctx, c, id, func(happened execute.Happened) { view.observe(happened) })
			err = p.conclude(ctx, c, outcome, err, view)
			var status exitStatus
			if !withStatus && errors.As(err, &status) {
				return nil
			}
			return err
		}),
	}
	flags := command.Flags()
	choice.addFlags(flags)
	choice.addURLFlag(flags)
	flags.BoolVarP(&timestamps, "timestamps", "t", false, "show the time of each line")
	flags.Bool("ignore-event-parsing-errors", false, "change nothing: events of unknown kinds are always passed over")
	flags.Lookup("ignore-event-parsing-errors").Hidden = true // fly has it
	flags.BoolVar(&logFailed, "log-failed", false, "of the output, show only the last lines of a build that does not succeed")
	flags.BoolVar(&withStatus, "exit-status", true, "exit with the build's status; --exit-status=false exits with 0 once it has ended")
	return command
}
