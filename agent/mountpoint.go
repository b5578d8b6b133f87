package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A MountPoint is a place in the container where the runtime mounts a directory of
// the machine.
type MountPoint struct {
	Target string `json:"target"` // absolute and clean, inside
	Source string `json:"source"`
}

// maxLinks is how many symbolic links a path may go through, as in the kernel.
const maxLinks = 40

// checkMountPoints refuses a mount point to which a symbolic link leads that climbs
// out of the root file system. The runtime would mount there all the same, at the
// place that the link means when the root is the top: not where its author meant.
func checkMountPoints(rootfs string, points []MountPoint) error {
	for _, p := range points {
		if err := checkMountPoint(rootfs, points, p.Target); err != nil {
			return err
		}
	}
	return nil
}

func checkMountPoint(rootfs string, points []MountPoint, target string) error {
	refused := func(why string) error {
		return &Error{Kind: ErrorSpec, Message: fmt.Sprintf("nothing can be mounted at %s: %s", target, why)}
	}
	at, rest, links := "/", elements(target), 0
	points = slices.DeleteFunc(slices.Clone(points), func(p MountPoint) bool { return p.Target == target })
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			if at == "/" {
				return refused("a symbolic link on the way leads out of the container's root file system")
			}
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		if slices.ContainsFunc(points, func(p MountPoint) bool { return p.Target == next }) {
			at = next // whatever the image has there
			continue
		}
		link, err := os.Readlink(outside(rootfs, points, next))
		switch {
		case err == nil:
			if links++; links > maxLinks {
				return refused("there are too many symbolic links on the way")
			}
			if filepath.IsAbs(link) {
				at = "/"
			}
			rest = append(elements(link), rest...)
		case errors.Is(err, fs.ErrNotExist):
			return nil // the runtime makes it, and all below
		case errors.Is(err, unix.ENOTDIR):
			return refused(at + " is no directory")
		case errors.Is(err, unix.EINVAL): // no link
			at = next
		default:
			return fmt.Errorf("look at mount point %s: %w", target, err)
		}
	}
	if info, err := os.Lstat(outside(rootfs, points, at)); err == nil && !info.IsDir() {
		return refused("the image has a file there")
	}
	return nil
}

// elements splits a path, links' targets included, into its names.
func elements(path string) []string {
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// outside gives where a path inside lies on the machine: in the root file system or
// in what is mounted above it.
func outside(rootfs string, points []MountPoint, path string) string {
	source, below := rootfs, path
	deepest := ""
	for _, p := range points {
		if relative, ok := strings.CutPrefix(path, p.Target); ok && strings.HasPrefix(relative, "/") && len(p.Target) > len(deepest) {
			source, below, deepest = p.Source, relative, p.Target
		}
	}
	return filepath.Join(source, below)
}
