// Package thread runs what changes the thread that it runs on for good: its
// capabilities, its namespaces, its user.
package thread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Run calls f on a thread of its own, which ends when f has returned, and gives what f does.
func Run(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			result <- f()
			return // still locked, which ends the thread
		}
		// A process's first thread does not end before it, and would keep a namespace
		// alive. While it is held here f runs on another one.
		defer runtime.UnlockOSThread()
		result <- Run(f)
	}()
	return <-result
}
