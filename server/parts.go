package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"midge/api"
)

// parts are the parts of a server that report how they are, each on a period of its
// own. One that no longer does has stopped, and is found by its silence.
type parts struct {
	now func() time.Time

	mu    sync.Mutex
	parts map[string]*part
}

// part is what is known of a part.
type part struct {
	period   time.Duration
	expected time.Time // when it last reported, or was to begin
	last     time.Time // zero before the first report
	took     time.Duration
	failures int // in a row
	err      error
	values   partValues
}

// partValues are numbers that a part reports, by name.
type partValues map[string]float64

// finding is an error that says how bad it is.
type finding struct {
	verdict api.Verdict
	text    string
}

func (f *finding) Error() string { return f.text }

const (
	// silentPeriods is how many periods a part may be silent, and silentGrace how
	// much longer: a machine that is busy is no part that has stopped.
	silentPeriods = 3
	silentGrace   = 30 * time.Second
	// criticalFailures is after how many failures in a row nobody should wait.
	criticalFailures = 3
)

// backlogs name those values of parts that are what waits for them.
var backlogs = map[string]string{
	partContainerCollection: "due_containers",
	partDatabase:            "log_bytes",
	partEngine:              "waiting_builds",
	partSpans:               "pending_spans",
}

// expect makes a part known that reports each period.
func (p *parts) expect(name string, period time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts[name] = &part{period: period, expected: p.now()}
}

// forget removes a part that is no more.
func (p *parts) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.parts, name)
}

// report notes that a part has run since began, and what came of it. It is false when
// the part was forgotten.
func (p *parts) report(name string, began time.Time, values partValues, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	part, now := p.parts[name], p.now()
	if part == nil {
		return false
	}
	part.last, part.expected, part.took, part.values, part.err = now, now, now.Sub(began), values, err
	if err == nil {
		part.failures = 0
	} else {
		part.failures++
	}
	return true
}

// watch has a part look after itself each period, until ctx ends or it was forgotten.
func (p *parts) watch(ctx context.Context, name string, period time.Duration, look func(ctx context.Context) (partValues, error)) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		began := p.now()
		values, err := look(ctx)
		if ctx.Err() != nil {
			return
		}
		if !p.report(name, began, values, err) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// list gives the parts by name.
func (p *parts) list() []api.StatusPart {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []api.StatusPart
	for _, name := range slices.Sorted(maps.Keys(p.parts)) {
		list = append(list, p.parts[name].status(name, p.now()))
	}
	return list
}

func (p *part) status(name string, now time.Time) api.StatusPart {
	status := api.StatusPart{
		Name:          name,
		PeriodSeconds: p.period.Seconds(),
		TookSeconds:   p.took.Seconds(),
		NextDue:       p.expected.Add(p.period).Unix(),
		FailuresInRow: p.failures,
		Values:        p.values,
	}
	if !p.last.IsZero() {
		status.LastRun = p.last.Unix()
	}
	if backlog, ok := p.values[backlogs[name]]; ok {
		status.Backlog = &backlog
	}
	status.Verdict, status.Finding = p.verdict(now)
	return status
}

func (p *part) verdict(now time.Time) (api.Verdict, string) {
	var found *finding
	silent := now.Sub(p.expected)
	switch {
	case silent > silentPeriods*p.period+silentGrace:
		return api.VerdictCritical, fmt.Sprintf("it should report every %v and has not for %v: it is stuck", p.period, silent.Round(time.Second))
	case errors.As(p.err, &found):
		return found.verdict, found.text
	case p.failures >= criticalFailures:
		return api.VerdictCritical, fmt.Sprintf("it has failed %d times in a row: %v", p.failures, p.err)
	case p.err != nil:
		return api.VerdictWarning, fmt.Sprintf("it has failed: %v", p.err)
	}
	return api.VerdictOK, ""
}
