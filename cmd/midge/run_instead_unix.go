//go:build !windows

package main

import (
	"fmt"
	"os"
	"syscall"
)

// runInstead turns this process into another program. It returns only when it cannot.
func runInstead(path string, args []string) error {
	err := syscall.Exec(path, append([]string{path}, args...), os.Environ())
	return fmt.Errorf("start %s: %w", path, err)
}
