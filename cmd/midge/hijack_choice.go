package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"charm.land/huh/v2"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"midge/api"
	"midge/client"
	"midge/terminal"
)

// containerChoice says which container is meant, as fly's flags do.
type containerChoice struct {
	handle, build, step, stepType, attempt, page, job, check string

	// typed gives what to type for the container of a handle; nil for a command of hijack.
	typed func(handle string) string
}

func (c *containerChoice) addFlags(flags *pflag.FlagSet) {
	chosenVar(flags, &c.build, "build", "b", "the `id` of the build; with --job its name")
	chosenVar(flags, &c.step, "step", "s", "the `name` of the step")
	chosenVar(flags, &c.stepType, "step-type", "", "the `type` of the step: task, get, put or check")
	chosenVar(flags, &c.attempt, "attempt", "a", "the `number` of the attempt, for a step that is retried")
	chosenVar(flags, &c.handle, "handle", "", "the container's `handle`, from midge containers")
	chosenVar(flags, &c.page, "url", "u", "the `URL` of the build's page")
	chosenVar(flags, &c.job, "job", "j", "the `PIPELINE/JOB`, on a Concourse")
	chosenVar(flags, &c.check, "check", "c", "the `PIPELINE/RESOURCE` whose check is meant, on a Concourse")
}

// container gives the container that is meant. Of several the user chooses one.
func (c containerChoice) container(ctx context.Context, p *program, from *client.Client) (api.Container, error) {
	if c.handle != "" {
		return from.Container(ctx, c.handle)
	}
	filter, err := c.filter(ctx, from)
	if err != nil {
		return api.Container{}, err
	}
	containers, err := from.Containers(ctx, filter)
	if err != nil {
		return api.Container{}, err
	}
	slices.SortFunc(containers, func(a, b api.Container) int {
		return cmp.Or(cmp.Compare(a.BuildID, b.BuildID), cmp.Compare(a.StepName, b.StepName), cmp.Compare(a.ID, b.ID))
	})
	switch len(containers) {
	case 0:
		return api.Container{}, c.none(ctx, from, filter)
	case 1:
		return containers[0], nil
	}
	return p.chooseContainer(ctx, containers, c.typed)
}

// filter gives what to ask the server for.
func (c containerChoice) filter(ctx context.Context, from *client.Client) (client.ContainerFilter, error) {
	filter := client.ContainerFilter{StepName: c.step, Type: c.stepType, Attempt: c.attempt}
	var err error
	switch {
	case c.page != "":
		return filterOfPage(filter, c.page)
	case c.check != "":
		filter.Type = "check"
		filter.PipelineName, filter.ResourceName, err = pipelineAnd("--check", "RESOURCE", c.check)
	case c.job != "":
		filter.BuildName = c.build
		filter.PipelineName, filter.JobName, err = pipelineAnd("--job", "JOB", c.job)
	case c.build != "":
		filter.BuildID, err = parseBuildID(c.build)
	default:
		filter.BuildID, err = newestOneOff(ctx, from)
	}
	return filter, err
}

// filterOfPage reads the URL of a build's page: /builds/12, or on a Concourse
// /teams/T/pipelines/P/jobs/J/builds/N.
func filterOfPage(filter client.ContainerFilter, page string) (client.ContainerFilter, error) {
	parsed, err := url.Parse(page)
	if err != nil {
		return filter, fmt.Errorf("%q is no page of a build; one ends like /builds/12", page)
	}
	parts := strings.Split(strings.Trim(parsed.Path, "/"), "/")
	values := make(map[string]string)
	for i := 0; i+1 < len(parts); i += 2 {
		values[parts[i]] = parts[i+1]
	}
	switch {
	case values["jobs"] != "":
		filter.PipelineName, filter.JobName, filter.BuildName = values["pipelines"], values["jobs"], values["builds"]
		return filter, nil
	case values["builds"] != "":
		filter.BuildID, err = parseBuildID(values["builds"])
		return filter, err
	}
	return filter, fmt.Errorf("%q is no page of a build; one ends like /builds/12", page)
}

func pipelineAnd(flag, what, text string) (pipeline, name string, err error) {
	pipeline, name, found := strings.Cut(text, "/")
	if !found || pipeline == "" || name == "" {
		return "", "", fmt.Errorf("%s is %q and should be PIPELINE/%s", flag, text, what)
	}
	return pipeline, name, nil
}

