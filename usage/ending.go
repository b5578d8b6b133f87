package usage

import (
	"fmt"
	"time"

	"midge/api"
)

// Ending is what is known of how a task ended.
type Ending struct {
	// ExitStatus is as a shell gives it: 128 and the signal's number of what was killed by one.
	ExitStatus int
	// OOMKilled tells that the runtime saw a process killed for memory.
	OOMKilled bool
	// DiskUsed is what the task's container took on the disk, in bytes, when it was killed
	// because that was more than DiskLimit, or ended while it could write no more, else 0.
	DiskUsed, DiskLimit uint64
	// Timeout is the time the step was given, when that ran out, else 0.
	Timeout time.Duration
	// Aborted tells that somebody aborted the build, AbortedBy who, "" when that is not known.
	Aborted   bool
	AbortedBy string
	// Usage is what was sampled; its zero value is nothing.
	Usage api.StepUsage
}

const (
	killed     = 128 + 9
	terminated = 128 + 15
)

// Explain says in one sentence why a task was killed, by which limit, and what
// would change it. It is "" for a task of which nothing was killed.
func (e Ending) Explain() string {
	s := Summarise(e.Usage)
	kills := uint64(0)
	if s.OOMKills != nil {
		kills = *s.OOMKills
	}
	byKill := e.ExitStatus == killed || e.ExitStatus == terminated
	switch {
	case e.DiskUsed > 0 && e.ExitStatus != 0:
		return e.explainDisk()
	case e.OOMKilled || kills > 0:
		return e.explainMemory(s, kills)
	case byKill && e.Timeout > 0:
		return fmt.Sprintf("the task was killed because its timeout of %v ran out; give the step a longer timeout", e.Timeout)
	case byKill && e.Aborted:
		by := e.AbortedBy
		if by == "" {
			by = "somebody"
		}
		return fmt.Sprintf("the task was killed because %s aborted the build", by)
	case byKill:
		return e.explainUnknown(s)
	case e.ExitStatus != 0 && e.failedForks() > 0:
		return fmt.Sprintf("the task could not start a process %d times: it was at its limit of %s processes; raise the server's --default-task-pids-limit",
			e.failedForks(), formatCount(s.Limits.PIDs))
	}
	return ""
}

// explainMemory tells the task's own limit from a machine that had no memory left.
func (e Ending) explainMemory(s Summary, kills uint64) string {
	who := "the task was killed for memory"
	if e.ExitStatus != killed {
		who = "a process of the task was killed for memory"
		if kills > 1 {
			who = fmt.Sprintf("%d processes of the task were killed for memory", kills)
		}
	}
	peak := "peak n/a (not sampled)"
	if s.MemoryPeak != nil {
		peak = "peak " + atLeast(s.MemoryPeakSeen) + formatBytes(*s.MemoryPeak)
	}
	limit := s.Limits.MemoryBytes
	switch {
	case limit == nil:
		return fmt.Sprintf("%s: it has no limit of its own, so its worker ran out of memory (%s); set container_limits.memory in the task's file, or run it on a larger worker", who, peak)
	case s.MemoryPeak != nil && *s.MemoryPeak < *limit-*limit/10:
		return fmt.Sprintf("%s: it stayed below its limit of %s (%s), so its worker ran out of memory; run it on a larger worker", who, formatBytes(*limit), peak)
	}
	return fmt.Sprintf("%s: it reached its limit of %s (%s); raise container_limits.memory in the task's file or the server's --default-task-memory-limit", who, formatBytes(*limit), peak)
}

// explainDisk tells a task that was killed from one that failed by itself.
func (e Ending) explainDisk() string {
	const change = "raise container_limits.disk in the task's file or the server's --default-task-disk-limit"
	if e.ExitStatus != killed {
		return fmt.Sprintf("the task could not write any more: its container had %s on the disk, and its limit is %s; %s", formatBytes(e.DiskUsed), formatBytes(e.DiskLimit), change)
	}
	return fmt.Sprintf("the task was killed for disk space: its container had %s on the disk, more than its limit of %s; %s", formatBytes(e.DiskUsed), formatBytes(e.DiskLimit), change)
}

func (e Ending) explainUnknown(s Summary) string {
	signal := "SIGKILL"
	if e.ExitStatus == terminated {
		signal = "SIGTERM"
	}
	memory := ""
	if s.MemoryPeak != nil && s.Limits.MemoryBytes != nil {
		memory = fmt.Sprintf(" (memory peak %s%s of %s)", atLeast(s.MemoryPeakSeen), formatBytes(*s.MemoryPeak), formatBytes(*s.Limits.MemoryBytes))
	}
	return fmt.Sprintf("the task was killed by a %s that neither a limit%s, nor a timeout, nor an abort has sent: look for it in the task itself or with the worker's administrator", signal, memory)
}

// failedForks is how often a process could not be made for the pids limit.
func (e Ending) failedForks() uint64 {
	samples := e.Usage.ResourceUsage.Samples
	if len(samples) == 0 {
		return 0
	}
	stat := samples[len(samples)-1].PIDsStat
	if stat == nil || stat.MaxEvents == nil {
		return 0
	}
	return *stat.MaxEvents
}

func formatCount(n *uint64) string {
	if n == nil {
		return "an unknown number of"
	}
	return fmt.Sprint(*n)
}
