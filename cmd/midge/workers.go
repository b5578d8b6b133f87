package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
)

func newWorkersCommand(p *program) *cobra.Command {
	var details bool
	command := &cobra.Command{
		Use:     "workers",
		Aliases: []string{"ws"},
		GroupID: groupOther,
		Short:   "List the workers",
		RunE: p.withClient(func(command *cobra.Command, c *client.Client) error {
			workers, err := c.Workers(command.Context())
			if err != nil {
				return err
			}
			slices.SortFunc(workers, func(a, b api.Worker) int { return cmp.Compare(a.Name, b.Name) })
			return answer(p, workers, func(workers []api.Worker) table { return workersTable(workers, details, time.Now()) })
		}),
	}
	command.Flags().BoolVarP(&details, "details", "d", false, "show addresses, tasks and resource types too")
	return command
}

func workersTable(workers []api.Worker, details bool, now time.Time) table {
	t := table{headers: []string{"name", "containers", "platform", "tags", "team", "state", "version", "age"}}
	if details {
		t.headers = append(t.headers, "garden address", "baggageclaim url", "active tasks", "resource types")
	}
	for _, w := range workers {
		row := []cell{{text: w.Name}, {text: strconv.Itoa(w.ActiveContainers)}, {text: w.Platform},
			orNone(strings.Join(w.Tags, ", ")), orNone(w.Team), {text: workerState(w)}, orNone(w.Version),
			{text: age(w.StartTime, now)}}
		if details {
			row = append(row, orNone(w.Addr), orNone(w.BaggageclaimURL), cell{text: strconv.Itoa(w.ActiveTasks)},
				orNone(resourceTypes(w)))
		}
		t.add(row...)
	}
	return t
}

// workerState says how a worker is, and what containers wait for that are to be made there.
func workerState(w api.Worker) string {
	if w.Pending == 0 {
		return w.State
	}
	text := fmt.Sprintf("%s, %d pending", w.State, w.Pending)
	if len(w.Waits) > 0 {
		text += ": " + strings.Join(w.Waits, "; ")
	}
	return text
}

// resourceTypes names the resource types of a Concourse worker.
func resourceTypes(worker api.Worker) string {
	var names []string
	for _, resourceType := range worker.ResourceTypes {
		if fields, ok := resourceType.(map[string]any); ok {
			names = append(names, fmt.Sprint(fields["type"]))
		}
	}
	return strings.Join(names, ", ")
}

// age shows the time since a Unix time, as fly does.
func age(since int64, now time.Time) string {
	seconds := now.Unix() - since
	switch {
	case since <= 0 || seconds < 0:
		return "n/a"
	case seconds >= 24*3600:
		return fmt.Sprintf("%dd", seconds/(24*3600))
	case seconds >= 3600:
		return fmt.Sprintf("%dh%dm", seconds/3600, seconds%3600/60)
	case seconds >= 60:
		return fmt.Sprintf("%dm%ds", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%ds", seconds)
}
