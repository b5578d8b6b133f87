package runc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/moby/sys/mountinfo"

	"midge/runtime"
	"midge/runtime/runc/delegation"
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
	r, err := parseMap(f)
	if err != nil {
		return idRange{}, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// parseMap gives what is mapped from 1 on without a gap.
func parseMap(file io.Reader) (idRange, error) {
	next := uint64(1)
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		var inside, outside, size uint32
		if _, err := fmt.Sscan(scanner.Text(), &inside, &outside, &size); err != nil {
			return idRange{}, fmt.Errorf("%q is no range of numbers", scanner.Text())
		}
		if end := uint64(inside) + uint64(size); uint64(inside) <= next && end > next {
			next = end
		}
	}
	if err := scanner.Err(); err != nil {
		return idRange{}, err
	}
	if next < 2 || next > 1<<32 {
		return idRange{}, errors.New("it has no numbers for the users of containers")
	}
	return idRange{start: 1, size: uint32(next - 1)}, nil
}

// delegate is how an ordinary user's server is given a cgroup, see docs/server.md.
const delegate = "systemd-run --user --scope -p Delegate=yes midge server"

// checkOrdinary refuses what a container of an ordinary user's cannot have.
func (w *Worker) checkOrdinary(spec runtime.ContainerSpec) error {
	if spec.Privileged {
		return &runtime.SpecError{Message: "the task asks to be privileged, which a server that is an ordinary user's cannot give: leave that out, or start the server with sudo"}
	}
	what, controller := lacking(w.delegation, spec.Limits)
	switch {
	case what == "":
		return nil
	case w.undelegated != nil:
		return &runtime.SpecError{Message: fmt.Sprintf("the task asks for %s, which a server that is an ordinary user's cannot give when no cgroup is delegated to it: leave that out, or start the server with %q, or with sudo", what, delegate)}
	default:
		return &runtime.SpecError{Message: fmt.Sprintf("the task asks for %s, which a server that is an ordinary user's cannot give when the cgroup that is delegated to it has no controller %s: leave that out, or have root delegate that too, or start the server with sudo", what, controller)}
	}
}

// lacking gives what of the limits cannot be had in a delegated cgroup, and which
// controller that would need, or "".
func lacking(d delegation.Delegation, limits runtime.Limits) (what, controller string) {
	switch {
	case limits.Memory > 0 && !d.Has("memory"):
		return "a limit of its memory", "memory"
	case limits.CPUShares > 0 && !d.Has("cpu"):
		return "a share of the processors", "cpu"
	case limits.Pids > 0 && !d.Has("pids"):
		return "a limit of its processes", "pids"
	}
	return "", ""
}

// CheckOrdinaryLimits tells why an ordinary user's server, which this process is, cannot
// give its containers such limits, and nil when it can.
func CheckOrdinaryLimits(limits runtime.Limits) error {
	if what, _ := lacking(delegation.Delegation{}, limits); what == "" {
		return nil
	}
	d, err := delegation.Take()
	return refuseLimits(limits, d, err)
}

func refuseLimits(limits runtime.Limits, d delegation.Delegation, undelegated error) error {
	_, controller := lacking(d, limits)
	switch {
	case controller == "":
		return nil
	case undelegated != nil:
		return fmt.Errorf("default limits of memory, processors and processes need root or a cgroup that is delegated to the server (%w): leave them out, or start the server with %q, or with sudo", undelegated, delegate)
	default:
		return fmt.Errorf("the default limits need the controller %s, which the cgroup %s that is delegated to the server does not have: leave that limit out, have root delegate the controller too, or start the server with sudo", controller, d.Cgroup)
	}
}

// beOrdinary says once what there will not be, and refuses settings that need it.
func (w *Worker) beOrdinary() error {
	if w.options.Network == NetworkBridge {
		return errors.New("a bridge network needs root: choose --network=host or --network=none, or start the server with sudo")
	}
	if err := refuseLimits(w.options.Limits, w.delegation, w.undelegated); err != nil {
		return err
	}
	if w.undelegated != nil {
		slog.Warn("this server is an ordinary user's, to whom no cgroup is delegated: there are no limits of memory, processors and processes, no figures of what tasks use, no privileged tasks and no bridge network; the command has the first two, sudo all",
			"worker", w.Name(), "reason", w.undelegated, "command", delegate)
		return nil
	}
	slog.Warn("this server is an ordinary user's: there are no privileged tasks and no bridge network, and of limits and figures those of the controllers that are delegated to it; sudo has them all",
		"worker", w.Name(), "cgroup", w.delegation.Cgroup, "controllers", w.delegation.Controllers)
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
