// Package quota bounds what directories take on the disk by the project quotas of their
// file system, see quotactl(2), where those are on: of ext4 with the feature project and
// the mount option prjquota, and of XFS.
//
// Files belong to a project from their making, as the directory does that they are made
// in. What is beyond a project's limit is not written: the writer gets EDQUOT, but one
// with CAP_SYS_RESOURCE.
package quota

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Project names the files that share a limit. 0 is that of files that have none.
type Project uint32

// The kernel's include/uapi/linux/quota.h and dqblk_xfs.h.
const (
	projectQuota   = 2        // PRJQUOTA
	getQuota       = 0x800007 // Q_GETQUOTA
	setQuota       = 0x800008 // Q_SETQUOTA
	getState       = 0x5805   // Q_XGETQSTAT
	blockLimits    = 1        // QIF_BLIMITS
	limitUnit      = 1024     // QIF_DQBLKSIZE
	areEnforced    = 1 << 5   // FS_QUOTA_PDQ_ENFD
	quotactlFormat = 8        // by how much a command is shifted above its kind of quota
)

// dqblk is struct if_dqblk.
type dqblk struct {
	hardLimit, softLimit           uint64 // of limitUnit bytes
	space                          uint64 // bytes
	inodeHardLimit, inodeSoftLimit uint64
	inodes, blockTime, inodeTime   uint64
	valid                          uint32
	_                              uint32
}

// fsxattr is struct fsxattr of include/uapi/linux/fs.h.
type fsxattr struct {
	flags, extentSize, extents uint32
	project                    uint32
	copyOnWriteExtentSize      uint32
	_                          [8]byte
}

const (
	getAttributes = 0x801c581f // FS_IOC_FSGETXATTR
	setAttributes = 0x401c5820 // FS_IOC_FSSETXATTR
	inherit       = 0x200      // FS_XFLAG_PROJINHERIT
)

// Enforced tells whether the file system of a directory enforces the limits of projects.
func Enforced(dir string) bool {
	// A struct fs_quota_stat: its flags are the second of its fields, at 2.
	var state [128]byte
	if err := control(dir, getState, 0, unsafe.Pointer(&state)); err != nil {
		return false
	}
	return binary.NativeEndian.Uint16(state[2:])&areEnforced != 0
}

// New gives a project that nothing belongs to and that has no limit, and the limit, in
// bytes. It follows from a name as far as others allow. It is not to be called for the
// same file system twice at once.
func New(dir, name string, limit uint64) (Project, error) {
	hash := fnv.New32a()
	hash.Write([]byte(name))
	for next := hash.Sum32(); ; next++ {
		// The lower half is left to whoever numbers projects by hand.
		project := Project(next | 1<<31)
		q, err := get(dir, project)
		if err != nil {
			return 0, err
		}
		if q.space == 0 && q.hardLimit == 0 && q.softLimit == 0 {
			return project, SetLimit(dir, project, limit)
		}
	}
}

// SetLimit bounds what a project takes on the file system of a directory, in bytes; 0 is
// no bound.
func SetLimit(dir string, project Project, limit uint64) error {
	q := dqblk{hardLimit: (limit + limitUnit - 1) / limitUnit, valid: blockLimits}
	if err := control(dir, setQuota, project, unsafe.Pointer(&q)); err != nil {
		return fmt.Errorf("set a quota of %d bytes below %s: %w", limit, dir, err)
	}
	return nil
}

// Used is how many bytes a project takes on the file system of a directory.
func Used(dir string, project Project) (uint64, error) {
	q, err := get(dir, project)
	return q.space, err
}

func get(dir string, project Project) (q dqblk, err error) {
	err = control(dir, getQuota, project, unsafe.Pointer(&q))
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) { // nothing is known of it
		return q, nil
	}
	if err != nil {
		return q, fmt.Errorf("read a quota below %s: %w", dir, err)
	}
	return q, nil
}

// Assign makes an empty directory, and what will be made in it, a project's.
func Assign(dir string, project Project) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	var attributes fsxattr
	if err := ioctl(d, getAttributes, &attributes); err != nil {
		return err
	}
	attributes.project = uint32(project)
	attributes.flags |= inherit
	return ioctl(d, setAttributes, &attributes)
}

func ioctl(dir *os.File, request uintptr, attributes *fsxattr) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), request, uintptr(unsafe.Pointer(attributes)))
	if errno != 0 {
		return &os.PathError{Op: "give a project to", Path: dir.Name(), Err: errno}
	}
	return nil
}

// control is quotactl_fd(2) for project quotas.
func control(dir string, command uintptr, project Project, argument unsafe.Pointer) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, d.Fd(), command<<quotactlFormat|projectQuota, uintptr(project), uintptr(argument), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
