package main

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
)

func newContainersCommand(p *program) *cobra.Command {
	var filter client.ContainerFilter
	command := &cobra.Command{
		Use:     "containers",
		Aliases: []string{"cs"},
		GroupID: groupOther,
		Short:   "List the containers that there are",
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			containers, err := c.Containers(command.Context(), filter)
			if err != nil {
				return err
			}
			slices.SortFunc(containers, func(a, b api.Container) int { return cmp.Compare(a.ID, b.ID) })
			return answer(p, containers, containersTable)
		}),
	}
	command.Flags().IntVarP(&filter.BuildID, "build", "b", 0, "only those of the build of this `id`")
	return command
}

func containersTable(containers []api.Container) table {
	t := table{headers: []string{"handle", "worker", "pipeline", "job", "build #", "build id", "type", "name", "attempt"}}
	for _, c := range containers {
		build := ""
		if c.BuildID != 0 {
			build = strconv.Itoa(c.BuildID)
		}
		t.add(cell{text: c.ID}, cell{text: c.WorkerName}, orNone(c.PipelineName), orNone(c.JobName),
			orNone(c.BuildName), orNone(build), cell{text: c.Type}, orNone(c.StepName+c.ResourceName),
			cell{text: cmp.Or(c.Attempt, "n/a")})
	}
	return t
}
