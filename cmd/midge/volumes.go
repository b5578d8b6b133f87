package main

import (
	"cmp"
	"slices"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
)

func newVolumesCommand(p *program) *cobra.Command {
	var details bool
	command := &cobra.Command{
		Use:     "volumes",
		Aliases: []string{"vs"},
		GroupID: groupOther,
		Short:   "List the volumes that there are",
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			volumes, err := c.Volumes(command.Context())
			if err != nil {
				return err
			}
			slices.SortFunc(volumes, func(a, b api.Volume) int {
				return cmp.Or(cmp.Compare(a.WorkerName, b.WorkerName), cmp.Compare(a.ID, b.ID))
			})
			return answer(p, volumes, func(volumes []api.Volume) table { return volumesTable(volumes, details) })
		}),
	}
	command.Flags().BoolVarP(&details, "details", "d", false, "show where each is mounted")
	return command
}

func volumesTable(volumes []api.Volume, details bool) table {
	t := table{headers: []string{"handle", "worker", "type", "identifier"}}
	for _, volume := range volumes {
		t.add(cell{text: volume.ID}, cell{text: volume.WorkerName}, cell{text: volume.Type},
			cell{text: volumeIdentifier(volume, details)})
	}
	return t
}

// volumeIdentifier says what a volume is for.
func volumeIdentifier(volume api.Volume, details bool) string {
	switch volume.Type {
	case "container":
		if !details {
			return volume.ContainerHandle
		}
		identifier := "container:" + volume.ContainerHandle + ",path:" + volume.Path
		if volume.ParentHandle != "" {
			identifier += ",parent:" + volume.ParentHandle
		}
		return identifier
	case "task-cache":
		if volume.PipelineName == "" {
			return volume.StepName + ":" + volume.Path
		}
		return volume.PipelineName + "/" + volume.JobName + "/" + volume.StepName
	}
	return "n/a"
}
