package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"midge/api"
	"midge/client"
)

const (
	// watchPeriod is how often the view of a server is shown anew.
	watchPeriod = 2 * time.Second
	// watchedBuilds is how many builds it shows.
	watchedBuilds = 15
)

// watchServer shows a server again and again until it is interrupted, which is no
// failure. On a terminal each view takes the place of the one before.
func (p *program) watchServer(ctx context.Context, c *client.Client) error {
	ticker := time.NewTicker(watchPeriod)
	defer ticker.Stop()
	for {
		if err := p.showServer(ctx, c); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// showServer shows one view. It asks for all of it before it shows any.
func (p *program) showServer(ctx context.Context, c *client.Client) error {
	status, told, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if !told {
		return errNotTold
	}
	builds, err := c.Builds(ctx, client.BuildFilter{Limit: watchedBuilds})
	if err != nil {
		return err
	}
	workers, err := c.Workers(ctx)
	if err != nil {
		return err
	}
	if p.stdout.terminal && !p.stdout.dumb {
		// To the top left, and everything from there on away.
		io.WriteString(p.stdout, "\x1b[H\x1b[J")
	}
	width := p.stdout.width()
	p.showHead(c.URL(), status.Verdict, width)
	for _, section := range []table{loadTable(status), findingsTable(status), watchedWorkersTable(workers), watchedBuildsTable(builds)} {
		if len(section.rows) == 0 {
			continue
		}
		if width > 0 {
			section = section.fitted(width)
		}
		if err := p.print(section); err != nil {
			return err
		}
		fmt.Fprintln(p.stdout)
	}
	return nil
}

// showHead shows whose view it is and the verdict, which is there whatever the width is.
func (p *program) showHead(address string, verdict api.Verdict, width int) {
	if width > 0 {
		address = cut(address, max(0, width-len(verdict)-2))
	}
	fmt.Fprintf(p.stdout, "%s  %s\n\n", p.stdout.paint(bold, address), p.stdout.paint(verdictStyles[verdict], string(verdict)))
}

// watchedWorkersTable and watchedBuildsTable have first what somebody watches for: a
// narrow terminal has no room for the rest.
func watchedWorkersTable(workers []api.Worker) table {
	return workersTable(workers, false, time.Now()).only("name", "state", "containers", "platform", "tags", "team", "version", "age")
}

func watchedBuildsTable(builds []api.Build) table {
	return buildsTable(builds).only("id", "status", "duration", "name", "team", "created by", "start", "end")
}

// loadTable shows what the parts of a server tell of its load.
func loadTable(status api.Status) table {
	t := table{headers: []string{"load", ""}, wraps: true}
	values := map[string]map[string]float64{}
	for _, part := range status.Parts {
		values[part.Name] = part.Values
	}
	if engine, ok := values["engine"]; ok {
		t.add(cell{text: "builds"}, cell{text: fmt.Sprintf("%.0f active, %.0f waiting", engine["active_builds"], engine["waiting_builds"])})
	}
	if sessions, ok := values["sessions"]; ok {
		t.add(cell{text: "sessions"}, cell{text: fmt.Sprintf("%.0f", sessions["sessions"])})
	}
	if disk, ok := values["disk"]; ok && disk["total_bytes"] > 0 {
		t.add(cell{text: "disk"}, cell{text: fmt.Sprintf("%.0f %% free", 100*disk["free_bytes"]/disk["total_bytes"])})
	}
	if machine, ok := values["machine"]; ok {
		t.add(cell{text: "pressure"}, cell{text: fmt.Sprintf("cpu %.0f %%, memory %.0f %%, disk %.0f %%",
			machine["cpu_pressure"], machine["memory_pressure"], machine["io_pressure"])})
	}
	return t
}

// findingsTable lists the parts of which there is something to say.
func findingsTable(status api.Status) table {
	t := table{headers: []string{"part", "verdict", "finding"}, wraps: true}
	for _, part := range status.Parts {
		if part.Verdict != api.VerdictOK {
			t.add(cell{text: part.Name}, cell{string(part.Verdict), verdictStyles[part.Verdict]}, orNone(part.Finding))
		}
	}
	return t
}
