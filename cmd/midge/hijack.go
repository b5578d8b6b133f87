package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
	"midge/hijack"
	"midge/terminal"
)

// exitNotRun is the exit status when the command could not be run.
const exitNotRun = 255

// hijackFlags are the flags of the command hijack.
type hijackFlags struct {
	choice   containerChoice
	list     bool
	attach   string
	readOnly bool
	toolbox  bool
	escape   string
}

func newHijackCommand(p *program) *cobra.Command {
	var flags hijackFlags
	command := &cobra.Command{
		Use:     "hijack [-b BUILD] [-- COMMAND [ARGUMENT ...]]",
		Aliases: []string{"intercept", "i"},
		GroupID: groupBuilds,
		Short:   "Run a shell, or a command, in a build's container",
		Long: `Run a command in a container of a build, or else a shell: bash, or sh where there is no
bash, or where the image has no shell at all that of the server's busybox, which --toolbox
asks for. Without flags it is a container of your team's newest one-off build; of several you
are asked which.

The session belongs to the server: when the network fails it goes on, and so do you once
it is back. Type ~. at the start of a line to leave it running, and ~? for help; midge
hijack --list shows those that run, and --attach goes back to one.

Where stdin or stdout is no terminal the command has none either, and its stdout and
stderr are apart, so that files pass through it as they are. The exit status is the
command's, or 255 when it could not be run.`,
		Example: `  midge hijack -b 12                           # a shell in the container of build 12
  midge hijack -b 12 -- tar c -C out . | tar x  # bring a directory home
  midge hijack --list`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			return flags.run(command.Context(), p, c, args)
		},
	}
	flags.choice.addFlags(command.Flags())
	f := command.Flags()
	f.BoolVar(&flags.list, "list", false, "list the sessions that run")
	f.StringVar(&flags.attach, "attach", "", "attach to the `session` of this id")
	f.BoolVar(&flags.readOnly, "read-only", false, "with --attach: watch it and type nothing")
	f.BoolVar(&flags.toolbox, "toolbox", false, "run the shell, or the command, of the server's busybox, for images that have none")
	f.StringVar(&flags.escape, "escape", "~", "the `character` that begins commands like ~. at the start of a line, or none")
	return command
}

func (f hijackFlags) run(ctx context.Context, p *program, c *client.Client, args []string) error {
	escape, err := parseEscape(f.escape)
	switch {
	case err != nil:
		return err
	case f.readOnly && f.attach == "":
		return errors.New("--read-only watches a session that there is: name it with --attach, from midge hijack --list")
	case f.list:
		sessions, err := c.HijackSessions(ctx)
		if err != nil {
			return err
		}
		return answer(p, sessions, sessionsTable)
	}
	options := hijack.Options{Session: f.attach, ReadOnly: f.readOnly, Escape: escape}
	var container api.Container
	if f.attach != "" {
		container, err = containerOfSession(ctx, c, f.attach)
	} else {
		container, err = f.choice.container(ctx, p, c)
		options.Processes = hijackProcesses(container, args, f.toolbox)
	}
	if err != nil {
		return err
	}
	return p.hijack(ctx, c, container, options)
}

// parseEscape reads the value of --escape.
func parseEscape(text string) (byte, error) {
	switch {
	case text == "none":
		return 0, nil
	case len(text) == 1 && text[0] > ' ' && text[0] < 0x7f:
		return text[0], nil
	}
	return 0, fmt.Errorf("--escape is %q and should be one character, or none", text)
}

// containerOfSession gives the container that a session is in.
func containerOfSession(ctx context.Context, c *client.Client, id string) (api.Container, error) {
	sessions, err := c.HijackSessions(ctx)
	if err != nil {
		return api.Container{}, err
	}
	for _, session := range sessions {
		if session.ID == id {
			return c.Container(ctx, session.Container)
		}
	}
	return api.Container{}, fmt.Errorf("there is no session %q; see midge hijack --list", id)
}

// hijackProcesses are what to run: the arguments, or else the first shell that is there,
// the last being one of the worker's own. With toolbox it is that.
func hijackProcesses(container api.Container, args []string, toolbox bool) []api.HijackProcess {
	process := func(toolbox bool, command ...string) api.HijackProcess {
		return api.HijackProcess{
			Path:       command[0],
			Args:       command[1:],
			Dir:        container.WorkingDirectory,
			User:       container.User,
			Privileged: true,
			Toolbox:    toolbox,
		}
	}
	switch {
	case len(args) > 0:
		return []api.HijackProcess{process(toolbox, args...)}
	case toolbox:
		return []api.HijackProcess{process(true, "sh")}
	}
	return []api.HijackProcess{process(false, "bash"), process(false, "sh"), process(true, "sh")}
}

// hijack joins the user's terminal, or stdin and stdout, to a session.
func (p *program) hijack(ctx context.Context, c *client.Client, container api.Container, options hijack.Options) error {
	options.Endpoint.URL, options.Endpoint.Client, options.Endpoint.Header = c.HijackEndpoint(container.ID)
	options.Stdout, options.Stderr = p.stdout, p.stderr
	if hijack.IsTerminal(p.stdin) && p.stdout.terminal {
		options.Terminal = &hijack.Terminal{In: p.stdin, Out: p.stdout.File}
	} else {
		options.Stdin = p.stdin
	}
	name, _ := p.lookupEnv("TERM")
	for i := range options.Processes {
		options.Processes[i].Env = []string{"TERM=" + name}
	}
	result, err := hijack.Run(ctx, options)
	p.measurement.session(result.Usage)
	var (
		refused *hijack.Error
		signal  *hijack.SignalError
		gone    *hijack.ResponseError
	)
	switch {
	case errors.As(err, &signal):
		return fmt.Errorf("%w; it goes on, attach to it again with: midge hijack --attach %s", err, result.Session)
	case errors.As(err, &gone):
		return fmt.Errorf("container %s cannot be hijacked: %w", terminal.Line(container.ID), err)
	case errors.As(err, &refused) && refused.Code == hijack.CodeNotFound && len(options.Processes) > 1:
		return &failure{fmt.Errorf("the container has no shell, neither bash nor sh: name a command it has after --"), exitNotRun}
	case errors.As(err, &refused):
		return &failure{err, exitNotRun}
	case err != nil:
		return err
	case result.Detached:
		fmt.Fprintf(p.stderr, "the session goes on; attach to it again with: midge hijack --attach %s\n", result.Session)
		return nil
	case result.ExitStatus != 0:
		return exitStatus(result.ExitStatus)
	}
	return nil
}

func sessionsTable(sessions []api.HijackSession) table {
	t := table{headers: []string{"session", "build", "step", "user", "clients", "command"}}
	for _, s := range sessions {
		t.add(cell{text: s.ID}, cell{text: fmt.Sprint(s.BuildID)}, cell{text: s.StepName}, cell{text: s.User},
			cell{text: fmt.Sprint(s.Clients)}, cell{text: strings.Join(s.Command, " ")})
	}
	return t
}
