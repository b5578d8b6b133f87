package runc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"midge/agent"
)

// An idRange is a range of the machine's user or group numbers, the first of which
// is a container's root.
type idRange struct {
	start, size uint32
}

// defaultRange is above what distributions give to users, services and containers
// that name themselves.
var defaultRange = idRange{start: 0x70000000, size: 65536}

// rangeOf finds the range of a user, by name or number, in a file like /etc/subuid.
func rangeOf(path string, names ...string) (idRange, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return defaultRange, nil
	}
	if err != nil {
		return idRange{}, err
	}
	defer f.Close()
	r, err := parseRanges(f, names)
	if err != nil {
		return idRange{}, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// parseRanges gives the first range of one of the users, or the default one.
func parseRanges(file io.Reader, names []string) (idRange, error) {
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		fields := strings.Split(strings.TrimSpace(scanner.Text()), ":")
		if len(fields) != 3 {
			continue
		}
		for _, name := range names {
			if fields[0] != name {
				continue
			}
			start, startErr := strconv.ParseUint(fields[1], 10, 32)
			size, sizeErr := strconv.ParseUint(fields[2], 10, 32)
			if startErr != nil || sizeErr != nil || start == 0 || size == 0 || start+size > 1<<32-1 {
				return idRange{}, fmt.Errorf("%q is no range of numbers", scanner.Text())
			}
			return idRange{start: uint32(start), size: uint32(size)}, nil
		}
	}
	return defaultRange, scanner.Err()
}

// userNamespace is what the users of unprivileged containers are outside.
type userNamespace struct {
	uids, gids idRange
	// file is a namespace like those of the containers, each of which has its own.
	file *os.File
	// shifts tells that the kernel shows files with their owners shifted there.
	// Without that they are copied, and their owners changed.
	shifts bool
}

// rootRanges are those of the machine's root.
func rootRanges() (uids, gids idRange, err error) {
	if uids, err = rangeOf("/etc/subuid", "root", "0"); err != nil {
		return uids, gids, err
	}
	gids, err = rangeOf("/etc/subgid", "root", "0")
	return uids, gids, err
}

// openUserNamespace makes a namespace with these ranges. program is midge-agent.
func openUserNamespace(program string, ranges func() (uids, gids idRange, err error)) (*userNamespace, error) {
	var u userNamespace
	var err error
	if u.uids, u.gids, err = ranges(); err != nil {
		return nil, err
	}
	hold := exec.Command(program, agent.ModeHold)
	hold.SysProcAttr = &unix.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: int(u.uids.start), Size: int(u.uids.size)}},
		GidMappings: []syscall.SysProcIDMap{{HostID: int(u.gids.start), Size: int(u.gids.size)}},
	}
	stdin, err := hold.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := hold.Start(); err != nil {
		return nil, fmt.Errorf("make a user namespace (sysctl user.max_user_namespaces may forbid it): %w", err)
	}
	u.file, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", hold.Process.Pid))
	return &u, errors.Join(err, stdin.Close(), hold.Wait())
}

// openUsers makes what the users of containers are outside, and finds out whether the
// kernel shows files with their owners.
func (w *Worker) openUsers() (err error) {
	ranges := rootRanges
	if w.ordinary {
		ranges = ordinaryRanges
	}
	if w.users, err = openUserNamespace(w.options.Agent, ranges); err != nil {
		return err
	}
	// An ordinary user cannot have the kernel show files of the machine with other owners.
	if w.options.CopyInputs || w.ordinary {
		return nil
	}
	return w.users.tryShifting(w.options.Agent, w.stage, w.options.StateDir)
}

// tryShifting finds out whether the kernel shows files in dir with shifted owners, as
// layers of an overlay.
func (u *userNamespace) tryShifting(program, stagePlace, dir string) error {
	dir, err := os.MkdirTemp(dir, "try-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &stage{dir: dir, place: stagePlace, mapped: true, users: u}
	u.shifts = true
	s.bindOwn()
	lowerDir := filepath.Join(dir, "lower")
	if err := os.Mkdir(lowerDir, 0o755); err != nil {
		return err
	}
	lower, err := s.layer(context.Background(), lowerDir)
	if err != nil {
		return err
	}
	if _, err := s.throwAway(s.rootfs(), "root", []string{lower}); err != nil {
		return err
	}
	config := agent.Config{Stage: s.place, Mounts: s.mounts, Rootfs: s.rootfs(), RootUID: int(u.uids.start), RootGID: int(u.gids.start)}
	if err := agent.WriteConfig(dir, config); err != nil {
		return err
	}
	if err := agent.TryMounts(program, dir, agent.Namespaces{Users: u.file}); err != nil {
		u.shifts = false
		slog.Info("the kernel does not show files with other owners here, so inputs and images are copied for each container", "reason", err)
	}
	return nil
}

// mappings are the ranges as an OCI runtime reads them.
func (r idRange) mappings() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{HostID: r.start, Size: r.size}}
}

// shiftOwner gives a file's owner what it is outside, if it is not that already.
func (u *userNamespace) shiftOwner(path string, stat unix.Stat_t) error {
	return os.Lchown(path, int(u.uids.shift(stat.Uid)), int(u.gids.shift(stat.Gid)))
}

// shift gives the machine's number for a container's. One that is outside of a
// container's range becomes root's, and one that was shifted before stays.
func (r idRange) shift(id uint32) uint32 {
	switch {
	case id >= r.start && id-r.start < r.size:
		return id
	case id < r.size:
		return r.start + id
	default:
		return r.start
	}
}

// inside gives a container's number for the machine's. One that is not of its range
// was not shifted, and is the same for both.
func (r idRange) inside(id uint32) uint32 {
	if id >= r.start && id-r.start < r.size {
		return id - r.start
	}
	return id
}

// asRoot has f use files as the root of unprivileged containers.
func (u *userNamespace) asRoot(f func() error) error {
	goruntime.LockOSThread()
	// These change the thread alone, and cannot fail for root.
	_ = unix.Setfsgid(int(u.gids.start))
	_ = unix.Setfsuid(int(u.uids.start))
	defer func() {
		_ = unix.Setfsuid(0)
		_ = unix.Setfsgid(0)
		goruntime.UnlockOSThread()
	}()
	return f()
}
