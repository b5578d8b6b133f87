package api

import (
	"slices"
	"time"
)

// ResourceUsage is what a step used. Names and units are those of resourceUsage in
// BuildKit's provenance, field for field, so that what reads that reads this; fields
// that only midge knows come after those.
//
// What the kernel or the set-up cannot give is absent, never 0.
type ResourceUsage struct {
	// Samples are in the order of time; the last was taken when the step ended.
	// Their counters grow from one to the next.
	Samples []Sample `json:"samples,omitempty"`
	// SysCPUStat is how the whole machine's cpu time passed while the step ran.
	SysCPUStat *SysCPUStat `json:"sysCPUStat,omitempty"`

	// Baseline has the counters of before, when they did not begin at 0: those
	// of a session in a container that had already worked.
	Baseline *Sample `json:"baseline,omitempty"`
	// Limits are the bounds the step ran under.
	Limits *UsageLimits `json:"limits,omitempty"`
	// Missing says why a part is absent, by its path in a sample: "memoryStat.peak".
	// "" is the whole of it.
	Missing map[string]string `json:"missing,omitempty"`
}

// Sample is what a control group had used at one moment.
type Sample struct {
	Timestamp  time.Time   `json:"timestamp"`
	CPUStat    *CPUStat    `json:"cpuStat,omitempty"`
	MemoryStat *MemoryStat `json:"memoryStat,omitempty"`
	IOStat     *IOStat     `json:"ioStat,omitempty"`
	PIDsStat   *PIDsStat   `json:"pidsStat,omitempty"`
	NetStat    *NetStat    `json:"netStat,omitempty"`
}

// CPUStat is the cpu time of a control group, and how often its quota held it back.
type CPUStat struct {
	UsageNanos     *uint64   `json:"usageNanos,omitempty"`
	UserNanos      *uint64   `json:"userNanos,omitempty"`
	SystemNanos    *uint64   `json:"systemNanos,omitempty"`
	NrPeriods      *uint64   `json:"nrPeriods,omitempty"`
	NrThrottled    *uint64   `json:"nrThrottled,omitempty"`
	ThrottledNanos *uint64   `json:"throttledNanos,omitempty"`
	Pressure       *Pressure `json:"pressure,omitempty"`
}

// MemoryStat is the memory of a control group in bytes, by kind, and what happened
// at its bounds. Pg fields count pages and faults.
type MemoryStat struct {
	SwapBytes     *uint64   `json:"swapBytes,omitempty"`
	Anon          *uint64   `json:"anon,omitempty"`
	File          *uint64   `json:"file,omitempty"`
	Kernel        *uint64   `json:"kernel,omitempty"`
	KernelStack   *uint64   `json:"kernelStack,omitempty"`
	PageTables    *uint64   `json:"pageTables,omitempty"`
	Sock          *uint64   `json:"sock,omitempty"`
	Vmalloc       *uint64   `json:"vmalloc,omitempty"`
	Shmem         *uint64   `json:"shmem,omitempty"`
	FileMapped    *uint64   `json:"fileMapped,omitempty"`
	FileDirty     *uint64   `json:"fileDirty,omitempty"`
	FileWriteback *uint64   `json:"fileWriteback,omitempty"`
	Slab          *uint64   `json:"slab,omitempty"`
	Pgscan        *uint64   `json:"pgscan,omitempty"`
	Pgsteal       *uint64   `json:"pgsteal,omitempty"`
	Pgfault       *uint64   `json:"pgfault,omitempty"`
	Pgmajfault    *uint64   `json:"pgmajfault,omitempty"`
	Peak          *uint64   `json:"peak,omitempty"`
	LowEvents     *uint64   `json:"lowEvents,omitempty"`
	HighEvents    *uint64   `json:"highEvents,omitempty"`
	MaxEvents     *uint64   `json:"maxEvents,omitempty"`
	OomEvents     *uint64   `json:"oomEvents,omitempty"`
	OomKillEvents *uint64   `json:"oomKillEvents,omitempty"`
	Pressure      *Pressure `json:"pressure,omitempty"`

	// Current is what was in use, of all kinds.
	Current *uint64 `json:"current,omitempty"`
}

// IOStat is what a control group read from and wrote to disks, in bytes and operations.
type IOStat struct {
	ReadBytes    *uint64   `json:"readBytes,omitempty"`
	WriteBytes   *uint64   `json:"writeBytes,omitempty"`
	DiscardBytes *uint64   `json:"discardBytes,omitempty"`
	ReadIOs      *uint64   `json:"readIOs,omitempty"`
	WriteIOs     *uint64   `json:"writeIOs,omitempty"`
	DiscardIOs   *uint64   `json:"discardIOs,omitempty"`
	Pressure     *Pressure `json:"pressure,omitempty"`
}

// PIDsStat is how many processes and threads a control group had.
type PIDsStat struct {
	Current *uint64 `json:"current,omitempty"`

	Peak *uint64 `json:"peak,omitempty"`
	// MaxEvents counts the times that a process could not be made for the limit.
	MaxEvents *uint64 `json:"maxEvents,omitempty"`
}

// NetStat is what came and went through a network namespace, loopback left out.
type NetStat struct {
	RxBytes   *uint64 `json:"rxBytes,omitempty"`
	RxPackets *uint64 `json:"rxPackets,omitempty"`
	RxErrors  *uint64 `json:"rxErrors,omitempty"`
	RxDropped *uint64 `json:"rxDropped,omitempty"`
	TxBytes   *uint64 `json:"txBytes,omitempty"`
	TxPackets *uint64 `json:"txPackets,omitempty"`
	TxErrors  *uint64 `json:"txErrors,omitempty"`
	TxDropped *uint64 `json:"txDropped,omitempty"`
}

