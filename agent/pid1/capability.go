package pid1

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// UnprivilegedCapabilities are what root has in a container that is not privileged,
// by the names that an OCI runtime knows.
func UnprivilegedCapabilities() []string {
	names := make([]string, 0, len(unprivileged))
	for _, c := range unprivileged {
		names = append(names, c.name)
	}
	return names
}

// Those that docker leaves: enough to install packages, to change owners and users
// and to serve on low ports, not enough to reach the machine.
var unprivileged = []struct {
	name   string
	number int
}{
	{"CAP_AUDIT_WRITE", unix.CAP_AUDIT_WRITE},
	{"CAP_CHOWN", unix.CAP_CHOWN},
	{"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE},
	{"CAP_FOWNER", unix.CAP_FOWNER},
	{"CAP_FSETID", unix.CAP_FSETID},
	{"CAP_KILL", unix.CAP_KILL},
	{"CAP_MKNOD", unix.CAP_MKNOD},
	{"CAP_NET_BIND_SERVICE", unix.CAP_NET_BIND_SERVICE},
	{"CAP_NET_RAW", unix.CAP_NET_RAW},
	{"CAP_SETFCAP", unix.CAP_SETFCAP},
	{"CAP_SETGID", unix.CAP_SETGID},
	{"CAP_SETPCAP", unix.CAP_SETPCAP},
	{"CAP_SETUID", unix.CAP_SETUID},
	{"CAP_SYS_CHROOT", unix.CAP_SYS_CHROOT},
}

// dropCapabilities leaves the calling thread what a process of an unprivileged
// container may have, for itself and for all that it starts.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	var kept [2]uint32
	for number := range 64 {
		if slices.ContainsFunc(unprivileged, func(c struct {
			name   string
			number int
		}) bool {
			return c.number == number
		}) {
			kept[number/32] |= 1 << (number % 32)
			continue
		}
		// The kernel says EINVAL of the first number that it does not know.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0); errors.Is(err, unix.EINVAL) {
			break
		} else if err != nil {
			return err
		}
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&head, &sets[0]); err != nil {
		return err
	}
	for i := range sets {
		sets[i].Effective &= kept[i]
		sets[i].Permitted &= kept[i]
		sets[i].Inheritable = 0
	}
	return unix.Capset(&head, &sets[0])
}
