package usage

import (
	"time"

	"golang.org/x/sys/unix"

	"midge/api"
)

// Processes gives what one process and those below it that were waited for used, as
// wait4 tells whoever reaped it. It is how a session's own processes are told from
// the rest of their container. Peak is that of the largest process.
func Processes(at time.Time, used *unix.Rusage) api.ResourceUsage {
	const blockSize = 512
	user, system := uint64(used.Utime.Nano()), uint64(used.Stime.Nano())
	total, peak := user+system, uint64(used.Maxrss)*1024
	faults, majorFaults := uint64(used.Minflt+used.Majflt), uint64(used.Majflt)
	read, written := uint64(used.Inblock)*blockSize, uint64(used.Oublock)*blockSize
	const whole = "counted for the whole container"
	return api.ResourceUsage{
		Samples: []api.Sample{{
			Timestamp:  at,
			CPUStat:    &api.CPUStat{UsageNanos: &total, UserNanos: &user, SystemNanos: &system},
			MemoryStat: &api.MemoryStat{Peak: &peak, Pgfault: &faults, Pgmajfault: &majorFaults},
			IOStat:     &api.IOStat{ReadBytes: &read, WriteBytes: &written},
		}},
		Missing: map[string]string{
			"cpuStat.pressure": whole, "memoryStat.pressure": whole, "ioStat.pressure": whole,
			"pidsStat": whole, "netStat": whole,
		},
	}
}
