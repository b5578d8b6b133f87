package store

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// futimens sets both times of an open file. The system call takes a descriptor
// alone when its path is nil, which the wrapper in unix cannot say.
func futimens(fd int, nanoseconds int64) error {
	times := [2]unix.Timespec{unix.NsecToTimespec(nanoseconds), unix.NsecToTimespec(nanoseconds)}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
