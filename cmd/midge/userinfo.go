package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
)

func newUserinfoCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "userinfo",
		GroupID: groupTargets,
		Short:   "Show who you are, and your teams and roles",
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			user, err := c.User(command.Context())
			if err != nil {
				return err
			}
			if p.flags.json {
				return p.printJSON(user)
			}
			return p.print(userTable(user))
		}),
	}
}

func userTable(user api.User) table {
	var roles []string
	for team, has := range user.Teams {
		for _, role := range has {
			roles = append(roles, team+"/"+role)
		}
	}
	slices.Sort(roles)
	t := table{headers: []string{"username", "team/role"}}
	t.add(cell{text: cmp.Or(user.UserName, user.DisplayUserID, user.Name)}, orNone(strings.Join(roles, ",")))
	return t
}
