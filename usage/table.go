package usage

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"midge/api"
	"midge/terminal"
)

// Table writes what each step used, a paragraph a step, for a person. No line is
// wider than width characters, 0 being no bound, unless a single fact is.
func Table(w io.Writer, build api.BuildUsage, width int) error {
	var text strings.Builder
	column := 0
	for _, step := range build.Steps {
		column = max(column, utf8.RuneCountInString(stepName(step)))
	}
	for _, step := range build.Steps {
		paragraph(&text, stepName(step), column, width, rows(step))
	}
	if build.Client != nil {
		paragraph(&text, "this command", max(column, len("this command")), width, [][]string{clientFacts(*build.Client)})
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// stepName is what the step is called, without what a terminal would obey.
func stepName(step api.StepUsage) string { return terminal.Line(step.Name) }

// paragraph writes rows of facts beside a name, each row broken where it gets too wide.
func paragraph(text *strings.Builder, name string, column, width int, rows [][]string) {
	const space = 2
	label := name
	for _, row := range rows {
		used := 0
		for _, fact := range row {
			length := utf8.RuneCountInString(fact)
			switch {
			case used == 0:
				fmt.Fprintf(text, "%-*s  %s", column, label, fact)
				used = column + space + length
			case width > 0 && used+space+length > width:
				fmt.Fprintf(text, "\n%-*s  %s", column, "", fact)
				used = column + space + length
			default:
				fmt.Fprintf(text, "  %s", fact)
				used += space + length
			}
			label = ""
		}
		text.WriteByte('\n')
	}
}

func rows(step api.StepUsage) [][]string {
	s, missing := Summarise(step), step.ResourceUsage.Missing
	if len(step.ResourceUsage.Samples) == 0 {
		return [][]string{{notAvailable(missing, "")}}
	}
	rows := [][]string{
		append([]string{cpuFact(s, missing), memoryFact(s, missing)},
			append(ioFacts(s, missing), networkFact(s, missing), pidsFact(s, missing))...),
	}
	if s.Brief {
		rows = append(rows, []string{"pressure and system cpu n/a (it was too short)"})
	} else {
		rows = append(rows, append(pressureFacts(s, missing), systemFact(s)))
	}
	if s.OOMKills != nil && *s.OOMKills > 0 {
		rows = append(rows, []string{fmt.Sprintf("killed for memory: %d of its processes", *s.OOMKills)})
	}
	return together(rows)
}

// together has numbers that are not there for the same reason in one fact, the last.
func together(rows [][]string) [][]string {
	names := map[string][]string{}
	var reasons []string
	for _, fact := range slices.Concat(rows...) {
		name, reason, missing := strings.Cut(fact, " n/a ")
		if missing && names[reason] == nil {
			reasons = append(reasons, reason)
		}
		names[reason] = append(names[reason], name)
	}
	reasons = slices.DeleteFunc(reasons, func(reason string) bool { return len(names[reason]) == 1 })
	for i, row := range rows {
		rows[i] = slices.DeleteFunc(row, func(fact string) bool {
			_, reason, missing := strings.Cut(fact, " n/a ")
			return missing && slices.Contains(reasons, reason)
		})
	}
	for _, reason := range reasons {
		last := len(names[reason]) - 1
		rows = append(rows, []string{strings.Join(names[reason][:last], ", ") + " and " + names[reason][last] + " n/a " + reason})
	}
	return rows
}

// notAvailable says why a number is not there.
func notAvailable(missing map[string]string, field string) string {
	if why := missingReason(missing, field); why != "" {
		return "n/a (" + why + ")"
	}
	return "n/a (not sampled)"
}

func cpuFact(s Summary, missing map[string]string) string {
	if s.CPU == nil {
		return "cpu " + notAvailable(missing, "cpuStat.usageNanos")
	}
	fact := "cpu " + formatDuration(*s.CPU)
	if cores := s.CPU.Seconds() / s.Wall.Seconds(); !s.Brief && cores >= 0.05 { // else it would be 0
		fact += fmt.Sprintf(" (%s cores)", formatNumber(cores))
	}
	if s.Throttled != nil && *s.Throttled > 0 {
		fact += fmt.Sprintf(", held back %s by its limit", formatDuration(*s.Throttled))
		if s.Limits.CPUs != nil {
			fact += fmt.Sprintf(" of %s", formatNumber(*s.Limits.CPUs))
		}
	}
	return fact
}

func memoryFact(s Summary, missing map[string]string) string {
	if s.MemoryPeak == nil {
		return "mem peak " + notAvailable(missing, "memoryStat.peak")
	}
	fact := "mem peak " + atLeast(s.MemoryPeakSeen) + formatBytes(*s.MemoryPeak)
	if s.Limits.MemoryBytes != nil {
		fact += " of " + formatBytes(*s.Limits.MemoryBytes)
	}
	return fact
}

func atLeast(seen bool) string {
	if seen {
		return ">= "
	}
	return ""
}

func ioFacts(s Summary, missing map[string]string) []string {
	if s.Read == nil && s.Written == nil {
		return []string{"disk " + notAvailable(missing, "ioStat.readBytes")}
	}
	return []string{
		"read " + bytesOr(s.Read, missing, "ioStat.readBytes"),
		"write " + bytesOr(s.Written, missing, "ioStat.writeBytes"),
	}
}

func bytesOr(n *uint64, missing map[string]string, field string) string {
	if n == nil {
		return notAvailable(missing, field)
	}
	return formatBytes(*n)
}

func networkFact(s Summary, missing map[string]string) string {
	if s.Received == nil || s.Sent == nil {
		return "net " + notAvailable(missing, "netStat")
	}
	return fmt.Sprintf("net %s in, %s out", formatBytes(*s.Received), formatBytes(*s.Sent))
}

func pidsFact(s Summary, missing map[string]string) string {
	if s.PIDsPeak == nil {
		return "pids " + notAvailable(missing, "pidsStat.peak")
	}
	fact := fmt.Sprintf("pids %s%d", atLeast(s.PIDsPeakSeen), *s.PIDsPeak)
	if s.Limits.PIDs != nil {
		fact += fmt.Sprintf(" of %d", *s.Limits.PIDs)
	}
	return fact
}

func pressureFacts(s Summary, missing map[string]string) []string {
	if s.CPUWait == nil && s.MemoryWait == nil && s.IOWait == nil {
		return []string{"pressure " + notAvailable(missing, "cpuStat.pressure")}
	}
	share := func(name, field string, wait *time.Duration) string {
		if wait == nil {
			return name + " " + notAvailable(missing, field)
		}
		return name + " " + formatPercent(min(1, wait.Seconds()/s.Wall.Seconds()))
	}
	return []string{
		share("pressure cpu", "cpuStat.pressure", s.CPUWait),
		share("memory", "memoryStat.pressure", s.MemoryWait),
		share("io", "ioStat.pressure", s.IOWait),
	}
}

func systemFact(s Summary) string {
	if s.SystemBusy == nil {
		return "system cpu n/a (not sampled)"
	}
	fact := fmt.Sprintf("system cpu %s busy", formatPercent(*s.SystemBusy))
	if s.Share != nil {
		fact += fmt.Sprintf(", %s of it this task", formatPercent(*s.Share))
	}
	return fact
}

func clientFacts(c api.ClientUsage) []string {
	facts := []string{"cpu n/a (the system does not tell)", "mem peak n/a (the system does not tell)"}
	if c.UserNanos != nil && c.SystemNanos != nil {
		facts[0] = "cpu " + formatDuration(time.Duration(*c.UserNanos+*c.SystemNanos))
	}
	if c.PeakBytes != nil {
		facts[1] = "mem peak " + formatBytes(*c.PeakBytes)
	}
	requests := "requests"
	if c.Requests == 1 {
		requests = "request"
	}
	return append(facts,
		"sent "+formatBytes(c.SentBytes), "received "+formatBytes(c.ReceivedBytes),
		fmt.Sprintf("%d %s in %s", c.Requests, requests, formatDuration(time.Duration(c.WallNanos))))
}
