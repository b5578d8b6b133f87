package runc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/runtime"
)

// A hostImage is the machine's own system directories as a root file system: each
// below a throw-away layer, with what is nobody's business hidden.
type hostImage struct {
	// name tells it from those that were prepared before.
	name string
	// skeleton is a directory with what is empty in the image, and its links.
	skeleton string
	// dirs are the names below / of the directories of the machine that are seen.
	dirs []string
	// above is a directory with a layer for some of them, which hides what is not to
	// be seen, and has as the container's own the directories that tasks install to.
	above string
}

// hostDirs are the directories of the machine that the host image has.
var hostDirs = []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt"}

// emptyDirs are made in it, so that programs find what they expect.
var emptyDirs = []struct {
	name string
	mode fs.FileMode
}{
	{"dev", 0o755}, {"proc", 0o555}, {"sys", 0o555}, {"run", 0o755}, {"run/lock", 0o777 | fs.ModeSticky},
	{"tmp", 0o777 | fs.ModeSticky}, {"home", 0o755}, {"root", 0o700}, {"mnt", 0o755}, {"srv", 0o755}, {"media", 0o755},
	{"var", 0o755}, {"var/tmp", 0o777 | fs.ModeSticky}, {"var/lib", 0o755}, {"var/log", 0o755}, {"var/cache", 0o755},
}

// openHostImage prepares the host image as the machine is now, and removes what no
// container has any more of those that were prepared before: what lies below a
// container's layers must stay as it is.
func (w *Worker) openHostImage() error {
	dir := w.path("host-image")
	records, err := w.records()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	before, err := names(dir)
	if err != nil {
		return err
	}
	for _, name := range before {
		if slices.ContainsFunc(records, func(r containerRecord) bool { return r.HostImage == name }) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if dir, err = os.MkdirTemp(dir, ""); err != nil {
		return err
	}
	w.host, err = prepareHostImage(dir, append(w.options.Hide, w.options.StateDir))
	return err
}

// prepareHostImage looks at the machine and makes, in dir, what hides what is not
// to be seen: the directories in hide, and what in /etc is not everybody's to read.
func prepareHostImage(dir string, hide []string) (*hostImage, error) {
	h := &hostImage{name: filepath.Base(dir), skeleton: filepath.Join(dir, "skeleton"), above: filepath.Join(dir, "above")}
	if err := os.Chmod(dir, 0o755); err != nil { // containers' users pass through it
		return nil, err
	}
	if err := makeSkeleton(h.skeleton); err != nil {
		return nil, err
	}
	for _, name := range hostDirs {
		if err := h.addHostDir(name); err != nil {
			return nil, err
		}
	}
	if !agent.InitialUserNamespace() {
		if err := checkMountsBelow(h.dirs); err != nil {
			return nil, err
		}
	}
	secrets, err := unreadable("/etc")
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Concat(hide, secrets) {
		if err := h.hide(path); err != nil {
			return nil, fmt.Errorf("hide %s: %w", path, err)
		}
	}
	return h, h.ownLocal()
}

// makeSkeleton makes what every container's root has.
func makeSkeleton(top string) error {
	if err := os.MkdirAll(top, 0o755); err != nil {
		return err
	}
	for _, d := range emptyDirs {
		path := filepath.Join(top, d.name)
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		if err := os.Chmod(path, d.mode); err != nil {
			return err
		}
	}
	return errors.Join(os.Symlink("/run", filepath.Join(top, "var/run")), os.Symlink("/run/lock", filepath.Join(top, "var/lock")))
}

// addHostDir adds a directory of the machine, or the link that is in its place.
func (h *hostImage) addHostDir(name string) error {
	path := "/" + name
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(target, filepath.Join(h.skeleton, name))
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(entries) > 0 { // what is empty, the skeleton shows as well
		h.dirs = append(h.dirs, name)
	}
	return os.Mkdir(filepath.Join(h.skeleton, name), 0o755)
}

// unreadable lists what below dir not everybody may read: keys and passwords.
func unreadable(dir string) ([]string, error) {
	var all []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case info.IsDir() && info.Mode().Perm()&0o005 != 0o005:
			all = append(all, path)
			return fs.SkipDir
		case info.Mode().IsRegular() && info.Mode().Perm()&0o004 == 0:
			all = append(all, path)
		}
		return nil
	})
	return all, err
}

// hide makes a path of the machine one that is not there in the host image, if it
// would be: by a whiteout in the layer above.
func (h *hostImage) hide(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	top, rest, _ := strings.Cut(strings.TrimPrefix(real, "/"), "/")
	if !slices.Contains(h.dirs, top) {
		return nil
	}
	if rest == "" {
		h.dirs = slices.DeleteFunc(h.dirs, func(name string) bool { return name == top })
		return nil
	}
	if err := h.makeAbove(filepath.Dir(real)); err != nil {
		return err
	}
	err = unix.Mknod(filepath.Join(h.above, real), unix.S_IFCHR, 0)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// makeAbove makes a directory of the machine in the layer above it, where it is
// seen in its place and hides nothing.
func (h *hostImage) makeAbove(dir string) error {
	if dir == "/" {
		return os.MkdirAll(h.above, 0o755)
	}
	if err := h.makeAbove(filepath.Dir(dir)); err != nil {
		return err
	}
	path := filepath.Join(h.above, dir)
	if err := os.Mkdir(path, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return os.Chmod(path, info.Mode())
}

// ownLocal makes /usr/local and the directories there the container's own.
func (h *hostImage) ownLocal() error {
	const local = "/usr/local"
	entries, err := os.ReadDir(local)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := h.makeAbove(local); err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(local, entry.Name())
		// What was hidden stays so.
		if _, err := os.Lstat(filepath.Join(h.above, path)); err == nil || !entry.IsDir() {
			continue
		}
		if err := h.makeAbove(path); err != nil {
			return err
		}
	}
	return nil
}

// prepare puts the image on a container's stage. The machine's files keep the
// machine's owners: what only its root may read, a container's root may not.
func (h *hostImage) prepare(ctx context.Context, spec runtime.ContainerSpec, s *stage) (compat bool, err error) {
	skeleton, err := s.layer(ctx, h.skeleton)
	if err != nil {
		return false, err
	}
	if _, err := s.throwAway(s.rootfs(), "root", []string{skeleton}); err != nil {
		return false, err
	}
	for _, name := range h.dirs {
		layers := []string{"/" + name}
		above := filepath.Join(h.above, name)
		if _, err := os.Stat(above); err == nil {
			if above, err = s.layer(ctx, above); err != nil {
				return false, err
			}
			layers = append([]string{above}, layers...)
		}
		upper, err := s.throwAway(filepath.Join(s.rootfs(), name), name, layers)
		if err != nil {
			return false, err
		}
		if err := os.Chmod(upper, 0o755); err != nil {
			return false, err
		}
		if name == "etc" {
			if err := s.writeNames(spec, upper); err != nil {
				return false, err
			}
		}
	}
	return needsCompat([]string{"/"})
}
