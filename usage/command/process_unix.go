//go:build unix

package command

import (
	"runtime"
	"syscall"

	"midge/api"
)

// addProcess adds what the system tells of this process.
func addProcess(usage *api.ClientUsage) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return
	}
	user, system := uint64(self.Utime.Nano()), uint64(self.Stime.Nano())
	peak := uint64(self.Maxrss)
	// getrusage(2): kilobytes everywhere but on the systems of Apple.
	if runtime.GOOS != "darwin" && runtime.GOOS != "ios" {
		peak *= 1024
	}
	usage.UserNanos, usage.SystemNanos, usage.PeakBytes = &user, &system, &peak
}
