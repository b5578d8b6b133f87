package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/spf13/cobra"

	"midge/client"
	"midge/terminal"
	"midge/trace"
	"midge/trace/otlp"
	"midge/trace/waterfall"
)

func newTraceCommand(p *program) *cobra.Command {
	var all, compare bool
	command := &cobra.Command{
		Use:     "trace BUILD|TRACE_ID",
		GroupID: groupBuilds,
		Short:   "Show where the time of a build went",
		Long: `Show where the time of a build, or of the command that had a trace id, went, as the server
has kept it.`,
		Example: `  midge trace 12
  midge trace --compare 12 15                        # what became slower`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			if want := map[bool]int{false: 1, true: 2}[compare]; len(args) != want {
				return errors.New("give one build or trace, like: midge trace 12, or two, like: midge trace --compare 12 15")
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx := command.Context()
			var traces [][]otlp.Span
			for _, reference := range args {
				spans, err := findTrace(ctx, c, reference)
				if err != nil {
					return err
				}
				traces = append(traces, spans)
			}
			options := p.drawing(p.stdout, 0)
			options.All = options.All || all
			switch {
			case compare:
				return waterfall.Compare(p.stdout, traces[0], traces[1], options)
			case p.flags.json:
				return trace.WriteJSON(ctx, terminal.JSON(p.stdout), traces[0])
			}
			return waterfall.Draw(p.stdout, traces[0], options)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&all, "all", false, "leave nothing out: every request and every layer")
	flags.BoolVar(&compare, "compare", false, "show what differs between two")
	return command
}

var traceIDPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{32}$`) })

// findTrace gives the spans of a trace, or of the trace that a build is a part of.
func findTrace(ctx context.Context, c *client.Client, reference string) ([]otlp.Span, error) {
	id := reference
	if !traceIDPattern().MatchString(reference) {
		number, err := parseBuildID(reference)
		if err != nil {
			return nil, err
		}
		build, err := c.Build(ctx, number)
		if err != nil {
			return nil, err
		}
		if id = build.TraceID; id == "" {
			return nil, fmt.Errorf("build %d has no trace: its server kept none", number)
		}
	}
	return serversSpans(ctx, c, id)
}
