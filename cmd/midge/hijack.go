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
)

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
stderr are apart, so that files pass through it as they are. With --json it has none either, and
what it writes comes as records, one a line. The exit status is the command's, or 255 when
it could not be run.`,
		Example: `  midge hijack -b 12                           # a shell in the container of build 12
  midge hijack -b 12 -- tar c -C out . | tar x  # bring a directory home
  midge hijack --list`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			// What was typed as a command's own -c was read as --check.
			if len(args) > 0 && command.ArgsLenAtDash() < 0 && flags.choice.check != "" && (flags.choice.build != "" || !strings.Contains(flags.choice.check, "/")) {
				return errors.New("-c is --check here; a command that has flags of its own comes after --, like: midge hijack -b 12 -- sh -c 'echo hello'")
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			return flags.run(command.Context(), p, c, args)
		},
	}
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		if words := command.Flags().Args(); len(words) > 0 {
			return fmt.Errorf("%w; what follows %s is for it when it comes after --, like: midge hijack -b 12 -- ls -l", flagError(command, err), words[0])
		}
		return flagError(command, err)
	})
	flags.choice.addFlags(command.Flags())
	f := command.Flags()
	f.BoolVar(&flags.list, "list", false, "list the sessions that run, and those that have ended and nobody was told")
	chosenVar(f, &flags.attach, "attach", "", "attach to the `session` of this id")
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
	session := newHijackSession(p, c, hijack.Options{Session: f.attach, ReadOnly: f.readOnly, Escape: escape, Quiet: p.flags.quiet})
	if f.attach != "" {
		session.container, err = containerOfSession(ctx, c, f.attach)
	} else {
		session.container, err = f.choice.container(ctx, p, c)
		session.options.Processes = hijackProcesses(session.container, args, f.toolbox)
		session.isShell = len(args) == 0
	}
	if err == nil {
		err = session.run(ctx)
	}
	return session.conclude(ctx, err)
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
			InTaskDir:  true,
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

func sessionsTable(sessions []api.HijackSession) table {
	t := table{headers: []string{"session", "build", "step", "user", "clients", "command"}}
	for _, s := range sessions {
		clients := fmt.Sprint(s.Clients)
		if s.EndTime != 0 {
			clients = "ended"
		}
		t.add(cell{text: s.ID}, cell{text: fmt.Sprint(s.BuildID)}, cell{text: s.StepName}, cell{text: s.User},
			cell{text: clients}, cell{text: strings.Join(s.Command, " ")})
	}
	return t
}
