package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"midge/api"
)

// newRootCommand gives the command line of the whole program.
func newRootCommand(p *program) *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   p.name,
		Short: "Run tasks from your working tree in containers",
		Long: `midge runs a task on a server, in a container, with the files in front of you. It
streams the task's output, brings its outputs home and exits with its status.

Which server that is, --target says, else MIDGE_TARGET: a saved target or an URL. Else it
is the only target that is saved, or else the one of this machine. MIDGE_TOKEN, or the
file that MIDGE_TOKEN_FILE names, is used in place of a login. There are no colours where
NO_COLOR is set.

The exit status is that of the task or the command; 1 when a build failed without one, or
the command line or the request was wrong; 2 when a build errored; 3 when it was aborted;
255 when a command could not be run in a container.`,
		Example: `  sudo midge server                                  # start a server on this machine
  midge execute -c task.yml -i src=. -o out=./out    # run a task
  midge builds                                       # what has run`,
		SilenceErrors: true, SilenceUsage: true,
		// fly takes its global flags before the command, where watch has no say in what -t means.
		TraverseChildren: true,
		Args:             cobra.ArbitraryArgs,
		RunE: func(root *cobra.Command, args []string) error {
			switch {
			case version:
				return p.tellVersion()
			case len(args) == 0:
				return root.Help()
			}
			return unknownCommand(root, args[0])
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true}) // ours is among the others
	root.SetHelpFunc(func(command *cobra.Command, _ []string) {
		// The only error is that of a reader who has gone.
		_ = writeHelp(p.stdout, command)
	})
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		name := commandWord(root, p.args)
		if found, _, _ := root.Find([]string{name}); command == root && found == root && name != "" {
			return unknownCommand(root, name) // whose flags the root does not have
		}
		return flagError(command, err)
	})
	p.root, p.global, p.globalLong = root, p.newGlobalFlags(targetShort), p.newGlobalFlags("")
	root.AddGroup(
		&cobra.Group{ID: groupBuilds, Title: "Builds:"},
		&cobra.Group{ID: groupTargets, Title: "Servers and logins:"},
		&cobra.Group{ID: groupOther, Title: "What a server has:"},
	)
	commands := []*cobra.Command{
		newExecuteCommand(p), newHijackCommand(p), newWatchCommand(p), newBuildsCommand(p), newAbortBuildCommand(p),
		newHoldCommand(p), newReleaseCommand(p),
		newListFilesCommand(p), newCatFileCommand(p), newCopyCommand(p), newDiffCommand(p), newArtifactsCommand(p), newClearTaskCacheCommand(p),
		newContainersCommand(p), newVolumesCommand(p), newWorkersCommand(p), newTeamsCommand(p), newCurlCommand(p),
		newLandWorkerCommand(p), newPruneWorkerCommand(p),
		newGetWallCommand(p), newSetWallCommand(p), newClearWallCommand(p),
		newLoginCommand(p), newLogoutCommand(p), newTargetsCommand(p), newEditTargetCommand(p), newDeleteTargetCommand(p),
		newTokensCommand(p), newTraceCommand(p), newUsageCommand(p),
		newStatusCommand(p), newUserinfoCommand(p), newServerCommand(p), newVersionCommand(p), newCompletionCommand(p), newHelpCommand(),
	}
	if p.flyNamed() {
		commands = append(commands, newSyncCommand(p))
	}
	for _, command := range commands {
		if command.Args == nil {
			command.Args = noArguments
		}
		p.addGlobalFlags(command.Flags())
		p.measure(command)
		root.AddCommand(command)
	}
	root.Flags().BoolVarP(&version, "version", "v", false, "tell the version of this program")
	p.addGlobalFlags(root.Flags())
	p.addCompletions(root)
	return root
}

const (
	groupBuilds  = "builds"
	groupTargets = "targets"
	groupOther   = "other"
)

// addGlobalFlags adds the flags that every command has, so that they may stand before
// and after the command. A command that means something else by one of them keeps it.
func (p *program) addGlobalFlags(flags *pflag.FlagSet) {
	if flags.ShorthandLookup(targetShort) != nil {
		flags.AddFlagSet(p.globalLong)
	} else {
		flags.AddFlagSet(p.global)
	}
}

// targetShort is the short name of --target.
const targetShort = "t"

