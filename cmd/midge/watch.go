package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"midge/client"
	"midge/execute"
)

func newWatchCommand(p *program) *cobra.Command {
	var build, page string
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
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx := command.Context()
			id, err := watchedBuild(ctx, c, build, page)
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
		},
	}
	flags := command.Flags()
	flags.StringVarP(&build, "build", "b", "", "the `id` of the build")
	flags.StringVarP(&page, "url", "u", "", "the `URL` of the build's page")
	flags.BoolVarP(&timestamps, "timestamps", "t", false, "show the time of each line")
	flags.BoolVar(&logFailed, "log-failed", false, "of the output, show only the last lines of a build that does not succeed")
	flags.BoolVar(&withStatus, "exit-status", true, "exit with the build's status; --exit-status=false exits with 0 once it has ended")
	return command
}

// watchedBuild gives the id of the build that the flags choose.
func watchedBuild(ctx context.Context, c *client.Client, build, page string) (int, error) {
	switch {
	case build != "":
		return parseBuildID(build)
	case page != "":
		parsed, err := url.Parse(page)
		if err != nil || path.Base(path.Dir(parsed.Path)) != "builds" {
			return 0, fmt.Errorf("%q is no page of a build; one ends like /builds/12", page)
		}
		return parseBuildID(path.Base(parsed.Path))
	}
	builds, err := c.Builds(ctx, client.BuildFilter{Team: c.Team(), Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(builds) == 0 {
		return 0, errors.New("your team has no builds yet; run a task with: midge execute -c TASK")
	}
	return builds[0].ID, nil
}

// parseBuildID reads a build's id.
func parseBuildID(text string) (int, error) {
	id, err := strconv.Atoi(strings.TrimPrefix(text, "#"))
	if err != nil || id <= 0 {
		return 0, fmt.Errorf("%q is no build's id, which is a number; see midge builds", text)
	}
	return id, nil
}
