package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
	"midge/health"
)

// statusFlags are what status is asked for.
type statusFlags struct {
	details, check, smoke, watch bool
	warn, critical               []string
	thresholds                   string
}

func newStatusCommand(p *program) *cobra.Command {
	var flags statusFlags
	command := &cobra.Command{
		Use:     "status",
		GroupID: groupTargets,
		Short:   "Tell whether you are logged in, and how the server is",
		Long: `Tell whether you are logged in.

With --details the parts of the server are listed, of which only those who administer it are
told, and with --check the command exits with 0 when the server is well, 1 when somebody should
look at it, 2 when it does not work or soon will not, and 3 when nothing can be told, as for a
wrong bound or login. --warn and --critical, or a file of
--thresholds, add bounds of your own for the numbers of a part; --details --json shows those.

--smoke runs a tiny build and tells how long each part of its way took. --watch shows builds,
queue, workers and the pressure on the machine until you interrupt it. A Concourse tells nothing
of this.`,
		Example: `  midge status --details
  midge status --check --quiet || mail -s "look at midge" ops@example.com </dev/null
  midge status --check --warn 'disk.free_bytes<20GB' --critical 'engine.waiting_builds>100'
  midge status --smoke`,
		RunE: func(command *cobra.Command, args []string) error {
			thresholds, err := flags.readThresholds()
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			switch ctx := command.Context(); {
			case flags.smoke:
				return p.smoke(ctx, c)
			case flags.watch:
				return p.watchServer(ctx, c)
			case flags.details || flags.check || len(thresholds) > 0:
				return p.serverStatus(ctx, c, flags.check, thresholds)
			}
			return p.loginStatus(command.Context(), c)
		},
	}
	f := command.Flags()
	f.BoolVarP(&flags.details, "details", "d", false, "list the parts of the server and what is wrong with them")
	f.BoolVar(&flags.check, "check", false, "exit with 1 when somebody should look at the server, with 2 when it does not work")
	f.StringArrayVar(&flags.warn, "warn", nil, "a `bound` beyond which somebody should look, like disk.free_bytes<20GB; may be repeated")
	f.StringArrayVar(&flags.critical, "critical", nil, "a `bound` beyond which the server does not work, like *.failures_in_row>5; may be repeated")
	f.StringVar(&flags.thresholds, "thresholds", "", "a YAML `file` with the lists warn and critical of such bounds")
	f.BoolVar(&flags.smoke, "smoke", false, "run a tiny build through every part of the server, and tell how long each took")
	f.BoolVar(&flags.watch, "watch", false, "show builds, queue, workers and pressure, until you interrupt it")
	command.MarkFlagsMutuallyExclusive("smoke", "watch", "details")
	command.MarkFlagsMutuallyExclusive("smoke", "watch", "check")
	return command
}

func (f statusFlags) readThresholds() ([]health.Threshold, error) {
	thresholds, err := health.ParseThresholds(f.warn, f.critical)
	if err != nil || f.thresholds == "" {
		return thresholds, err
	}
	more, err := health.ReadThresholds(f.thresholds)
	return append(thresholds, more...), err
}

// loginStatus tells whether the user is logged in.
func (p *program) loginStatus(ctx context.Context, c *client.Client) error {
	user, err := c.User(ctx)
	if err != nil {
		return err
	}
	if p.flags.json {
		return p.printJSON(user)
	}
	p.report("logged in successfully")
	return nil
}

// smoke runs a tiny build and shows how long each part took.
func (p *program) smoke(ctx context.Context, c *client.Client) error {
	steps, err := health.Smoke(ctx, c)
	answered := answer(p, steps, func(steps []health.Step) table {
		t := table{headers: []string{"part", "took"}}
		total := 0.0
		for _, step := range steps {
			t.add(cell{text: step.Name}, cell{text: seconds(step.TookSeconds)})
			total += step.TookSeconds
		}
		if err == nil {
			t.add(cell{"all of it", bold}, cell{seconds(total), bold})
		}
		return t
	})
	if err != nil {
		// As for a check: a server through which no build goes does not work.
		return &failure{err, checkStatus[api.VerdictCritical]}
	}
	return answered
}

func seconds(n float64) string {
	return time.Duration(n * float64(time.Second)).Round(10 * time.Microsecond).String()
}

// serverStatus shows how the server is; with check it ends with a status that says so.
func (p *program) serverStatus(ctx context.Context, c *client.Client, check bool, thresholds []health.Threshold) error {
	status, told, err := c.Status(ctx)
	var unknown *client.UnauthorizedError
	var refused *client.ForbiddenError
	switch {
	case err != nil && check && !errors.As(err, &unknown) && !errors.As(err, &refused):
		// A server that does not answer is worse than one that should be looked at.
		return &failure{err, checkStatus[api.VerdictCritical]}
	case err != nil:
		return err
	case !told:
		return errNotTold
	}
	if err := health.Apply(&status, thresholds); err != nil {
		return err
	}
	if err := p.showStatus(status); err != nil || !check || status.Verdict == api.VerdictOK {
		return err
	}
	return exitStatus(checkStatus[status.Verdict])
}

// checked gives an error of a check a status that is not that of a verdict, when it does not
// tell of one. It may be about the command line, also one that no flags could be read of.
func (p *program) checked(command *cobra.Command, err error) error {
	if err == nil || command.Name() != "status" || !slices.ContainsFunc(p.args, asksForCheck) || exitStatusOf(err) != exitError {
		return err
	}
	if status := exitStatus(0); errors.As(err, &status) { // a warning
		return err
	}
	return &failure{err, exitUnknown}
}

// asksForCheck tells whether an argument is the flag --check, with a value or without. With
// one that is none it is a check too, whose command line is wrong.
func asksForCheck(argument string) bool {
	value, given := strings.CutPrefix(argument, "--check=")
	check, err := strconv.ParseBool(value)
	return argument == "--check" || given && (check || err != nil)
}

var errNotTold = errors.New("the server does not tell how it is, as a midge server would")

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
	t := table{headers: []string{"part", "verdict", "last run", "took", "backlog", "finding"}}
	for _, part := range parts {
		took := time.Duration(part.TookSeconds * float64(time.Second)).Round(time.Microsecond)
		t.add(cell{text: part.Name}, cell{string(part.Verdict), verdictStyles[part.Verdict]},
			cell{text: age(part.LastRun, time.Unix(at, 0))}, cell{text: took.String()},
			orNone(backlog(part)), orNone(part.Finding))
	}
	return t
}

// backlog is how much waits for a part, "" where nothing ever does.
func backlog(part api.StatusPart) string {
	if part.Backlog == nil {
		return ""
	}
	return strconv.FormatFloat(*part.Backlog, 'f', -1, 64)
}
