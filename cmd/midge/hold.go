package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
	"midge/execute"
)

func newHoldCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "hold BUILD [DURATION]",
		GroupID: groupBuilds,
		Short:   "Keep the containers of a build, to hijack them later",
		Long: `Keep the containers of a build for that long, an hour if you do not say, whether it
failed or succeeded; those of a build that runs are kept for that long after its end. Who
is in a container keeps it too. What a task was given, secrets among it, stays in its
container as long, and the events of the build say who keeps it.`,
		Example: `  midge hold 12
  midge hold 12 2h`,
		Args: arguments(1, 2),
		RunE: func(command *cobra.Command, args []string) error {
			duration := time.Hour
			if len(args) == 2 {
				var err error
				if duration, err = time.ParseDuration(args[1]); err != nil || duration <= 0 {
					return fmt.Errorf("%q is no time to hold a build for; give one like 30m or 2h", args[1])
				}
			}
			return p.changeHold(command.Context(), args[0], func(ctx context.Context, c *client.Client, build int) ([]api.Container, error) {
				return c.Hold(ctx, build, duration)
			})
		},
	}
}

func newReleaseCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "release BUILD",
		GroupID: groupBuilds,
		Short:   "Let the containers of a build go that are held",
		Example: "  midge release 12",
		Args:    arguments(1, 1),
		RunE: func(command *cobra.Command, args []string) error {
			return p.changeHold(command.Context(), args[0], func(ctx context.Context, c *client.Client, build int) ([]api.Container, error) {
				return c.Release(ctx, build)
			})
		},
	}
}

// changeHold holds or releases a build, and says what is held then.
func (p *program) changeHold(ctx context.Context, text string, change func(context.Context, *client.Client, int) ([]api.Container, error)) error {
	build, err := parseBuildID(text)
	if err != nil {
		return err
	}
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	containers, err := change(ctx, c, build)
	if err != nil {
		return err
	}
	return answer(p, containers, heldTable)
}

// heldTable shows how long containers are kept.
func heldTable(containers []api.Container) table {
	t := table{headers: []string{"build", "step", "handle", "kept for", "held by"}}
	for _, c := range containers {
		kept := "no longer than its task runs"
		if remaining, err := time.ParseDuration(c.ExpiresIn); err == nil {
			kept = shortDuration(remaining)
		}
		t.add(cell{text: c.BuildName}, orNone(c.StepName), cell{text: c.ID}, cell{text: kept}, orNone(c.HeldBy))
	}
	return t
}

// holdTime gives what --hold asks for, as a plan has it. Without it the container is kept
// for who can look into it, and not where nobody does.
func (p *program) holdTime(flag string) (string, error) {
	switch duration, err := time.ParseDuration(flag); {
	case flag == "" && p.stderr.terminal:
		return "", nil
	case flag == "":
		return "0", nil
	case err != nil || duration < 0:
		return "", fmt.Errorf("--hold is %q and should be a time like 30m or 2h, or 0", flag)
	default:
		return duration.String(), nil
	}
}

// sayHeld says of a build that did not succeed how to look into its container.
func (p *program) sayHeld(ctx context.Context, c *client.Client, outcome execute.Outcome) {
	if p.flags.quiet || outcome.Status != api.StatusFailed && outcome.Status != api.StatusErrored {
		return
	}
	// That the build did not succeed is what matters: a failure here is not shown.
	containers, err := c.Containers(ctx, client.ContainerFilter{BuildID: outcome.BuildID})
	containers = slices.DeleteFunc(containers, func(c api.Container) bool { return c.State == api.ContainerFailed })
	if err != nil || len(containers) == 0 {
		return
	}
	held := "to look inside:"
	if remaining, err := time.ParseDuration(containers[0].ExpiresIn); err == nil && remaining > 0 {
		held = fmt.Sprintf("held for %s:", shortDuration(remaining))
	}
	fmt.Fprintln(p.stderr, p.typed(fmt.Sprintf("%s midge hijack -b %d", held, outcome.BuildID)))
}

// shortDuration is a time as people say it: 1h, 59m or 30s.
func shortDuration(d time.Duration) string {
	precision := time.Second
	if d >= 10*time.Minute {
		precision = time.Minute
	}
	d = d.Round(precision)
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
