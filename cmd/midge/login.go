package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"midge/client"
)

// loginFlags are what login was told of the server and of the user.
type loginFlags struct {
	url, team             string
	user, password        string
	caCert                string
	clientCert, clientKey string
	insecure, openBrowser bool
}

func newLoginCommand(p *program) *cobra.Command {
	var flags loginFlags
	command := &cobra.Command{
		Use:     "login -t NAME [-c URL]",
		Aliases: []string{"l"},
		GroupID: groupTargets,
		Short:   "Log in to a server and save it as a target",
		Long: `Log in to a server and save it as a target. Without -c it is one that was saved before.

With -u the password is asked for, if it is not given. Without, you log in with a browser: open
the page that is named. A browser on this machine brings the token by itself; the page in one
on another shows the token, to be pasted here.

Scripts may do without: MIDGE_TARGET may be an URL, and MIDGE_TOKEN a token for it, or
MIDGE_TOKEN_FILE the name of a file with one; see midge tokens.`,
		Example: `  midge -t ci login -c https://midge.example.com
  midge -t ci login -c https://midge.example.com -u alice
  midge -t ci login -c https://midge.example.com --client-cert me.pem --client-key me.key`,
		RunE: func(command *cobra.Command, args []string) error {
			return p.login(command.Context(), flags)
		},
	}
	f := command.Flags()
	f.StringVarP(&flags.url, "concourse-url", "c", "", "the `URL` of the server, a midge or a Concourse")
	chosenVar(f, &flags.team, "team-name", "n", "the `team` to log in to")
	f.StringVarP(&flags.user, "username", "u", "", "the `name` of the user")
	f.StringVarP(&flags.password, "password", "p", "", "the user's `password`; other users of this machine may see it")
	f.StringVar(&flags.caCert, "ca-cert", "", "a `file` of certificates, in PEM, of authorities to trust")
	f.StringVar(&flags.clientCert, "client-cert", "", "a `file` with your own certificate, in PEM")
	f.StringVar(&flags.clientKey, "client-key", "", "a `file` with the certificate's key, in PEM")
	f.BoolVarP(&flags.openBrowser, "open-browser", "b", false, "open the page to log in")
	f.BoolVarP(&flags.insecure, "insecure", "k", false, "trust the server whatever its certificate says")
	return command
}

// login logs in to the target that the flags describe, and saves it.
func (p *program) login(ctx context.Context, flags loginFlags) error {
	file := p.targetFile()
	name, target, err := p.loginTarget(file, flags)
	if err != nil {
		return err
	}
	c, err := p.clientOf(name, target)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Info(ctx); err != nil {
		return err
	}
	if p.flyNamed() {
		p.report("logging in to team '%s'\n", target.Team)
	}
	token, err := p.askToken(ctx, c, flags)
	if err != nil {
		return err
	}
	target.Token = &client.TargetToken{Type: "bearer", Value: token.Value}
	if !token.Expires.IsZero() {
		target.Token.Expires = &token.Expires
	}
	if err := p.checkTeam(ctx, name, target); err != nil {
		return err
	}
	err = file.Update(func(targets map[string]client.Target) error {
		targets[name] = target
		return nil
	})
	if err != nil {
		return err
	}
	p.report("target saved")
	return nil
}

// loginTarget gives the target to log in to, and what to call it.
func (p *program) loginTarget(file client.TargetFile, flags loginFlags) (string, client.Target, error) {
	name := p.targetName()
	var target client.Target
	switch {
	case flags.url != "" && (name == "" || strings.Contains(name, "://")):
		return "", client.Target{}, fmt.Errorf("the server needs a name to be saved under; log in with: midge -t NAME login -c %s", flags.url)
	case flags.url != "":
		target.URL = flags.url
	default:
		var err error
		if name, target, err = file.Select(name); err != nil {
			return "", client.Target{}, err
		}
		if name == "" {
			return "", client.Target{}, fmt.Errorf("the server needs a name to be saved under; log in with: midge -t NAME login -c %s", target.URL)
		}
	}
	if strings.HasPrefix(target.URL, "unix:") {
		return "", client.Target{}, fmt.Errorf("the target %q is a socket of this machine, which needs no login", cmp.Or(name, target.URL))
	}
	target.Team = cmp.Or(flags.team, p.flags.team, target.Team, client.DefaultTeam)
	target.Insecure = target.Insecure || flags.insecure
	return name, target, applyCertificates(&target, flags)
}

// applyCertificates notes the certificates that the flags name.
func applyCertificates(target *client.Target, flags loginFlags) error {
	if flags.caCert != "" {
		content, err := os.ReadFile(flags.caCert)
		if err != nil {
			return fmt.Errorf("the CA certificate cannot be read: %w", err)
		}
		target.CACert = string(content)
	}
	for _, file := range []struct {
		saved *string
		path  string
	}{{&target.ClientCert, flags.clientCert}, {&target.ClientKey, flags.clientKey}} {
		if file.path == "" {
			continue
		}
		absolute, err := filepath.Abs(file.path)
		if err != nil {
			return err
		}
		*file.saved = absolute
	}
	return nil
}

// checkTeam tells whether the user of a target's token is in its team.
func (p *program) checkTeam(ctx context.Context, name string, target client.Target) error {
	c, err := client.OfTarget(name, target)
	if err != nil {
		return err
	}
	defer c.Close()
	user, err := c.User(ctx)
	if err != nil {
		return err
	}
	teams := slices.Sorted(maps.Keys(user.Teams))
	if user.IsAdmin {
		all, err := c.Teams(ctx)
		if err != nil {
			return err
		}
		teams = teams[:0]
		for _, team := range all {
			teams = append(teams, team.Name)
		}
	}
	if slices.Contains(teams, target.Team) {
		return nil
	}
	theirs := cmp.Or(strings.Join(teams, ", "), "they have none")
	return fmt.Errorf("the user %q is not in the team %q; choose one of theirs with -n: %s", user.Name, target.Team, theirs)
}
