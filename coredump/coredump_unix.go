//go:build unix

package coredump

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Forbid keeps the memory of this process, and of those that it starts, from being
// written to a disk when they crash. Each may raise the limit again for itself.
func Forbid() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return fmt.Errorf("read the limit of core dumps: %w", err)
	}
	// No file is made with less than a page. A program that takes dumps, as
	// core_pattern may name one, is given them with any limit but one byte.
	limit.Cur = min(1, limit.Max)
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
