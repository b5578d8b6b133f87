package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
	"midge/terminal"
)

func newGetWallCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "get-wall",
		Aliases: []string{"gw"},
		GroupID: groupOther,
		Short:   "Show the message that is on the server for everybody",
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			wall, err := c.Wall(command.Context())
			switch {
			case err != nil:
				return err
			case p.flags.json:
				return p.printJSON(wall)
			case wall.Message == "":
				p.report("No wall message is currently set")
				return nil
			}
			fmt.Fprintln(p.stdout, "Wall Message:", terminal.Text(wall.Message))
			if wall.TTL > 0 {
				fmt.Fprintln(p.stdout, "Expires in:", wall.TTL.Round(time.Second))
			}
			return nil
		}),
	}
}

func newSetWallCommand(p *program) *cobra.Command {
	var wall api.Wall
	command := &cobra.Command{
		Use:     "set-wall -m MESSAGE",
		Aliases: []string{"sw"},
		GroupID: groupOther,
		Short:   "Put a message on the server for everybody",
		Example: `  midge set-wall -m "down for maintenance at noon" --ttl 2h`,
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			if wall.Message == "" {
				return errors.New("say what with -m, like: midge set-wall -m \"down at noon\"; midge clear-wall takes a message down")
			}
			if err := c.SetWall(command.Context(), wall); err != nil {
				return err
			}
			p.report("Wall message set successfully")
			return nil
		}),
	}
	command.Flags().StringVarP(&wall.Message, "message", "m", "", "the `text`")
	command.Flags().DurationVarP(&wall.TTL, "ttl", "t", 0, "take it down after this `time`, like 2h; else it stays")
	return command
}

func newClearWallCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "clear-wall",
		Aliases: []string{"cw"},
		GroupID: groupOther,
		Short:   "Take down the message for everybody",
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			if err := c.ClearWall(command.Context()); err != nil {
				return err
			}
			p.report("Wall message cleared successfully")
			return nil
		}),
	}
}
