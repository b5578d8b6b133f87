package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"midge/client"
)

func newEditTargetCommand(p *program) *cobra.Command {
	var newName, url, team string
	command := &cobra.Command{
		Use:     "edit-target -t NAME",
		Aliases: []string{"etg"},
		GroupID: groupTargets,
		Short:   "Change a saved target",
		RunE: func(command *cobra.Command, args []string) error {
			name := p.targetName()
			switch {
			case name == "":
				return errors.New("name the target with -t")
			case newName == "" && url == "" && team == "":
				return errors.New("there is nothing to change; see midge edit-target --help")
			}
			file := p.targetFile()
			err := p.changeTarget(file, name, func(targets map[string]client.Target, target client.Target) error {
				target.URL, target.Team = cmp.Or(url, target.URL), cmp.Or(team, target.Team)
				if _, taken := targets[newName]; taken && newName != name {
					return fmt.Errorf("there is a target %q already; delete it first with: midge -t %s delete-target", newName, newName)
				}
				delete(targets, name)
				targets[cmp.Or(newName, name)] = target
				return nil
			})
			if err != nil {
				return err
			}
			p.report("updated target: %s", name)
			return nil
		},
	}
	flags := command.Flags()
	chosenVar(flags, &newName, "target-name", "", "a new `name`")
	chosenVar(flags, &url, "concourse-url", "u", "a new `URL`")
	chosenVar(flags, &team, "team-name", "n", "another `team`")
	return command
}
