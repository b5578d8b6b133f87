package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
)

// Layouts of times, as fly has them.
const (
	timeShown = "2006-01-02@15:04:05-0700"
	timeGiven = "2006-01-02 15:04:05"
)

func newBuildsCommand(p *program) *cobra.Command {
	var (
		count                 int
		since, until          string
		pipeline, job         string
		allTeams, currentTeam bool
		teams                 []string
	)
	command := &cobra.Command{
		Use:     "builds",
		Aliases: []string{"bs"},
		GroupID: groupBuilds,
		Short:   "List builds, the newest first",
		Example: `  midge builds -c 10
  midge builds --json | jq '.[] | select(.status == "failed") | .id'`,
		RunE: func(command *cobra.Command, args []string) error {
			if count < 1 {
				return errors.New("--count is how many builds to list, and at least 1")
			}
			filter := client.BuildFilter{Limit: count}
			var err error
			if filter.Since, err = parseTime("--since", since); err != nil {
				return err
			}
			if filter.Until, err = parseTime("--until", until); err != nil {
				return err
			}
			switch {
			case since != "" && until != "" && filter.Since > filter.Until:
				return errors.New("--since is after --until")
			case allTeams && (currentTeam || len(teams) > 0):
				return errors.New("--all-teams goes with neither --current-team nor --team")
			case pipeline != "" && job != "":
				return errors.New("--job names the pipeline too: leave --pipeline out")
			}
			if filter.Pipeline = pipeline; job != "" {
				if filter.Pipeline, filter.Job, err = pipelineAnd("--job", "JOB", job); err != nil {
					return err
				}
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if currentTeam || filter.Pipeline != "" && !allTeams && len(teams) == 0 {
				teams = append(teams, c.Team())
			}
			builds, err := listBuilds(command.Context(), c, filter, teams, allTeams)
			if err != nil {
				return err
			}
			return answer(p, builds[:min(count, len(builds))], buildsTable)
		},
	}
	flags := command.Flags()
	flags.IntVarP(&count, "count", "c", 50, "how many at most")
	flags.StringVar(&since, "since", "", "only those started after this `time`, like \""+timeGiven+"\"")
	flags.StringVar(&until, "until", "", "only those started before this `time`")
	chosenVar(flags, &pipeline, "pipeline", "p", "only those of this `pipeline`, on a Concourse")
	chosenVar(flags, &job, "job", "j", "only those of this `PIPELINE/JOB`, on a Concourse")
	flags.BoolVarP(&allTeams, "all-teams", "a", false, "those of all teams you are in")
	flags.BoolVar(&currentTeam, "current-team", false, "those of the target's team")
	flags.StringArrayVarP(&teams, "team", "n", nil, "those of this `team`")
	return command
}

// parseTime reads a time of a flag; "" is 0.
func parseTime(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	at, err := time.ParseInLocation(timeGiven, text, time.Local)
	if err != nil {
		return 0, fmt.Errorf("%s %q is no time; write one like %q", flag, text, timeGiven)
	}
	return at.Unix(), nil
}

// listBuilds lists the builds of some teams one after the other, or all that the user may see.
func listBuilds(ctx context.Context, c *client.Client, filter client.BuildFilter, teams []string, allTeams bool) ([]api.Build, error) {
	if allTeams {
		all, err := c.Teams(ctx)
		if err != nil {
			return nil, err
		}
		for _, team := range all {
			teams = append(teams, team.Name)
		}
	}
	if len(teams) == 0 {
		return c.Builds(ctx, filter)
	}
	var builds []api.Build
	for _, team := range teams {
		filter.Team = team
		more, err := c.Builds(ctx, filter)
		if err != nil {
			return nil, err
		}
		builds = append(builds, more...)
	}
	return builds, nil
}

func buildsTable(builds []api.Build) table {
	t := table{headers: []string{"id", "name", "status", "start", "end", "duration", "team", "created by"}}
	for _, build := range builds {
		start, end, duration := buildTimes(build, time.Now())
		t.add(cell{text: strconv.Itoa(build.ID)}, cell{text: buildName(build)},
			cell{string(build.Status), statusStyle(build.Status)},
			cell{text: start}, cell{text: end}, cell{text: duration}, cell{text: build.TeamName},
			cell{text: cmp.Or(build.CreatedBy, "system")})
	}
	return t
}

// buildName says what a build is of: of a one-off it is its number.
func buildName(build api.Build) string {
	var parts []string
	for _, part := range []string{build.PipelineName, build.JobName, build.ResourceName, build.Name} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

// buildTimes shows when a build ran, where now is, and for how long; a + stands for not
// yet ended.
func buildTimes(build api.Build, now time.Time) (start, end, duration string) {
	start, end, duration = "n/a", "n/a", "n/a"
	if build.StartTime == 0 {
		return start, end, duration
	}
	began := time.Unix(build.StartTime, 0).In(now.Location())
	start = began.Format(timeShown)
	if build.EndTime == 0 {
		return start, end, now.Sub(began).Truncate(time.Second).String() + "+"
	}
	ended := time.Unix(build.EndTime, 0).In(now.Location())
	return start, ended.Format(timeShown), ended.Sub(began).String()
}
