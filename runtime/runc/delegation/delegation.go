// Package delegation finds the part of the machine's control groups that the program may
// divide, or has systemd make one, and makes room for that in it: see "Delegation" in the
// kernel's cgroup-v2(7) documentation, and Delegate= in systemd.resource-control(5).
//
// It promises to change nothing outside of that part, and to move no process but its own
// and those that it starts. It knows nothing of containers.
package delegation

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// top is where the hierarchy of version 2 is mounted where it is the only one.
const top = "/sys/fs/cgroup"

// leaf is the cgroup in which the program itself is then, or what holds its scope: the
// kernel allows no processes beside cgroups that have controllers.
const leaf = "midge-server"

// wanted are the controllers that a container's cgroup has some use for.
var wanted = []string{"cpu", "io", "memory", "pids"}

// A Delegation is a cgroup of version 2 in which the program may make others.
type Delegation struct {
	// Cgroup is its path below the hierarchy's top, which begins with a slash.
	Cgroup string
	// Controllers are those of cpu, io, memory and pids that cgroups in it have, in this order.
	Controllers []string
}

// Has tells whether cgroups in it have a controller. The zero Delegation has none.
func (d Delegation) Has(controller string) bool { return slices.Contains(d.Controllers, controller) }

// Take gives the cgroup that was delegated to the program: the one that it is in, if the
// hierarchy of version 2 is the only one. The program goes to a cgroup below, and so do
// the processes that it starts from then on; those that it has started stay, so that it
// should be called before any is. The program may call it again, also at once, for the
// same answer. The error says in half a sentence why nothing is delegated.
func Take() (Delegation, error) {
	if !unified() {
		return Delegation{}, errors.New("the machine does not have cgroup version 2 alone")
	}
	own, err := cgroupOf(os.Getpid())
	if err != nil {
		return Delegation{}, err
	}
	return take(top, own, os.Getpid())
}

// unified tells whether the hierarchy of version 2 is the only one.
func unified() bool {
	var stat unix.Statfs_t
	return unix.Statfs(top, &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC
}

// cgroupOf gives the cgroup of version 2 that a process is in.
func cgroupOf(pid int) (string, error) {
	memberships, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	return parseMemberships(string(memberships))
}

// parseMemberships gives the cgroup of version 2 from a file like /proc/self/cgroup, see
// cgroups(7).
func parseMemberships(content string) (string, error) {
	for line := range strings.Lines(content) {
		own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		// A cgroup outside of the namespace has a path that goes up.
		if path.Clean(own) != own || !path.IsAbs(own) || strings.HasPrefix(own, "/..") {
			return "", fmt.Errorf("its cgroup %q is not to be seen from here", own)
		}
		return own, nil
	}
	return "", errors.New("it is in no cgroup of version 2")
}

// take is Take for a process that is in the cgroup own of a hierarchy.
func take(top, own string, pid int) (Delegation, error) {
	d := Delegation{Cgroup: own}
	if path.Base(own) == leaf { // it was here before, or who started it has put it there
		d.Cgroup = path.Dir(own)
	}
	dir := filepath.Join(top, d.Cgroup)
	for _, name := range []string{"", "cgroup.procs", "cgroup.subtree_control"} {
		if err := unix.Access(filepath.Join(dir, name), unix.W_OK); err != nil {
			return Delegation{}, fmt.Errorf("its cgroup %s is not delegated to its user: %w", d.Cgroup, &fs.PathError{Op: "write", Path: filepath.Join(dir, name), Err: err})
		}
	}
	var err error
	if d.Controllers, err = useful(dir); err != nil {
		return Delegation{}, err
	}
	if len(d.Controllers) == 0 {
		return Delegation{}, fmt.Errorf("its cgroup %s has none of the controllers %s", d.Cgroup, strings.Join(wanted, ", "))
	}
	if err := checkAlone(dir, pid); err != nil {
		return Delegation{}, fmt.Errorf("its cgroup %s %w", d.Cgroup, err)
	}
	if err := divide(dir, pid, d.Controllers); err != nil {
		return Delegation{}, fmt.Errorf("its cgroup %s cannot be divided: %w", d.Cgroup, err)
	}
	return d, nil
}

// useful gives those of the wanted controllers that a cgroup has.
func useful(dir string) (controllers []string, err error) {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil, err
	}
	for _, controller := range wanted {
		if slices.Contains(strings.Fields(string(available)), controller) {
			controllers = append(controllers, controller)
		}
	}
	return controllers, nil
}

// checkAlone refuses a cgroup with other processes than this one, which would have to
// go elsewhere.
func checkAlone(dir string, pid int) error {
	pids, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return err
	}
	for other := range bytes.FieldsSeq(pids) {
		if string(other) != strconv.Itoa(pid) {
			return fmt.Errorf("has other processes too, such as %s", other)
		}
	}
	return nil
}

// divide moves the process to the leaf and gives controllers to all cgroups in dir.
func divide(dir string, pid int, controllers []string) error {
	below := filepath.Join(dir, leaf)
	if err := os.Mkdir(below, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := write(below, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return err
	}
	if len(controllers) == 0 {
		return nil
	}
	return write(dir, "cgroup.subtree_control", "+"+strings.Join(controllers, " +"))
}

// write writes to a file that the kernel has made.
func write(dir, name, content string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}
