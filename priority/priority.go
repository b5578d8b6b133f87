// Package priority has the kernel's scheduler prefer a server to what it starts: who types
// into a container, or lists builds, waits for the server, and would wait for each of the
// programs that make others' containers as well.
//
// It knows nothing of what a server starts. That goes back to the usual priority itself,
// since a process inherits its parent's.
package priority

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Raised is the nice value of a server: its weight is about nine times the usual one, see
// sched(7).
const Raised = -10

// Raise gives this process the nice value Raised, and its session too where the scheduler
// weighs sessions against each other (autogroups, see sched(7)) and the process leads one.
// Who has no right to it (CAP_SYS_NICE), or was started with a nice value of its own, stays
// as it is, without an error.
func Raise() error {
	if nice, err := niceOf(unix.Getpid()); err != nil || nice != 0 {
		return err
	}
	err := setThreads(Raised)
	if err == nil {
		err = raiseSession()
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil
	}
	return err
}

// Reset takes back what this process has inherited of a server's priority.
func Reset() error {
	if nice, err := niceOf(unix.Getpid()); err != nil || nice >= 0 {
		return err
	}
	return setThreads(0)
}

func niceOf(thread int) (int, error) {
	value, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	if err != nil {
		return 0, fmt.Errorf("read the priority of thread %d: %w", thread, err)
	}
	return 20 - value, nil // as the system call has it, see getpriority(2)
}

// setThreads gives all threads a nice value, which in Linux each has for itself.
func setThreads(nice int) error {
	// A thread inherits that of the one that starts it, which may be one that is yet to be
	// changed: all are done when there was none to change.
	for changed := true; changed; {
		changed = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("read which threads there are: %w", err)
		}
		for _, entry := range threads {
			thread, err := strconv.Atoi(entry.Name())
			if err != nil {
				return fmt.Errorf("read which threads there are: %w", err)
			}
			now, err := niceOf(thread)
			if err == nil && now != nice {
				changed = true
				err = unix.Setpriority(unix.PRIO_PROCESS, thread, nice)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
				return fmt.Errorf("give thread %d the nice value %d: %w", thread, nice, err)
			}
		}
	}
	return nil
}

// raiseSession has a session that is this process's be preferred to others. One that it
// shares, with the shell that has started it, is not its to change.
func raiseSession() error {
	session, err := unix.Getsid(0)
	if err != nil || session != os.Getpid() {
		return err
	}
	err = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(Raised)), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel that knows no such groups
	}
	if err != nil {
		return fmt.Errorf("have the session preferred: %w", err)
	}
	return nil
}
