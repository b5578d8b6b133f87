package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"midge/client"
)

// buildChoice says which build is meant, as fly's flags do.
type buildChoice struct {
	build, job, page string
}

func (b *buildChoice) addFlags(flags *pflag.FlagSet) {
	chosenVar(flags, &b.build, "build", "b", "the `id` of the build; with --job its name")
	chosenVar(flags, &b.job, "job", "j", "a build of this `PIPELINE/JOB`, on a Concourse")
}

func (b *buildChoice) addURLFlag(flags *pflag.FlagSet) {
	chosenVar(flags, &b.page, "url", "u", "the `URL` of the build's page")
}

// id gives the id of the build, of those of the client's team the newest when nothing
// is chosen.
func (b buildChoice) id(ctx context.Context, c *client.Client) (int, error) {
	switch {
	case b.page != "":
		return idOfPage(ctx, c, b.page)
	case b.job != "":
		pipeline, job, err := pipelineAnd("--job", "JOB", b.job)
		if err != nil {
			return 0, err
		}
		build, err := c.JobBuild(ctx, pipeline, job, b.build)
		return build.ID, err
	case b.build != "":
		return parseBuildID(b.build)
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

// idOfPage gives the id of the build that a page is of.
func idOfPage(ctx context.Context, c *client.Client, page string) (int, error) {
	parsed, err := url.Parse(page)
	if err != nil {
		return 0, noBuildPage(page)
	}
	switch parts := strings.Split(strings.Trim(parsed.Path, "/"), "/"); {
	case len(parts) >= 8 && parts[0] == "teams" && parts[2] == "pipelines" && parts[4] == "jobs" && parts[6] == "builds":
		build, err := c.WithTeam(parts[1]).JobBuild(ctx, parts[3], parts[5], parts[7])
		return build.ID, err
	case len(parts) >= 2 && parts[len(parts)-2] == "builds":
		return parseBuildID(parts[len(parts)-1])
	}
	return 0, noBuildPage(page)
}

func noBuildPage(page string) error {
	return fmt.Errorf("%q is no page of a build; one ends like /builds/12", page)
}

// parseBuildID reads a build's id.
func parseBuildID(text string) (int, error) {
	id, err := strconv.Atoi(strings.TrimPrefix(text, "#"))
	if err != nil || id <= 0 {
		return 0, fmt.Errorf("%q is no build's id, which is a number; see midge builds", text)
	}
	return id, nil
}
