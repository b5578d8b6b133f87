package agent

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A Mount is an overlay: Lower, uppermost first, below the writable Upper. Work is
// an empty directory of Upper's file system. Without Upper it is read-only.
type Mount struct {
	Target string   `json:"target"`
	Lower  []string `json:"lower"`
	Upper  string   `json:"upper,omitempty"`
	Work   string   `json:"work,omitempty"`
}

// leaveHost makes the process's mount namespace, which must be its own, one whose
// mounts the rest of the machine does not see. It still sees theirs go, so that it
// keeps no file system busy.
func leaveHost() error {
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("leave the machine's mount namespace: %w", err)
	}
	return nil
}

// mount makes the mount in the process's mount namespace.
func (m Mount) mount() error {
	// The directories are named by open files: their names may be long, or have
	// colons and commas in them, and the options are bounded by a page.
	var opened []*os.File
	defer func() {
		for _, f := range opened {
			f.Close()
		}
	}()
	name := func(dir string) (string, error) {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", &os.PathError{Op: "open", Path: dir, Err: err}
		}
		opened = append(opened, os.NewFile(uintptr(fd), dir))
		return fmt.Sprintf("/proc/self/fd/%d", fd), nil
	}

	lower := make([]string, len(m.Lower))
	for i, dir := range m.Lower {
		var err error
		if lower[i], err = name(dir); err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	// Redirects and metadata-only copies would make the upper directory unreadable by itself.
	options := "redirect_dir=off,metacopy=off,lowerdir=" + strings.Join(lower, ":")
	flags := uintptr(unix.MS_RDONLY)
	if m.Upper != "" {
		upper, err := name(m.Upper)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
		work, err := name(m.Work)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
		options += ",upperdir=" + upper + ",workdir=" + work
		flags = 0
	}
	if err := unix.Mount("overlay", m.Target, "overlay", flags, options); err != nil {
		return fmt.Errorf("mount %s over %s: %w", strings.Join(m.Lower, ":"), m.Target, err)
	}
	return nil
}
