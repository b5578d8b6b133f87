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
			file, err := p.targetFile()
			if err != nil {
				return err
			}
			name := p.targetName()
			switch {
			case all && p.flags.target == "":
				err = file.Update(func(targets map[string]client.Target) error {
					for name, target := range targets {
						targets[name] = p.loggedOut(command.Context(), name, target)
					}
					return nil
				})
			case !all && name != "":
				err = p.changeTarget(file, name, func(targets map[string]client.Target, target client.Target) error {
					targets[name] = p.loggedOut(command.Context(), name, target)
					return nil
				})
			default:
				return errors.New("name a target with -t, or choose --all")
			}
			switch {
			case err != nil:
				return err
			case all:
				p.report("logged out of all targets")
			default:
				p.report("logged out of target: %s", name)
			}
			return nil
		},
	}
	command.Flags().BoolVarP(&all, "all", "a", false, "all targets")
	return command
}

// logoutTimeout is how long a server may take to end a token.
const logoutTimeout = 5 * time.Second

// loggedOut gives the target without its token, which the server ends if it can be
// reached: the login is forgotten here in any case.
func (p *program) loggedOut(ctx context.Context, name string, target client.Target) client.Target {
	if target.Token == nil {
		return target
	}
	c, err := p.clientOf(name, target)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, logoutTimeout)
		err = c.Logout(ctx)
		cancel()
		c.Close()
	}
	var known *client.UnauthorizedError
	if err != nil && !errors.As(err, &known) && !p.flags.quiet {
		fmt.Fprintf(p.stderr, "the server of %s was not told, and the token stays valid until it expires\n", name)
	}
	target.Token = nil
	return target
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
