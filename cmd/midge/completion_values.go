package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"midge/api"
	"midge/client"
	"midge/terminal"
)

// completionTime is how long a server has to answer while the user waits for a
// completion. With the program's start it stays below the 100 ms that go unnoticed.
var completionTime = 80 * time.Millisecond

// completionCount is how many of something are offered at most.
const completionCount = 50

// completionChoice is one thing that a word may be completed to, and what to say of it.
type completionChoice struct {
	Value string `json:"value"`
	About string `json:"about,omitempty"`
}

// addCompletions tells each command below root how its arguments and flags are
// completed. A flag that is not here has values that nobody can guess.
func (p *program) addCompletions(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	builds, workers, steps := p.served("builds", builds), p.served("workers", workers), p.ofBuild("steps", steps)
	flags := map[string]map[string]cobra.CompletionFunc{
		"execute": {
			"config": anyFile, "load-vars-from": anyFile, "from": builds, "input": p.inputs, "output": p.outputs, "input-mapping": p.inputNames,
			"image": anyFile,
		},
		"hijack": {
			"build": builds, "step": steps, "handle": p.ofBuild("containers", containers), "attach": p.served("sessions", sessions),
			"step-type": oneOf("task", "get", "put", "check"),
		},
		"watch":            {"build": builds},
		"abort-build":      {"build": p.served("running", runningBuilds)},
		"containers":       {"build": builds},
		"artifacts ls":     {"build": builds},
		"clear-task-cache": {"step": steps},
		"land-worker":      {"worker": workers},
		"prune-worker":     {"worker": workers},
		"status":           {"thresholds": anyFile},
		"login":            {"ca-cert": anyFile, "client-cert": anyFile, "client-key": anyFile},
	}
	artifacts := p.served("artifacts", artifacts)
	arguments := map[string][]cobra.CompletionFunc{
		"hold":    {builds},
		"release": {builds},
		"ls":      {builds},
		"cat":     {builds},
		"diff":    {builds},
		"trace":   {builds, builds},
		"usage":   {builds},
		"cp":      {anyFile, anyFile},
		"server":  {anyFile, anyFile, anyFile},

		"artifacts push": {directories},
		"artifacts pull": {artifacts, directories},
		"artifacts cat":  {artifacts},
	}
	shared := map[*pflag.Flag]bool{} // whose completion is known, of what several commands have
	for _, command := range commandsBelow(root) {
		path := strings.TrimPrefix(command.CommandPath(), root.Name()+" ")
		for name, complete := range flags[path] {
			mustRegister(command, name, complete)
		}
		for name, complete := range map[string]cobra.CompletionFunc{
			"target": p.targets, "team": p.served("teams", teams), "team-name": p.served("teams", teams),
			"trace": oneOf(traceForms...), "usage": oneOf(usageForms...), "trace-file": anyFile,
		} {
			if flag := command.Flags().Lookup(name); flag != nil && !shared[flag] {
				mustRegister(command, name, complete)
				shared[flag] = true
			}
		}
		if complete := arguments[path]; complete != nil {
			command.ValidArgsFunction = eachArgument(complete)
		}
	}
}

// commandsBelow gives root and all commands below it.
func commandsBelow(root *cobra.Command) []*cobra.Command {
	commands := []*cobra.Command{root}
	for _, command := range root.Commands() {
		commands = append(commands, commandsBelow(command)...)
	}
	return commands
}

// mustRegister panics when command has no flag of that name.
func mustRegister(command *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := command.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}

// eachArgument completes each argument in its own way, and no more than those.
func eachArgument(completes []cobra.CompletionFunc) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(completes) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completes[len(args)](command, args, word)
	}
}