// newestOneOff gives the id of the team's newest build that no pipeline made.
func newestOneOff(ctx context.Context, from *client.Client) (int, error) {
	builds, err := from.Builds(ctx, client.BuildFilter{Team: from.Team(), Limit: 100})
	if err != nil {
		return 0, err
	}
	for _, build := range builds {
		if build.JobName == "" && build.PipelineName == "" {
			return build.ID, nil
		}
	}
	return 0, errors.New("your team has run no task yet; run one with: midge execute -c TASK")
}

// none says that no container is there, and what to do.
func (c containerChoice) none(ctx context.Context, from *client.Client, filter client.ContainerFilter) error {
	if filter.BuildID == 0 {
		return errors.New("no container is like that; see midge containers for those that there are")
	}
	build, err := from.Build(ctx, filter.BuildID)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("build %d has no container", filter.BuildID)
	if c.step != "" || c.stepType != "" || c.attempt != "" {
		return fmt.Errorf("%s like that; see midge containers -b %d for those it has", what, filter.BuildID)
	}
	if !build.Status.Finished() {
		return fmt.Errorf("%s yet: it is %s", what, build.Status)
	}
	gone, err := from.GoneContainers(ctx, filter.BuildID)
	if err != nil || len(gone) == 0 { // a Concourse does not know
		return fmt.Errorf("%s any more: those of a finished build are removed after a while; midge hold BUILD keeps them", what)
	}
	last := gone[len(gone)-1]
	return fmt.Errorf("%s any more: that of the step %s was removed at %s: %s; to keep the next one for longer: midge execute --hold 2h, or midge hold BUILD while it is there",
		what, terminal.Line(last.StepName), time.Unix(last.GoneAt, 0).Format(timeShown), terminal.Line(last.GoneReason))
}

// chooseContainer asks which of several containers is meant, or says how to name each.
func (p *program) chooseContainer(ctx context.Context, containers []api.Container, typed func(handle string) string) (api.Container, error) {
	if typed == nil {
		typed = func(handle string) string { return "midge hijack --handle " + handle }
	}
	if !p.canAsk() {
		var commands strings.Builder
		for _, container := range containers {
			fmt.Fprintf(&commands, "\n%s  # %s", typed(terminal.Line(container.ID)), describeContainer(container))
		}
		return api.Container{}, fmt.Errorf("there are several containers like that; name one:%s", commands.String())
	}
	var chosen int
	choices := make([]huh.Option[int], len(containers))
	for i, container := range containers {
		choices[i] = huh.NewOption(describeContainer(container), i)
	}
	// What is typed stands in the place of the list's own title.
	list := huh.NewSelect[int]().Title("/").Options(choices...).Value(&chosen)
	if columns, rows, err := term.GetSize(int(p.stderr.Fd())); err == nil {
		list.Height(listHeight(containers, columns, rows))
	}
	form := huh.NewForm(huh.NewGroup(list).Title("Which container?")).WithInput(p.stdin).WithOutput(p.stderr)
	// Before the list is filtered: only then it learns that no other question has keys to be named.
	form.UpdateFieldPositions()
	list.Filtering(true)
	if p.stderr.dumb {
		list.Title("Which container?")
		form.WithAccessible(true).WithTheme(huh.ThemeFunc(huh.ThemeBase)) // a list with numbers, in no colours
	}
	if err := form.RunWithContext(ctx); err != nil {
		return api.Container{}, errors.New("no container was chosen")
	}
	return containers[chosen], nil
}

// listHeight gives how many lines a list of containers takes, its title with it, on a
// terminal that shows the question and the keys as well.
func listHeight(containers []api.Container, columns, rows int) int {
	const (
		margin = 4 // of columns, to the left of each line
		around = 3 // lines: the question, the keys, and an empty one
	)
	lines := 1
	for _, container := range containers {
		lines += 1 + utf8.RuneCountInString(describeContainer(container))/max(columns-margin, 1)
	}
	return min(lines, max(rows-around, 1))
}

// describeContainer says in a line what a container is.
func describeContainer(container api.Container) string {
	words := []string{container.Type}
	if container.JobName != "" {
		words = append(words, container.PipelineName+"/"+container.JobName)
	}
	if container.BuildName != "" {
		words = append(words, "build "+container.BuildName)
	}
	if name := container.StepName + container.ResourceName; name != "" {
		words = append(words, "step "+name)
	}
	if container.Attempt != "" {
		words = append(words, "attempt "+container.Attempt)
	}
	return terminal.Line(strings.Join(append(words, "on "+container.WorkerName), ", "))
}
