package main

import (
	"errors"
	"fmt"

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
						target.Token = nil
						targets[name] = target
					}
					return nil
				})
			case !all && name != "":
				err = p.changeTarget(file, name, func(targets map[string]client.Target, target client.Target) error {
					target.Token = nil
					targets[name] = target
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
