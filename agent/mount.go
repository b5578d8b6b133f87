package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"midge/agent/thread"
)

// A Mount is made before the runtime makes the container: Source bound to Target, or
// an overlay of Lower, Upper and Work there. What has no Source is an overlay.
type Mount struct {
	// Target is below the stage. It is made, and what is above it.
	Target string `json:"target"`

	// Source is a directory or a file. Mapped shows it with its owners shifted into
	// the container's user namespace, Recursive with what is mounted below it, without
	// which the kernel does not show it to who is root of a user namespace only.
	Source    string `json:"source,omitempty"`
	Mapped    bool   `json:"mapped,omitempty"`
	Recursive bool   `json:"recursive,omitempty"`

	// Lower are read-only directories, uppermost first, below the writable Upper.
	// Work is an empty directory of Upper's mount. Without Upper it is read-only.
	Lower []string `json:"lower,omitempty"`
	Upper string   `json:"upper,omitempty"`
	Work  string   `json:"work,omitempty"`
}

// setStage makes the process's mount namespace, which must be its own, one whose
// mounts the rest of the machine does not see, and mounts there an empty file system
// that all may enter. Other directories of the machine need not be open to the
// container's users, as those on the way to what it mounts must be.
func setStage(stage string) error {
	// A slave still sees the machine's mounts go, so that it keeps no file system busy.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("leave the machine's mount namespace: %w", err)
	}
	if err := unix.Mount("stage", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711"); err != nil {
		return fmt.Errorf("mount the stage at %s: %w", stage, err)
	}
	return nil
}

// makeMounts sets the stage of a container and makes its mounts there. then, if it is
// not nil, is done after that as the container's root.
func makeMounts(config Config, namespaces Namespaces, then func() error) error {
	if err := setStage(config.Stage); err != nil {
		return err
	}
	return As(config.RootUID, config.RootGID, func() error {
		for _, m := range config.Mounts {
			if err := m.mount(namespaces.Users); err != nil {
				return err
			}
		}
		if then != nil {
			return then()
		}
		return nil
	})
}

// As has f use files as the user with those numbers, and with all the rights that the
// machine's root has: what f makes is the user's. An overlay goes on as who has mounted
// it, and where owners are shifted the machine's root is nobody, who may not write.
func As(uid, gid int, f func() error) error {
	if uid == 0 && gid == 0 {
		return f()
	}
	return thread.Run(func() error {
		// They change the thread alone, and cannot fail for root.
		_ = unix.Setfsgid(gid)
		_ = unix.Setfsuid(uid)
		if err := raiseCapabilities(); err != nil {
			return fmt.Errorf("keep root's rights: %w", err)
		}
		return f()
	})
}

// raiseCapabilities makes effective what the calling thread is permitted.
func raiseCapabilities() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&head, &sets[0]); err != nil {
		return err
	}
	for i := range sets {
		sets[i].Effective = sets[i].Permitted
	}
	return unix.Capset(&head, &sets[0])
}

// mount makes the mount in the process's mount namespace.
func (m Mount) mount(users *os.File) error {
	if m.Source != "" {
		return m.bind(users)
	}
	if err := os.MkdirAll(m.Target, 0o755); err != nil {
		return err
	}
	// The directories are named by open files: their names may be long, or have
	// colons and commas in them, and the options are bounded by a page.
	var opened openFiles
	defer opened.close()
	lower, err := opened.names(m.Lower...)
	if err != nil {
		return fmt.Errorf("mount %s: %w", m.Target, err)
	}
	// Redirects and metadata-only copies would make the upper directory unreadable by itself.
	options := "redirect_dir=off,metacopy=off,lowerdir="
	if !InitialUserNamespace() {
		options = "userxattr,lowerdir=" // which has neither, and refuses to be told so
	}
	options += strings.Join(lower, ":")
	flags := uintptr(unix.MS_RDONLY)
	if m.Upper != "" {
		above, err := opened.names(m.Upper, m.Work)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
		// What a container writes does not outlive the machine, so nothing is written
		// to the disk for its sake; what tells that of it is removed when it is mounted again.
		if err := os.RemoveAll(filepath.Join(m.Work, "work")); err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
		options += ",volatile,upperdir=" + above[0] + ",workdir=" + above[1]
		flags = 0
	}
	if err := unix.Mount("overlay", m.Target, "overlay", flags, options); err != nil {
		return fmt.Errorf("mount %s over %s: %w", strings.Join(m.Lower, ":"), m.Target, err)
	}
	return nil
}