// newGlobalFlags gives the flags that every command has, with or without a short name for
// the target. Making them for each command anew would be much of the time to start.
func (p *program) newGlobalFlags(short string) *pflag.FlagSet {
	global := pflag.NewFlagSet("", pflag.ContinueOnError)
	chosenVar(global, &p.flags.target, "target", short, "the server to talk to: a saved `name` or an URL")
	chosenVar(global, &p.flags.team, "team", "", "the `team` to act for, if not the target's")
	global.BoolVar(&p.flags.json, "json", false, "answer in JSON")
	global.BoolVar(&p.flags.quiet, "quiet", false, "say nothing but the answer or the task's output")
	global.BoolVar(&p.flags.verbose, "verbose", false, "show each request and its answer's status")
	global.BoolVar(&p.flags.tableHeaders, "print-table-headers", false, "print table headers even where no terminal is")
	p.addMeasuringFlags(global)
	return global
}

// noArguments is the Args of commands that have none.
func noArguments(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, and %q is one; see %s --help", command.CommandPath(), args[0], command.CommandPath())
	}
	return nil
}

// arguments is the Args of commands that have between least and most: of another number it
// says how the command is called.
func arguments(least, most int) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			path := command.CommandPath()
			return fmt.Errorf("%s cannot have %d arguments, it is: %s%s; see %[1]s --help",
				path, len(args), path, strings.TrimPrefix(command.Use, command.Name()))
		}
		return nil
	}
}

// commandWord gives the argument that stands where a command's name does, "" for none.
func commandWord(root *cobra.Command, args []string) string {
	for i := 0; i < len(args); i++ {
		name, isLong := strings.CutPrefix(args[i], "--")
		switch {
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		case isLong:
			if flag := root.Flags().Lookup(name); flag != nil && flag.NoOptDefVal == "" {
				i++ // its value
			}
		case len(args[i]) == 2:
			if flag := root.Flags().ShorthandLookup(args[i][1:]); flag != nil && flag.NoOptDefVal == "" {
				i++
			}
		}
	}
	return ""
}

// unknownCommand names the nearest command there is.
func unknownCommand(root *cobra.Command, name string) error {
	if isOfPipelines(name) {
		return fmt.Errorf("midge runs tasks and has no pipelines, so there is no command %q; on a Concourse use its own fly for that", name)
	}
	if slices.Contains(teamCommands, name) {
		return fmt.Errorf("there is no command %q: teams are in the server's configuration file, see docs/server.md; for those of a Concourse use its own fly", name)
	}
	var known []string
	for _, command := range root.Commands() {
		known = append(append(known, command.Name()), command.Aliases...)
	}
	if nearest := api.Nearest(name, known); nearest != "" {
		return fmt.Errorf("there is no command %q; did you mean %q?", name, nearest)
	}
	return fmt.Errorf("there is no command %q; see %s --help", name, root.CommandPath())
}

// flagError says what is wrong with a flag, and names the nearest there is.
func flagError(command *cobra.Command, err error) error {
	var (
		missing   *pflag.NotExistError
		valueless *pflag.ValueRequiredError
		invalid   *pflag.InvalidValueError
	)
	path := command.CommandPath()
	switch {
	case errors.As(err, &valueless):
		return fmt.Errorf("%s needs a value after --%s; see %s --help", path, valueless.GetFlag().Name, path)
	case errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "duration":
		_, err := api.ParseDuration(invalid.GetValue())
		return fmt.Errorf("--%s: %w; see %s --help", invalid.GetFlag().Name, err, path)
	case errors.As(err, &invalid):
		return fmt.Errorf("%q is no value for --%s of %s; see %s --help", invalid.GetValue(), invalid.GetFlag().Name, path, path)
	case !errors.As(err, &missing):
		return fmt.Errorf("%w; see %s --help", err, path)
	}
	name := missing.GetSpecifiedName()
	if missing.GetSpecifiedShortnames() != "" {
		return fmt.Errorf("%s has no flag -%s; see %s --help", path, name, path)
	}
	var known []string
	command.Flags().VisitAll(func(flag *pflag.Flag) { known = append(known, flag.Name) })
	if nearest := api.Nearest(name, known); nearest != "" {
		return fmt.Errorf("%s has no flag --%s; did you mean --%s?", path, name, nearest)
	}
	return fmt.Errorf("%s has no flag --%s; see %s --help", path, name, path)
}