func anyFile(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func directories(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// oneOf completes to one of a few words.
func oneOf(words ...string) cobra.CompletionFunc {
	var choices []completionChoice
	for _, word := range words {
		choices = append(choices, completionChoice{Value: word})
	}
	return func(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return offer(choices, word)
	}
}

// offer gives those choices that begin with word, in their order. One that has
// control characters could not be typed, and is left out.
func offer(choices []completionChoice, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var offered []cobra.Completion
	directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	for _, c := range choices {
		if !strings.HasPrefix(c.Value, word) || c.Value != terminal.Line(c.Value) {
			continue
		}
		if strings.HasSuffix(c.Value, "/") || strings.HasSuffix(c.Value, "=") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		offered = append(offered, cobra.CompletionWithDesc(c.Value, terminal.Line(c.About)))
	}
	return offered, directive
}

// targets completes to the targets that are saved.
func (p *program) targets(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	// A file that cannot be read is told of by the command itself.
	saved, _ := p.targetFile().Load()
	choices := []completionChoice{}
	if _, ok := saved[client.LocalTarget]; !ok {
		choices = append(choices, completionChoice{client.LocalTarget, "this machine's server"})
	}
	for _, name := range slices.Sorted(maps.Keys(saved)) {
		choices = append(choices, completionChoice{name, saved[name].URL})
	}
	return offer(choices, word)
}

// lister lists what a server has of one kind.
type lister func(ctx context.Context, c *client.Client) ([]completionChoice, error)

// served completes to what the chosen server has.
func (p *program) served(kind string, list lister) cobra.CompletionFunc {
	return func(command *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return offer(p.choices(command.Context(), kind, list), word)
	}
}

// ofBuild completes to what the containers are of the build that --build names, or of all.
func (p *program) ofBuild(kind string, choices func([]api.Container) []completionChoice) cobra.CompletionFunc {
	return func(command *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var filter client.ContainerFilter
		if flag := command.Flags().Lookup("build"); flag != nil {
			filter.BuildID, _ = parseBuildID(flag.Value.String())
		}
		list := func(ctx context.Context, c *client.Client) ([]completionChoice, error) {
			containers, err := c.Containers(ctx, filter)
			return choices(containers), err
		}
		return offer(p.choices(command.Context(), kind+strconv.Itoa(filter.BuildID), list), word)
	}
}

// choices gives what a server has of a kind, remembered or asked for anew. A server that
// does not answer in time, or not well, has nothing.
func (p *program) choices(ctx context.Context, kind string, list lister) []completionChoice {
	ctx, cancel := context.WithTimeout(cmp.Or(ctx, context.Background()), completionTime)
	defer cancel()
	p.flags.quiet, p.flags.verbose = true, false
	options, err := p.options()
	if err != nil {
		return nil
	}
	cache := newCompletionCache(options, kind)
	if choices, ok := cache.read(time.Now()); ok {
		return choices
	}
	c, err := client.New(options)
	if err != nil {
		return nil
	}
	defer c.Close()
	choices, err := list(ctx, c)
	if err != nil {
		return nil
	}
	cache.write(choices, time.Now())
	return choices
}

func builds(ctx context.Context, c *client.Client) ([]completionChoice, error) {
	return listedBuilds(ctx, c, func(api.Build) bool { return true })
}

// runningBuilds are those that can be aborted.
func runningBuilds(ctx context.Context, c *client.Client) ([]completionChoice, error) {
	return listedBuilds(ctx, c, func(build api.Build) bool { return !build.Status.Finished() })
}

func listedBuilds(ctx context.Context, c *client.Client, wanted func(api.Build) bool) ([]completionChoice, error) {
	builds, err := c.Builds(ctx, client.BuildFilter{Team: c.Team(), Limit: completionCount})
	var choices []completionChoice
	for _, build := range builds {
		if wanted(build) {
			choices = append(choices, completionChoice{strconv.Itoa(build.ID), describeBuild(build, time.Now())})
		}
	}
	return choices, err
}

// describeBuild says what became of a build, and how long ago it was.
func describeBuild(build api.Build, now time.Time) string {
	about := string(build.Status)
	if began := cmp.Or(build.StartTime, build.CreateTime); began > 0 {
		about += ", " + age(began, now) + " ago"
	}
	if build.PipelineName != "" {
		about += ", " + build.PipelineName + "/" + build.JobName + " #" + build.Name
	}
	return about
}

func teams(ctx context.Context, c *client.Client) ([]completionChoice, error) {
	teams, err := c.Teams(ctx)
	var choices []completionChoice
	for _, team := range teams {
		choices = append(choices, completionChoice{Value: team.Name})
	}
	return choices, err
}

func workers(ctx context.Context, c *client.Client) ([]completionChoice, error) {
	workers, err := c.Workers(ctx)
	var choices []completionChoice
	for _, worker := range workers {
		choices = append(choices, completionChoice{worker.Name, worker.Platform + ", " + worker.State})
	}
	return choices, err
}

func artifacts(ctx context.Context, c *client.Client) ([]completionChoice, error) {
	artifacts, err := c.Artifacts(ctx, completionCount)
	return artifactChoices(artifacts, func(a api.Artifact) string { return strconv.Itoa(a.ID) }), err
}

func artifactChoices(artifacts []api.Artifact, value func(api.Artifact) string) []completionChoice {
	var choices []completionChoice
	for _, artifact := range artifacts {
		about := fmt.Sprintf("%s, %d files, %s", cmp.Or(artifact.Name, "no name"), artifact.Files, size(artifact.Bytes))
		if artifact.BuildID != 0 {
			about += fmt.Sprintf(", of build %d", artifact.BuildID)
		}
		choices = append(choices, completionChoice{value(artifact), about})
	}
	return choices
}

func sessions(ctx context.Context, c *client.Client) ([]completionChoice, error) {
	sessions, err := c.HijackSessions(ctx)
	var choices []completionChoice
	for _, s := range sessions {
		choices = append(choices, completionChoice{s.ID, fmt.Sprintf("build %d, step %s: %s", s.BuildID, s.StepName, strings.Join(s.Command, " "))})
	}
	return choices, err
}

func containers(containers []api.Container) []completionChoice {
	var choices []completionChoice
	for _, container := range newestFirst(containers) {
		choices = append(choices, completionChoice{container.ID, describeContainer(container)})
	}
	return choices
}

// steps are those that have a container.
func steps(containers []api.Container) []completionChoice {
	var choices []completionChoice
	for _, container := range newestFirst(containers) {
		same := func(c completionChoice) bool { return c.Value == container.StepName }
		if container.StepName != "" && !slices.ContainsFunc(choices, same) {
			choices = append(choices, completionChoice{container.StepName, describeContainer(container)})
		}
	}
	return choices
}

func newestFirst(containers []api.Container) []api.Container {
	return slices.SortedStableFunc(slices.Values(containers), func(a, b api.Container) int {
		return cmp.Or(cmp.Compare(b.BuildID, a.BuildID), cmp.Compare(a.StepName, b.StepName))
	})
}

// inputs completes the NAME=PATH of an input.
func (p *program) inputs(command *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	name, path, named := strings.Cut(word, "=")
	if !named {
		return p.inputNames(command, args, word)
	}
	if reference, ok := strings.CutPrefix(path, "@"); ok {
		return p.leftByBuilds(command, name+"=@", reference, word)
	}
	return offer(p.paths(name+"=", path), word)
}

// inputNames completes to the names of the task file's inputs.
func (p *program) inputNames(command *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var choices []completionChoice
	for _, input := range p.taskConfig(command).Inputs {
		about := "input"
		if input.Optional {
			about = "optional input"
		}
		choices = append(choices, completionChoice{input.Name + "=", about})
	}
	return offer(choices, word)
}

// outputs completes the NAME=PATH of an output.
func (p *program) outputs(command *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if name, path, named := strings.Cut(word, "="); named {
		return offer(p.paths(name+"=", path), word)
	}
	var choices []completionChoice
	for _, output := range p.taskConfig(command).Outputs {
		choices = append(choices, completionChoice{output.Name + "=", "output"})
	}
	return offer(choices, word)
}

// taskConfig reads the task file of --config, as far as it can be read.
func (p *program) taskConfig(command *cobra.Command) api.TaskConfig {
	name := command.Flags().Lookup("config").Value.String()
	// Of anything but a file, stdin for one, the shell may never see the end.
	if info, err := os.Stat(p.path(name)); name == "" || err != nil || !info.Mode().IsRegular() {
		return api.TaskConfig{}
	}
	data, err := os.ReadFile(p.path(name))
	if err != nil {
		return api.TaskConfig{}
	}
	// What is wrong with it the command tells.
	config, _ := api.ParseTaskConfig(name, data, api.Variables{})
	return config
}

// leftByBuilds completes a BUILD/OUTPUT that comes after prefix.
func (p *program) leftByBuilds(command *cobra.Command, prefix, reference, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	build, _, chosen := strings.Cut(reference, "/")
	if id, err := parseBuildID(build); chosen && err == nil {
		left := p.choices(command.Context(), "left"+build, func(ctx context.Context, c *client.Client) ([]completionChoice, error) {
			artifacts, err := c.BuildArtifacts(ctx, id)
			return artifactChoices(artifacts, func(a api.Artifact) string { return a.Name }), err
		})
		return offer(within(prefix+build+"/", left, ""), word)
	}
	return offer(within(prefix, p.choices(command.Context(), "builds", builds), "/"), word)
}

// within puts something before and after the values of choices.
func within(before string, choices []completionChoice, after string) []completionChoice {
	var changed []completionChoice
	for _, c := range choices {
		changed = append(changed, completionChoice{before + c.Value + after, c.About})
	}
	return changed
}

// pathCount is how many entries of a directory are looked at.
const pathCount = 1000

// paths gives the directories that path may become, after prefix. Those whose names begin
// with a dot are for those who type it.
func (p *program) paths(prefix, path string) []completionChoice {
	dir, base := filepath.Split(path)
	opened, err := os.Open(p.path(dir))
	if err != nil {
		return nil
	}
	defer opened.Close()
	// What was read before an error is there all the same.
	entries, _ := opened.ReadDir(pathCount)
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	var choices []completionChoice
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, base) || base == "" && strings.HasPrefix(name, ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(opened.Name(), name)); err == nil && info.IsDir() {
			choices = append(choices, completionChoice{Value: prefix + dir + name + "/"})
		}
	}
	return choices
}
