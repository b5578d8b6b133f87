package runc

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/moby/sys/mountinfo"

	"midge/runtime"
)

// An ordinary user's server is root of a user namespace only, as package rootless makes
// it. Its containers have the numbers that it has besides its own.
func ordinaryRanges() (uids, gids idRange, err error) {
	if uids, err = ownRange("/proc/self/uid_map"); err != nil {
		return uids, gids, err
	}
	gids, err = ownRange("/proc/self/gid_map")
	return uids, gids, err
}

// ownRange reads a map of a user namespace, see user_namespaces(7): lines of the first
// number inside, the first outside, and how many. It gives what is mapped from 1 on.
func ownRange(path string) (idRange, error) {
	f, err := os.Open(path)
	if err != nil {
		return idRange{}, err
	}
	defer f.Close()
	next := uint64(1)
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		var inside, outside, size uint64
		if _, err := fmt.Sscan(scanner.Text(), &inside, &outside, &size); err != nil {
			return idRange{}, fmt.Errorf("read %s: %q is no range of numbers", path, scanner.Text())
		}
		if inside <= next && inside+size > next {
			next = inside + size
		}
	}
	if err := scanner.Err(); err != nil {
		return idRange{}, err
	}
	if next < 2 {
		return idRange{}, fmt.Errorf("%s has no numbers for the users of containers", path)
	}
	return idRange{start: 1, size: uint32(next - 1)}, nil
}

// checkOrdinary refuses what a container of an ordinary user's cannot have.
func checkOrdinary(spec runtime.ContainerSpec) error {
	var what string
	switch limits := spec.Limits; {
	case spec.Privileged:
		what = "to be privileged"
	case limits.Memory > 0:
		what = "for a limit of its memory"
	case limits.CPUShares > 0:
		what = "for a share of the processors"
	case limits.Pids > 0:
		what = "for a limit of its processes"
	default:
		return nil
	}
	return &runtime.SpecError{Message: fmt.Sprintf("the task asks %s, which a server that is an ordinary user's cannot give: leave that out, or start the server with sudo", what)}
}

// beOrdinary says once what there will not be, and refuses settings that need it.
func (w *Worker) beOrdinary() error {
	if w.options.Network == NetworkBridge {
		return errors.New("a bridge network needs root: choose --network=host or --network=none, or start the server with sudo")
	}
	if limits := w.options.Limits; limits.Memory > 0 || limits.CPUShares > 0 || limits.Pids > 0 {
		return errors.New("limits of memory, processors and processes need root: leave them out, or start the server with sudo")
	}
	slog.Warn("this server is an ordinary user's: there are no limits of memory, processors and processes, no figures of what tasks use, no privileged tasks and no bridge network; sudo has them all", "worker", w.Name())
	return nil
}

// checkMountsBelow refuses directories of the machine in which something is mounted: the
// kernel shows them to root of a user namespace only together with that, and an overlay
// shows what is mounted nowhere.
func checkMountsBelow(dirs []string) error {
	for _, dir := range dirs {
		mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter("/" + dir))
		if err != nil {
			return fmt.Errorf("find what is mounted in /%s: %w", dir, err)
		}
		for _, m := range mounts {
			if m.Mountpoint != "/"+dir {
				return fmt.Errorf("an ordinary user's server cannot show /%s in the host image, as something is mounted at %s: start it with --host-image=false, or with sudo", dir, m.Mountpoint)
			}
		}
	}
	return nil
}
