package runc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
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
}

// openUserNamespace makes a namespace with root's ranges. program is midge-agent.
func openUserNamespace(program string) (*userNamespace, error) {
	var u userNamespace
	var err error
	if u.uids, err = rangeOf("/etc/subuid", "root", "0"); err != nil {
		return nil, err
	}
	if u.gids, err = rangeOf("/etc/subgid", "root", "0"); err != nil {
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

// mappings are the ranges as an OCI runtime reads them.
func (r idRange) mappings() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{HostID: r.start, Size: r.size}}
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
