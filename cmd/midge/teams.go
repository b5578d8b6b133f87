package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
)

func newTeamsCommand(p *program) *cobra.Command {
	var details bool
	command := &cobra.Command{
		Use:     "teams",
		Aliases: []string{"t"},
		GroupID: groupOther,
		Short:   "List the teams",
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			teams, err := c.Teams(command.Context())
			if err != nil {
				return err
			}
			slices.SortFunc(teams, func(a, b api.Team) int { return cmp.Compare(a.Name, b.Name) })
			return answer(p, teams, func(teams []api.Team) table { return teamsTable(teams, details) })
		}),
	}
	command.Flags().BoolVarP(&details, "details", "d", false, "show who has which role")
	return command
}

func teamsTable(teams []api.Team, details bool) table {
	t := table{headers: []string{"name"}}
	if details {
		t.headers = []string{"name/role", "users", "groups"}
	}
	for _, team := range teams {
		if !details {
			t.add(cell{text: team.Name})
			continue
		}
		for _, role := range slices.Sorted(maps.Keys(team.Auth)) {
			users, groups := team.Auth[role]["users"], team.Auth[role]["groups"]
			who := orNone(strings.Join(users, ","))
			if len(users) == 0 && len(groups) == 0 {
				who = cell{"all", faint}
			}
			t.add(cell{text: team.Name + "/" + role}, who, orNone(strings.Join(groups, ",")))
		}
	}
	return t
}
