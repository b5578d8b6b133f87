package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
)

func newStatusCommand(p *program) *cobra.Command {
	var details, check bool
	command := &cobra.Command{
		Use:     "status",
		GroupID: groupTargets,
		Short:   "Tell whether you are logged in, and how the server is",
		Long: `Tell whether you are logged in.

With --details the parts of the server are listed, of which only those who administer it are
told, and with --check the command exits with 0 when the server is well, 1 when somebody should
look at it, and 2 when it does not work or soon will not. A Concourse tells nothing of this.`,
		Example: `  midge status --details
  midge status --check --quiet || mail -s "look at midge" ops@example.com </dev/null`,
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if details || check {
				return p.serverStatus(command.Context(), c, check)
			}
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
	command.Flags().BoolVarP(&details, "details", "d", false, "list the parts of the server and what is wrong with them")
	command.Flags().BoolVar(&check, "check", false, "exit with 1 when somebody should look at the server, with 2 when it does not work")
	return command
}

// serverStatus shows how the server is; with check it ends with a status that says so.
func (p *program) serverStatus(ctx context.Context, c *client.Client, check bool) error {
	status, told, err := c.Status(ctx)
	switch {
	case err != nil && check:
		// A server that does not answer is worse than one that should be looked at.
		return &failure{err, checkStatus[api.VerdictCritical]}
	case err != nil:
		return err
	case !told:
		return errors.New("the server does not tell how it is, as a midge server would")
	}
	if err := p.showStatus(status); err != nil || !check || status.Verdict == api.VerdictOK {
		return err
	}
	return exitStatus(checkStatus[status.Verdict])
}

// checkStatus is the exit status for each verdict. That of a verdict which is not
// known is 0; the server has no others.
var checkStatus = map[api.Verdict]int{api.VerdictWarning: 1, api.VerdictCritical: 2}

func (p *program) showStatus(status api.Status) error {
	switch {
	case p.flags.json:
		return p.printJSON(status)
	case p.flags.quiet:
		return nil
	case len(status.Parts) == 0:
		return p.print(statusTable([]api.StatusPart{{Name: "server", Verdict: status.Verdict, LastRun: status.Time}}, status.Time))
	}
	return p.print(statusTable(status.Parts, status.Time))
}

var verdictStyles = map[api.Verdict]style{api.VerdictOK: green, api.VerdictWarning: yellow, api.VerdictCritical: red}

// statusTable lists parts of a server as they were at a time, in Unix seconds.
func statusTable(parts []api.StatusPart, at int64) table {
	t := table{headers: []string{"part", "verdict", "last run", "took", "finding"}}
	for _, part := range parts {
		took := time.Duration(part.TookSeconds * float64(time.Second)).Round(time.Microsecond)
		t.add(cell{text: part.Name}, cell{string(part.Verdict), verdictStyles[part.Verdict]},
			cell{text: age(part.LastRun, time.Unix(at, 0))}, cell{text: took.String()}, orNone(part.Finding))
	}
	return t
}