// Pressure is how much time was lost waiting for a resource: Some while at least
// one task waited, Full while none could go on.
type Pressure struct {
	Some *PressureValues `json:"some"`
	Full *PressureValues `json:"full"`
}

// PressureValues are shares of the last 10, 60 and 300 seconds in percent, and the
// time lost in all, in microseconds.
type PressureValues struct {
	Avg10  *float64 `json:"avg10"`
	Avg60  *float64 `json:"avg60"`
	Avg300 *float64 `json:"avg300"`
	Total  *uint64  `json:"total"`
}

// UsageLimits are a control group's bounds; an absent one is no bound.
type UsageLimits struct {
	MemoryBytes *uint64  `json:"memoryBytes,omitempty"`
	SwapBytes   *uint64  `json:"swapBytes,omitempty"`
	PIDs        *uint64  `json:"pids,omitempty"`
	CPUs        *float64 `json:"cpus,omitempty"`
}

// SysSample is what a whole machine was doing at one moment.
type SysSample struct {
	Timestamp      time.Time      `json:"timestamp"`
	CPUStat        *SysCPUStat    `json:"cpuStat,omitempty"`
	ProcStat       *ProcStat      `json:"procStat,omitempty"`
	MemoryStat     *SysMemoryStat `json:"memoryStat,omitempty"`
	CPUPressure    *Pressure      `json:"cpuPressure,omitempty"`
	MemoryPressure *Pressure      `json:"memoryPressure,omitempty"`
	IOPressure     *Pressure      `json:"ioPressure,omitempty"`
}

// SysCPUStat is how a machine's cpu time passed, in seconds over all its cpus.
type SysCPUStat struct {
	User      float64 `json:"user"`
	Nice      float64 `json:"nice"`
	System    float64 `json:"system"`
	Idle      float64 `json:"idle"`
	Iowait    float64 `json:"iowait"`
	IRQ       float64 `json:"irq"`
	SoftIRQ   float64 `json:"softirq"`
	Steal     float64 `json:"steal"`
	Guest     float64 `json:"guest"`
	GuestNice float64 `json:"guestNice"`
}

// ProcStat counts a machine's context switches and processes.
type ProcStat struct {
	ContextSwitches  uint64 `json:"contextSwitches"`
	ProcessCreated   uint64 `json:"processCreated"`
	ProcessesRunning uint64 `json:"processesRunning"`
}

// SysMemoryStat is a machine's memory in bytes.
type SysMemoryStat struct {
	Total     *uint64 `json:"total"`
	Free      *uint64 `json:"free"`
	Available *uint64 `json:"available"`
	Buffers   *uint64 `json:"buffers"`
	Cached    *uint64 `json:"cached"`
	Active    *uint64 `json:"active"`
	Inactive  *uint64 `json:"inactive"`
	Swap      *uint64 `json:"swap"`
	Dirty     *uint64 `json:"dirty"`
	Writeback *uint64 `json:"writeback"`
	Slab      *uint64 `json:"slab"`
}

// StepUsage is what a step or a hijack session used. It is the data of EventUsage.
type StepUsage struct {
	Time   int64  `json:"time"`
	Origin Origin `json:"origin"`

	Name   string `json:"name"`
	Worker string `json:"worker,omitempty"`
	// Session is the id of a hijack session, "" for a step. Its usage is that of its
	// own processes, which the step's, if it still ran, has in it as well.
	Session       string        `json:"session,omitempty"`
	Started       time.Time     `json:"started"`
	Ended         time.Time     `json:"ended"`
	ResourceUsage ResourceUsage `json:"resourceUsage"`
}

// SystemUsage is what the workers' machine did while a build ran. It is the data of EventSystem.
type SystemUsage struct {
	Time     int64       `json:"time"`
	SysUsage []SysSample `json:"sysUsage"`
}

// BuildUsage is what a build used: GET /api/v1/builds/{id}/usage.
type BuildUsage struct {
	Steps []StepUsage `json:"steps"`
	// SysUsage is the workers' machine meanwhile, in the order of time.
	SysUsage []SysSample `json:"sysUsage,omitempty"`
	// Client is what the command that prints this used; a server leaves it out.
	Client *ClientUsage `json:"client,omitempty"`
}

// Add adds what a step or a hijack session used. Of a session that is there already it
// adds nothing: its end is told again by a server that was killed while it told it.
func (u *BuildUsage) Add(step StepUsage) {
	same := func(other StepUsage) bool { return other.Session == step.Session }
	if step.Session == "" || !slices.ContainsFunc(u.Steps, same) {
		u.Steps = append(u.Steps, step)
	}
}

// ClientUsage is what a command itself used, on the machine where it was typed.
type ClientUsage struct {
	WallNanos   int64   `json:"wallNanos"`
	UserNanos   *uint64 `json:"userNanos,omitempty"`
	SystemNanos *uint64 `json:"systemNanos,omitempty"`
	// PeakBytes is the most memory that was resident.
	PeakBytes     *uint64 `json:"peakBytes,omitempty"`
	SentBytes     uint64  `json:"sentBytes"`
	ReceivedBytes uint64  `json:"receivedBytes"`
	Requests      uint64  `json:"requests"`
}

// Stall is a part of a step in which it waited for a resource for that share (0 to 1) of the time.
type Stall struct {
	Resource string    `json:"resource"` // cpu, memory, io
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Share    float64   `json:"share"`
}
