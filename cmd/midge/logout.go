package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"midge/client"
)

func newLogoutCommand(p *program) *cobra.Command {
	var all bool
	command := &cobra.Command{
		Use:     "logout (-t NAME | --all)",
		Aliases: []string{"o"},
		GroupID: groupTargets,
		Short:   "Forget the login to a target",
		RunE: func(command *cobra.Command, args []string) error {
			name := p.targetName()
			switch {
			case all && p.flags.target == "":
				name = ""
			case all || name == "":
				return errors.New("name a target with -t, or choose --all")
			}
			if err := p.logout(command.Context(), name); err != nil {
				return err
			}
			if all {
				p.report("logged out of all targets")
			} else {
				p.report("logged out of target: %s", name)
			}
			return nil
		},
	}
	command.Flags().BoolVarP(&all, "all", "a", false, "all targets")
	return command
}

// logout forgets the login to one of midge's own targets, or to all when name is "".
func (p *program) logout(ctx context.Context, name string) error {
	file := p.targetFile()
	targets, err := file.Load()
	if err != nil {
		return err
	}
	forget := func(targets map[string]client.Target, name string) {
		target := targets[name]
		target.Token = nil
		targets[name] = target
	}
	if name == "" {
		for name, target := range targets {
			p.endToken(ctx, name, target)
		}
		return file.Update(func(targets map[string]client.Target) error {
			for name := range targets {
				forget(targets, name)
			}
			return nil
		})
	}
	p.endToken(ctx, name, targets[name])
	return p.changeTarget(file, name, func(targets map[string]client.Target, _ client.Target) error {
		forget(targets, name)
		return nil
	})
}

// endTimeout is how long a server may take to end a token.
const endTimeout = 5 * time.Second

// endToken has the target's server end its token. One that cannot be told is no error:
// the login is forgotten here in any case.
func (p *program) endToken(ctx context.Context, name string, target client.Target) {
	if target.Token == nil || target.Fly {
		return
	}
	c, err := client.OfTarget(name, target)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, endTimeout)
		err = c.Logout(ctx)
		cancel()
		c.Close()
	}
	var ended *client.UnauthorizedError
	if err != nil && !errors.As(err, &ended) && !p.flags.quiet {
		fmt.Fprintf(p.stderr, "the server of %s was not told, and the token stays valid until it expires\n", name)
	}
}

// changeTarget changes one of midge's own targets.
func (p *program) changeTarget(file client.TargetFile, name string, change func(targets map[string]client.Target, target client.Target) error) error {
	if _, target, err := file.Select(name); err != nil {
		return err
	} else if target.Fly {
		return fmt.Errorf("the target %q is in fly's file %s, which midge does not write; change it with fly", name, file.FlyPath)
	}
	return file.Update(func(targets map[string]client.Target) error {
		target, saved := targets[name]
		if !saved {
			return fmt.Errorf("the target %q is not saved, so there is nothing of it to change", name)
		}
		return change(targets, target)
	})
}
