package usage

import (
	"time"

	"midge/api"
)

// Summary is what a step used in all. What is not known is nil.
type Summary struct {
	Wall time.Duration
	// Brief tells that Wall is less than shares of it can be told of.
	Brief bool

	// CPU is the time on cpus, which on several at once is more than Wall.
	CPU, User, System *time.Duration
	// Throttled is how long its cpu quota held it back.
	Throttled *time.Duration

	// MemoryPeak is the most that was in use, PIDsPeak the most processes and
	// threads at once. Where the kernel keeps no peak they are the most that a
	// sample saw, and MemoryPeakSeen, PIDsPeakSeen are true.
	MemoryPeak     *uint64
	MemoryPeakSeen bool
	PIDsPeak       *uint64
	PIDsPeakSeen   bool
	OOMKills       *uint64

	Read, Written  *uint64
	Received, Sent *uint64

	// CPUWait, MemoryWait and IOWait are how long at least one of its processes
	// waited for the resource (PSI some).
	CPUWait, MemoryWait, IOWait *time.Duration

	// SystemBusy is the share (0 to 1) of the machine's cpus that was busy, Share
	// how much of that this step was.
	SystemBusy, Share *float64

	Limits api.UsageLimits
}

// leastWall is the shortest time that shares are told of. A control group's counters begin
// before the step's process does, and what it took to start a container is more than what
// a shorter step did; the machine's own counters tick a hundred times a second.
const leastWall = 100 * time.Millisecond

// Summarise sums up what a step used.
func Summarise(step api.StepUsage) Summary {
	usage := step.ResourceUsage
	wall := step.Ended.Sub(step.Started)
	s := Summary{Wall: wall, Brief: wall < leastWall}
	if usage.Limits != nil {
		s.Limits = *usage.Limits
	}
	if len(usage.Samples) == 0 {
		return s
	}
	last := usage.Samples[len(usage.Samples)-1]
	var base api.Sample
	if usage.Baseline != nil {
		base = *usage.Baseline
	}
	s.countCPU(last.CPUStat, base.CPUStat)
	s.countMemory(last.MemoryStat, base.MemoryStat)
	s.countIO(last.IOStat, base.IOStat)
	s.countNetwork(last.NetStat, base.NetStat)
	s.findMemoryPeak(usage)
	s.findPIDsPeak(usage)
	s.compare(usage.SysCPUStat)
	return s
}

func (s *Summary) countCPU(last, base *api.CPUStat) {
	if last == nil {
		return
	}
	if base == nil {
		base = new(api.CPUStat)
	}
	s.CPU = nanoseconds(grown(last.UsageNanos, base.UsageNanos))
	s.User = nanoseconds(grown(last.UserNanos, base.UserNanos))
	s.System = nanoseconds(grown(last.SystemNanos, base.SystemNanos))
	s.Throttled = nanoseconds(grown(last.ThrottledNanos, base.ThrottledNanos))
	s.CPUWait = waited(last.Pressure, base.Pressure)
}

func (s *Summary) countMemory(last, base *api.MemoryStat) {
	if last == nil {
		return
	}
	if base == nil {
		base = new(api.MemoryStat)
	}
	s.OOMKills = grown(last.OomKillEvents, base.OomKillEvents)
	s.MemoryWait = waited(last.Pressure, base.Pressure)
}

func (s *Summary) countIO(last, base *api.IOStat) {
	if last == nil {
		return
	}
	if base == nil {
		base = new(api.IOStat)
	}
	s.Read = grown(last.ReadBytes, base.ReadBytes)
	s.Written = grown(last.WriteBytes, base.WriteBytes)
	s.IOWait = waited(last.Pressure, base.Pressure)
}

func (s *Summary) countNetwork(last, base *api.NetStat) {
	if last == nil {
		return
	}
	if base == nil {
		base = new(api.NetStat)
	}
	s.Received = grown(last.RxBytes, base.RxBytes)
	s.Sent = grown(last.TxBytes, base.TxBytes)
}

// findMemoryPeak takes the kernel's own peak, unless that is from before the baseline.
func (s *Summary) findMemoryPeak(usage api.ResourceUsage) {
	var before *uint64
	if usage.Baseline != nil && usage.Baseline.MemoryStat != nil {
		before = usage.Baseline.MemoryStat.Peak
	}
	for _, sample := range usage.Samples {
		if stat := sample.MemoryStat; stat != nil {
			s.MemoryPeak = larger(s.MemoryPeak, stat.Current)
		}
	}
	s.MemoryPeakSeen = s.MemoryPeak != nil
	if last := usage.Samples[len(usage.Samples)-1].MemoryStat; last != nil && isPeak(last.Peak, before) {
		s.MemoryPeak, s.MemoryPeakSeen = last.Peak, false
	}
}

func (s *Summary) findPIDsPeak(usage api.ResourceUsage) {
	var before *uint64
	if usage.Baseline != nil && usage.Baseline.PIDsStat != nil {
		before = usage.Baseline.PIDsStat.Peak
	}
	for _, sample := range usage.Samples {
		if stat := sample.PIDsStat; stat != nil {
			s.PIDsPeak = larger(s.PIDsPeak, stat.Current)
		}
	}
	s.PIDsPeakSeen = s.PIDsPeak != nil
	if last := usage.Samples[len(usage.Samples)-1].PIDsStat; last != nil && isPeak(last.Peak, before) {
		s.PIDsPeak, s.PIDsPeakSeen = last.Peak, false
	}
}

// isPeak tells whether a peak was reached since it was before.
func isPeak(peak, before *uint64) bool {
	return peak != nil && (before == nil || *peak > *before)
}

func (s *Summary) compare(system *api.SysCPUStat) {
	if system == nil {
		return
	}
	// User and nice have guest's times in them already.
	busy := system.User + system.Nice + system.System + system.IRQ + system.SoftIRQ + system.Steal
	if total := busy + system.Idle + system.Iowait; total > 0 {
		share := busy / total
		s.SystemBusy = &share
	}
	if s.CPU != nil && busy > 0 {
		share := min(1, s.CPU.Seconds()/busy)
		s.Share = &share
	}
}

// grown gives by how much a counter grew. One that began again counts from 0.
func grown(last, base *uint64) *uint64 {
	if last == nil || base == nil || *last < *base {
		return last
	}
	difference := *last - *base
	return &difference
}

func nanoseconds(counter *uint64) *time.Duration {
	if counter == nil {
		return nil
	}
	d := time.Duration(*counter)
	return &d
}

// waited gives how long some task waited, which the kernel counts in microseconds.
func waited(last, base *api.Pressure) *time.Duration {
	total := someTotal(last)
	if total == nil {
		return nil
	}
	total = grown(total, someTotal(base))
	d := time.Duration(*total) * time.Microsecond
	return &d
}

func someTotal(pressure *api.Pressure) *uint64 {
	if pressure == nil || pressure.Some == nil {
		return nil
	}
	return pressure.Some.Total
}

func larger(a, b *uint64) *uint64 {
	if a == nil || (b != nil && *b > *a) {
		return b
	}
	return a
}
