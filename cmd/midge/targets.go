package main

import (
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"midge/client"
)

// targetEntry is a target as --json shows it: without its token.
type targetEntry struct {
	Name    string     `json:"name"`
	URL     string     `json:"url"`
	Team    string     `json:"team"`
	Expires *time.Time `json:"expires,omitempty"`
	Fly     bool       `json:"fly,omitempty"` // it is in fly's file
}

func newTargetsCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "targets",
		Aliases: []string{"ts"},
		GroupID: groupTargets,
		Short:   "List the targets that are saved",
		Long: `List the targets that are saved, those of fly in ~/.flyrc included. The server's socket on
this machine is the target "local" and needs no saving.`,
		RunE: func(command *cobra.Command, args []string) error {
			file := p.targetFile()
			targets, err := file.Load()
			if err != nil {
				return err
			}
			var entries []targetEntry
			for _, name := range slices.Sorted(maps.Keys(targets)) {
				entries = append(entries, newTargetEntry(name, targets[name]))
			}
			return answer(p, entries, targetsTable)
		},
	}
}

func newTargetEntry(name string, target client.Target) targetEntry {
	entry := targetEntry{Name: name, URL: target.URL, Team: target.Team, Fly: target.Fly}
	if entry.Team == "" {
		entry.Team = client.DefaultTeam
	}
	if target.Token != nil {
		entry.Expires = target.Token.Expires
	}
	return entry
}

func targetsTable(entries []targetEntry) table {
	t := table{headers: []string{"name", "url", "team", "expiry"}}
	for _, entry := range entries {
		expiry := "n/a"
		if entry.Expires != nil {
			expiry = entry.Expires.UTC().Format(time.RFC1123)
		}
		t.add(cell{text: entry.Name}, cell{text: entry.URL}, cell{text: entry.Team}, cell{text: expiry})
	}
	return t
}