// bind makes a mount that has a source.
func (m Mount) bind(users *os.File) error {
	if err := makeMountPoint(m.Source, m.Target); err != nil {
		return err
	}
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if m.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, m.Source, flags)
	if err != nil {
		return &os.PathError{Op: "open_tree", Path: m.Source, Err: err}
	}
	defer unix.Close(tree)
	if m.Mapped {
		if err := shiftOwners(tree, users); err != nil {
			return fmt.Errorf("shift the owners of %s: %w", m.Source, err)
		}
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, m.Target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s at %s: %w", m.Source, m.Target, err)
	}
	return nil
}

// makeMountPoint makes what can be mounted over: a directory or a file, as source is.
func makeMountPoint(source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, nil, 0o600)
}

// shiftOwners makes a detached mount show its files as owned by whom their owners'
// numbers mean in a user namespace.
func shiftOwners(tree int, users *os.File) error {
	if users == nil {
		return errors.New("there is no user namespace")
	}
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set:  unix.MOUNT_ATTR_IDMAP,
		Userns_fd: uint64(users.Fd()),
	})
}

// openFiles are directories that are named by their numbers while they are open.
type openFiles []*os.File

func (o *openFiles) names(dirs ...string) ([]string, error) {
	names := make([]string, len(dirs))
	for i, dir := range dirs {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: dir, Err: err}
		}
		*o = append(*o, os.NewFile(uintptr(fd), dir))
		names[i] = fmt.Sprintf("/proc/self/fd/%d", fd)
	}
	return names, nil
}

func (o openFiles) close() {
	for _, f := range o {
		f.Close()
	}
}

// A DetachedOverlay is an overlay that is mounted where no path leads. It goes when
// it is closed.
type DetachedOverlay struct{ mount *os.File }

// MountDetached mounts directories, uppermost first, read-only.
func MountDetached(lower ...string) (*DetachedOverlay, error) {
	overlay, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open overlay file system: %w", err)
	}
	defer unix.Close(overlay)
	var opened openFiles
	defer opened.close()
	names, err := opened.names(lower...)
	if err != nil {
		return nil, err
	}
	if err := unix.FsconfigSetString(overlay, "lowerdir", strings.Join(names, ":")); err != nil {
		return nil, fmt.Errorf("configure overlay of %s: %w", strings.Join(lower, ":"), err)
	}
	if !InitialUserNamespace() {
		if err := unix.FsconfigSetFlag(overlay, "userxattr"); err != nil {
			return nil, fmt.Errorf("configure overlay of %s: %w", strings.Join(lower, ":"), err)
		}
	}
	if err := unix.FsconfigCreate(overlay); err != nil {
		return nil, fmt.Errorf("create overlay of %s: %w", strings.Join(lower, ":"), err)
	}
	mount, err := unix.Fsmount(overlay, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("mount overlay of %s: %w", strings.Join(lower, ":"), err)
	}
	return &DetachedOverlay{os.NewFile(uintptr(mount), "overlay")}, nil
}

// Dir is a path that means the overlay in this process, until Close.
func (o *DetachedOverlay) Dir() string { return fmt.Sprintf("/proc/self/fd/%d/.", o.mount.Fd()) }

// Close unmounts the overlay.
func (o *DetachedOverlay) Close() error { return o.mount.Close() }
