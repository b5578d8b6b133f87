package command

import (
	"syscall"

	"midge/api"
)

// addProcess adds what the system tells of this process, which is no peak of memory.
func addProcess(usage *api.ClientUsage) {
	process, err := syscall.GetCurrentProcess()
	if err != nil {
		return
	}
	var created, exited, kernel, user syscall.Filetime
	if err := syscall.GetProcessTimes(process, &created, &exited, &kernel, &user); err != nil {
		return
	}
	// Filetime.Nanoseconds is for dates: these are spans, of 100 ns units.
	nanos := func(t syscall.Filetime) *uint64 {
		n := (uint64(t.HighDateTime)<<32 | uint64(t.LowDateTime)) * 100
		return &n
	}
	usage.UserNanos, usage.SystemNanos = nanos(user), nanos(kernel)
}
