package main

import "github.com/spf13/cobra"

func newStatusCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		GroupID: groupTargets,
		Short:   "Tell whether you are logged in",
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			user, err := c.User(command.Context())
			if err != nil {
				return err
			}
			if p.flags.json {
				return p.printJSON(user)
			}
			p.report("logged in successfully")
			return nil
		},
	}
}
