package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midge/api"
)

func newTokensCommand(p *program) *cobra.Command {
	var user string
	command := &cobra.Command{
		Use:     "tokens",
		GroupID: groupTargets,
		Short:   "List your tokens, make one for a script, and revoke them",
		Long: `List the tokens that are in your name: those of logins, and those that were made for
scripts. A script gives its own in MIDGE_TOKEN, or has it in a file that MIDGE_TOKEN_FILE names.`,
		Example: `  midge tokens
  midge tokens create nightly --lasts 30d > nightly.token
  MIDGE_TOKEN_FILE=nightly.token midge -t https://midge.example.com builds
  midge tokens revoke 7`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(command, args[0])
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			tokens, err := c.Tokens(command.Context(), user)
			if err != nil {
				return err
			}
			return answer(p, tokens, func(tokens []api.Token) table { return tokensTable(tokens, time.Now()) })
		},
	}
	chosenVar(command.Flags(), &user, "user", "", "those of this `user`, like local:ann; for owners of the team main")
	for _, below := range []*cobra.Command{newCreateTokenCommand(p), newRevokeTokensCommand(p)} {
		p.addGlobalFlags(below.Flags())
		p.measure(below)
		command.AddCommand(below)
	}
	return command
}

func newCreateTokenCommand(p *program) *cobra.Command {
	var wanted api.NewToken
	var lasts string
	command := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token, and print it",
		Long:  "Make a token, and print it. The server keeps only a digest of it: it is shown this once.",
		Example: `  midge tokens create nightly --lasts 30d > nightly.token
  sudo midge tokens create nightly --user local:ann`,
		Args: exactly("a name, by which to know the token in a list", 1),
		RunE: func(command *cobra.Command, args []string) error {
			lasting, err := parseLasting(lasts)
			if err != nil {
				return err
			}
			wanted.Name, wanted.LastsSeconds = args[0], int64(lasting.Seconds())
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			token, err := c.CreateToken(command.Context(), wanted)
			switch {
			case err != nil:
				return err
			case p.flags.json:
				return p.printJSON(token)
			}
			fmt.Fprintln(p.stdout, token.Token)
			if !p.flags.quiet {
				fmt.Fprintf(p.stderr, "token %d of %s lasts until %s\n", token.ID, token.User, shownTime(token.ExpiresAt))
			}
			return nil
		},
	}
	chosenVar(command.Flags(), &wanted.User, "user", "", "for this `user`, like local:ann; for owners of the team main")
	command.Flags().StringVar(&lasts, "lasts", "", "how `long`, like 30d or 12h; else as long as the server says, 90 days")
	return command
}

func newRevokeTokensCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ID...",
		Aliases: []string{"rm"},
		Short:   "End tokens, at once",
		Example: `  midge tokens revoke 7 8`,
		Args:    cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name a token by its id, from: midge tokens")
			}
			ids := make([]int, len(args))
			for i, arg := range args {
				id, err := strconv.Atoi(arg)
				if err != nil || id <= 0 {
					return fmt.Errorf("%q is no token's id, which is a number; see midge tokens", arg)
				}
				ids[i] = id
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			for _, id := range ids {
				if err := c.RevokeToken(command.Context(), id); err != nil {
					return err
				}
				p.report("token %d revoked", id)
			}
			return nil
		},
	}
}

// maxDays is more than any server lets a token last, in days.
const maxDays = 100_000

// parseLasting reads a time like 30d or 12h; "" is 0.
func parseLasting(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	var lasting time.Duration
	var err error
	if days, inDays := strings.CutSuffix(text, "d"); inDays {
		var n int
		if n, err = strconv.Atoi(days); n <= maxDays {
			lasting = time.Duration(n) * 24 * time.Hour
		}
	} else {
		lasting, err = time.ParseDuration(text)
	}
	if err != nil || lasting < time.Second {
		return 0, fmt.Errorf("--lasts is %q and should be a time, like 30d or 12h", text)
	}
	return lasting, nil
}

func tokensTable(tokens []api.Token, now time.Time) table {
	t := table{headers: []string{"id", "name", "user", "age", "last used", "expires"}}
	for _, token := range tokens {
		used := "never"
		if token.UsedAt != 0 {
			used = age(token.UsedAt, now)
		}
		t.add(cell{text: strconv.Itoa(token.ID)}, cell{text: token.Name}, cell{text: token.User},
			cell{text: age(token.CreatedAt, now)}, cell{text: used}, cell{text: shownTime(token.ExpiresAt)})
	}
	return t
}

// shownTime shows Unix seconds as local time.
func shownTime(seconds int64) string { return time.Unix(seconds, 0).Format(timeShown) }
