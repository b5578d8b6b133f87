package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"midge/client"
)

func newClearTaskCacheCommand(p *program) *cobra.Command {
	var caches client.CacheSelector
	var job string
	var unasked bool
	command := &cobra.Command{
		Use:     "clear-task-cache -s STEP",
		Aliases: []string{"ctc"},
		GroupID: groupBuilds,
		Short:   "Empty the caches of a task",
		Long: `Empty the caches of a task, all or one of them. The step of a task that execute runs is
called one-off.`,
		Example: `  midge clear-task-cache -s one-off
  midge clear-task-cache -s one-off -c go-cache -n`,
		RunE: func(command *cobra.Command, args []string) error {
			if caches.Step == "" {
				return errors.New("name the step with -s, like: midge clear-task-cache -s one-off")
			}
			var whole bool
			if caches.PipelineName, caches.JobName, whole = strings.Cut(job, "/"); job != "" && !whole {
				return fmt.Errorf("-j %s is no job; write it as -j PIPELINE/JOB", job)
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if !unasked {
				if err := p.confirm("empty the caches of the step " + caches.Step + "?"); err != nil {
					return err
				}
			}
			removed, err := c.ClearTaskCache(command.Context(), caches)
			if err != nil {
				return err
			}
			if p.flags.json {
				return p.printJSON(map[string]int{"caches_removed": removed})
			}
			p.report("%d caches removed", removed)
			return nil
		},
	}
	flags := command.Flags()
	chosenVar(flags, &caches.Step, "step", "s", "the `name` of the task's step")
	chosenVar(flags, &caches.Path, "cache-path", "c", "only the cache of this `path`")
	chosenVar(flags, &job, "job", "j", "whose task it is, of a Concourse: `PIPELINE/JOB`")
	flags.BoolVarP(&unasked, "non-interactive", "n", false, "do not ask whether that is meant")
	return command
}
