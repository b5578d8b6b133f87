package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/terminal"
	"midge/trace/waterfall"
	"midge/usage"
)

func newUsageCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "usage BUILD",
		GroupID: groupBuilds,
		Short:   "Show what a build has used",
		Example: `  midge usage 12
  midge usage 12 --json | jq '.steps[].resourceUsage.samples[-1]'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("give one build, like: midge usage 12")
			}
			id, err := parseBuildID(args[0])
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			used, err := c.BuildUsage(command.Context(), id)
			if err != nil {
				return err
			}
			if p.flags.json {
				return p.printJSON(used)
			}
			if len(used.Steps) == 0 && !p.flags.quiet {
				fmt.Fprintf(p.stderr, "nothing is known yet of what build %d used: no step of it has run to its end\n", id)
				return nil
			}
			// Without a trace the longest step is the slowest part.
			spans, err := findTrace(command.Context(), c, args[0])
			if err != nil {
				spans = nil
			}
			return p.writeUsage(p.stdout, used, waterfall.Slowest(spans), false)
		},
	}
}

// writeUsage writes what was used, for a person or as JSON on one line.
func (p *program) writeUsage(w *stream, used api.BuildUsage, slowest waterfall.Part, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(terminal.JSON(w)).Encode(used)
	}
	if err := usage.Table(w, used, w.width()); err != nil {
		return err
	}
	took := slowest.Took
	if slowest.Running {
		took = 0 // its step says what it waited for
	}
	verdict := usage.Verdict(used, slowest.Name, took)
	if verdict == "" {
		return nil
	}
	_, err := fmt.Fprintln(io.Writer(w), verdict)
	return err
}
