package main

import (
	"errors"

	"github.com/spf13/cobra"

	"midge/client"
)

func newDeleteTargetCommand(p *program) *cobra.Command {
	var all bool
	command := &cobra.Command{
		Use:     "delete-target (-t NAME | --all)",
		Aliases: []string{"dtg"},
		GroupID: groupTargets,
		Short:   "Forget a saved target",
		RunE: func(command *cobra.Command, args []string) error {
			file := p.targetFile()
			name := p.targetName()
			var err error
			switch {
			case all:
				err = file.Update(func(targets map[string]client.Target) error {
					clear(targets)
					return nil
				})
			case name == "":
				return errors.New("name the target with -t, or choose --all")
			default:
				err = p.changeTarget(file, name, func(targets map[string]client.Target, _ client.Target) error {
					delete(targets, name)
					return nil
				})
			}
			switch {
			case err != nil:
				return err
			case all:
				p.report("deleted all targets")
			default:
				p.report("deleted target: %s", name)
			}
			return nil
		},
	}
	command.Flags().BoolVarP(&all, "all", "a", false, "all targets but those of fly")
	return command
}
