package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
	"midge/execute"
)

func newArtifactsCommand(p *program) *cobra.Command {
	command := &cobra.Command{
		Use:     "artifacts",
		Aliases: []string{"artifact", "as"},
		GroupID: groupBuilds,
		Short:   "List, send and fetch what goes into builds and comes out of them",
		Example: `  midge artifacts ls --build 12            # what build 12 has left
  midge artifacts cat 34 report/index.txt
  midge artifacts pull 34 ./dir            # only what the directory lacks
  midge artifacts push ./dir               # only what the server lacks`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.Help()
			}
			return unknownCommand(command, args[0])
		},
	}
	for _, below := range []*cobra.Command{
		newArtifactsListCommand(p), newArtifactsPushCommand(p), newArtifactsPullCommand(p), newArtifactsCatCommand(p),
	} {
		p.addGlobalFlags(below.Flags())
		p.measure(below)
		command.AddCommand(below)
	}
	return command
}

func newArtifactsListCommand(p *program) *cobra.Command {
	var build string
	var count int
	command := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List artifacts, the newest first, or those that a build has left",
		Example: `  midge artifacts ls --build 12
  midge artifacts ls --json | jq '.[0].id'`,
		Args: noArguments,
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			artifacts, err := listArtifacts(command.Context(), c, build, count)
			if err != nil {
				return err
			}
			return answer(p, artifacts, artifactsTable)
		}),
	}
	chosenVar(command.Flags(), &build, "build", "b", "those that the build of this `id` has left")
	command.Flags().IntVarP(&count, "count", "c", 50, "how many at most")
	return command
}

func listArtifacts(ctx context.Context, c *client.Client, build string, count int) ([]api.Artifact, error) {
	if build == "" {
		if count < 1 {
			return nil, errors.New("--count is how many artifacts to list, and at least 1")
		}
		return c.Artifacts(ctx, count)
	}
	id, err := parseBuildID(build)
	if err != nil {
		return nil, err
	}
	return c.BuildArtifacts(ctx, id)
}

func artifactsTable(artifacts []api.Artifact) table {
	t := table{headers: []string{"id", "name", "build", "files", "size", "created"}}
	for _, artifact := range artifacts {
		build := cell{"none", faint}
		if artifact.BuildID != 0 {
			build = cell{text: strconv.Itoa(artifact.BuildID)}
		}
		t.add(cell{text: strconv.Itoa(artifact.ID)}, orNone(artifact.Name), build,
			cell{text: strconv.FormatInt(artifact.Files, 10)}, cell{text: size(artifact.Bytes)},
			cell{text: time.Unix(artifact.CreatedAt, 0).Format(timeShown)})
	}
	return t
}

func newArtifactsPushCommand(p *program) *cobra.Command {
	var flags uploadFlags
	command := &cobra.Command{
		Use:     "push DIRECTORY",
		Aliases: []string{"upload"},
		Short:   "Make an artifact of a directory, and print its id",
		Example: `  midge artifacts push ./dir
  midge artifacts push ./dir --dry-run`,
		Args: exactly("the directory to send", 1),
		RunE: func(command *cobra.Command, args []string) error {
			view := newExecutionView(p)
			defer view.close()
			sent, err := p.push(command.Context(), args[0], flags.options(view), view.observe)
			if err != nil {
				return err
			}
			if flags.dryRun {
				view.observe(execute.Estimated{Input: args[0], Receipt: sent.Receipt})
				return nil
			}
			if p.flags.json {
				return p.printJSON(uploaded{sent.Artifact, sent.Receipt})
			}
			view.observe(sent)
			view.close()
			fmt.Fprintln(p.stdout, sent.Artifact.ID)
			return nil
		},
	}
	flags.add(command.Flags())
	return command
}

func (p *program) push(ctx context.Context, dir string, options execute.UploadOptions, observe func(execute.Progress)) (execute.Sent, error) {
	c, err := p.client()
	if err != nil {
		return execute.Sent{}, err
	}
	defer c.Close()
	return execute.Push(ctx, c, p.path(dir), options, observe)
}

// path gives a path of the command line in absolute terms.
func (p *program) path(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(p.directory, path)
}

func newArtifactsPullCommand(p *program) *cobra.Command {
	options := execute.DownloadOptions{CacheDir: cacheDir()}
	command := &cobra.Command{
		Use:     "pull ID DIRECTORY",
		Aliases: []string{"download"},
		Short:   "Make a directory have what an artifact has",
		Long: `Make a directory have what an artifact has. What the directory has already is not
fetched, and what only the directory has stays, unless --delete is given.`,
		Example: `  midge artifacts pull 34 ./dir`,
		Args:    exactly("the artifact's id and the directory to put it into", 2),
		RunE: func(command *cobra.Command, args []string) error {
			id, err := parseArtifactID(args[0])
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			view := newExecutionView(p)
			defer view.close()
			received, err := execute.Pull(command.Context(), c, id, p.path(args[1]), options, view.observe)
			if err != nil {
				return err
			}
			if p.flags.json {
				return p.printJSON(downloaded{received.Artifact, received.Receipt})
			}
			view.observe(received)
			return nil
		},
	}
	command.Flags().BoolVar(&options.Delete, "delete", false, "remove from the directory what the artifact does not have")
	return command
}

func newArtifactsCatCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "cat ID PATH",
		Short:   "Print a file of an artifact",
		Example: `  midge artifacts cat 34 report/index.txt`,
		Args:    exactly("the artifact's id and the path of the file in it", 2),
		RunE: func(command *cobra.Command, args []string) error {
			id, err := parseArtifactID(args[0])
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			return execute.Cat(command.Context(), c, id, args[1], p.stdout)
		},
	}
}

// parseArtifactID reads an artifact's id.
func parseArtifactID(text string) (int, error) {
	id, err := strconv.Atoi(text)
	if err != nil || id <= 0 {
		return 0, fmt.Errorf("%q is no artifact's id, which is a number; see midge artifacts ls", text)
	}
	return id, nil
}

// exactly is the Args of commands that take so many.
func exactly(what string, n int) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return fmt.Errorf("%s takes %s; see %s --help", command.CommandPath(), what, command.CommandPath())
	}
}
