package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// takeDownTimeout is how long a supervisor may take to take down what it has made.
const takeDownTimeout = 10 * time.Second

// EndSupervisors ends the supervisors of the container whose directory is, or was, dir,
// those too that do not listen yet, and with them what they have made. It says how many
// there were. Its caller sees to it that none is launched meanwhile.
func EndSupervisors(ctx context.Context, dir string) (ended int, err error) {
	err = eachSupervisor(filepath.Dir(dir), func(container string, pidfd int) error {
		if container != filepath.Base(dir) {
			return nil
		}
		ended++
		return endSupervisor(ctx, pidfd)
	})
	if err != nil {
		return ended, fmt.Errorf("end the supervisor of container %s: %w", filepath.Base(dir), err)
	}
	return ended, nil
}

// Supervised gives the names of the directories in dir whose containers have a
// supervisor, those too that are no longer there.
func Supervised(dir string) (containers []string, err error) {
	err = eachSupervisor(dir, func(container string, _ int) error {
		containers = append(containers, container)
		return nil
	})
	return containers, err
}

// eachSupervisor calls do with each supervisor of a container directly in dir. It goes
// on after an error and gives all of them.
func eachSupervisor(dir string, do func(container string, pidfd int) error) error {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		if container, ok := supervised(pid); !ok || filepath.Dir(container) != filepath.Clean(dir) {
			continue
		}
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		// Again, because the number may be another process's since.
		if container, ok := supervised(pid); ok && filepath.Dir(container) == filepath.Clean(dir) {
			errs = append(errs, do(filepath.Base(container), pidfd))
		}
		unix.Close(pidfd)
	}
	return errors.Join(errs...)
}

// supervised gives the directory of the container whose supervisor a process is, and
// false for any other process, or one that has ended.
func supervised(pid int) (string, bool) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "", false
	}
	args := bytes.Split(line, []byte{0})
	if len(args) < 3 || string(args[1]) != ModeSupervise {
		return "", false
	}
	return string(args[2]), true
}

// endSupervisor has a supervisor take down what it has made, and kills it when it does
// not end by that.
func endSupervisor(ctx context.Context, pidfd int) error {
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(pidfd, signal, nil, 0); errors.Is(err, unix.ESRCH) {
			return nil
		} else if err != nil {
			return err
		}
		// One that was stopped goes on, as it takes no other signal but SIGKILL.
		if err := unix.PidfdSendSignal(pidfd, unix.SIGCONT, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		if ended, err := awaitProcess(ctx, pidfd, takeDownTimeout); ended || err != nil {
			return err
		}
	}
	return errors.New("it does not end when it is killed")
}

// awaitProcess waits until a process has ended, and reports false when it has not in time.
func awaitProcess(ctx context.Context, pidfd int, timeout time.Duration) (bool, error) {
	// The kernel is asked again and again only to see whether ctx has ended.
	const step = 100 * time.Millisecond
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(step.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, err
		}
		if n > 0 {
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
	return false, nil
}
