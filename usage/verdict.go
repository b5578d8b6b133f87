package usage

import (
	"fmt"
	"time"

	"midge/api"
)

// Verdict is one sentence on what the longest step spent its time on:
//
//	slowest part: run, waiting for disk 3.1 s of 7.5 s
//
// part names the slowest part when a trace knows it, "" names the step. A part outside
// of the steps took so long, one of a step's running 0. The verdict is ""
// when there is no step. Hijack sessions are none: they take as long as somebody looks.
func Verdict(build api.BuildUsage, part string, took time.Duration) string {
	var longest *api.StepUsage
	for i := range build.Steps {
		step := &build.Steps[i]
		if step.Session != "" {
			continue
		}
		if longest == nil || step.Ended.Sub(step.Started) > longest.Ended.Sub(longest.Started) {
			longest = step
		}
	}
	if longest == nil {
		return ""
	}
	switch {
	case part == "":
		part = stepName(*longest)
	case took > 0:
		return fmt.Sprintf("slowest part: %s, %s", part, formatDuration(took))
	}
	s := Summarise(*longest)
	what, spent := occupation(s)
	if what == "" {
		return fmt.Sprintf("slowest part: %s, %s", part, formatDuration(s.Wall))
	}
	return fmt.Sprintf("slowest part: %s, %s %s of %s", part, what, formatDuration(spent), formatDuration(s.Wall))
}

// occupation says what a step did for most of its time, as far as that is known.
// Waiting is named first where it is a quarter or more, for it is what can be helped.
func occupation(s Summary) (what string, spent time.Duration) {
	if s.Brief {
		return "", 0
	}
	for _, wait := range []struct {
		what  string
		spent *time.Duration
	}{
		{"waiting for disk", s.IOWait},
		{"waiting for memory", s.MemoryWait},
		{"held back by its cpu limit", s.Throttled},
		{"waiting for a free cpu", s.CPUWait},
	} {
		if wait.spent != nil && min(*wait.spent, s.Wall) > max(spent, s.Wall/4) {
			what, spent = wait.what, min(*wait.spent, s.Wall)
		}
	}
	if what != "" || s.CPU == nil {
		return what, spent
	}
	if *s.CPU >= s.Wall/2 {
		return "computing", min(*s.CPU, s.Wall)
	}
	return "waiting for something else than disk, memory or cpu", s.Wall - *s.CPU
}
