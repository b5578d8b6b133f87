package runc

import (
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
	// skeleton is a directory with what is empty in the image, and its links.
	skeleton string
	// layers are the directories of the machine that are seen, by name below /, each
	// with what hides parts of it above it where something does.
	layers map[string][]string
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

// prepareHostImage looks at the machine and makes, in dir, what hides what is not
// to be seen: the directories in hide, and what in /etc is not everybody's to read.
func prepareHostImage(dir string, hide []string) (*hostImage, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	h := &hostImage{skeleton: filepath.Join(dir, "skeleton"), layers: make(map[string][]string)}
	if err := makeSkeleton(h.skeleton); err != nil {
		return nil, err
	}
	for _, name := range hostDirs {
		if err := h.addHostDir(name); err != nil {
			return nil, err
		}
	}
	secrets, err := unreadable("/etc")
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Concat(hide, secrets) {
		if err := h.hide(filepath.Join(dir, "hidden"), path); err != nil {
			return nil, fmt.Errorf("hide %s: %w", path, err)
		}
	}
	return h, nil
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
		h.layers[name] = []string{path}
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
// would be: by a whiteout in a layer above.
func (h *hostImage) hide(dir, path string) error {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	top, rest, _ := strings.Cut(strings.TrimPrefix(real, "/"), "/")
	layers, ok := h.layers[top]
	if !ok {
		return nil
	}
	if rest == "" {
		delete(h.layers, top)
		return nil
	}
	above := filepath.Join(dir, top)
	if layers[0] != above {
		h.layers[top] = append([]string{above}, layers...)
	}
	// The directories on the way hide nothing, but are seen in place of those below.
	at, lower := above, "/"+top
	elements := strings.Split(rest, "/")
	for i := range elements {
		if err := os.MkdirAll(at, 0o700); err != nil {
			return err
		}
		if err := copyAttributes(lower, at); err != nil {
			return err
		}
		at, lower = filepath.Join(at, elements[i]), filepath.Join(lower, elements[i])
	}
	err = unix.Mknod(at, unix.S_IFCHR, 0)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// prepare makes a container's layers.
func (h *hostImage) prepare(spec runtime.ContainerSpec, dir string) (rootfs, error) {
	top := filepath.Join(dir, "rootfs")
	root, err := throwAwayLayer(dir, "root", top, []string{h.skeleton})
	if err != nil {
		return rootfs{}, err
	}
	mounts := []agent.Mount{root}
	for name, layers := range h.layers {
		m, err := throwAwayLayer(dir, name, filepath.Join(top, name), layers)
		if err != nil {
			return rootfs{}, err
		}
		if err := copyAttributes("/"+name, m.Upper); err != nil {
			return rootfs{}, err
		}
		if name == "etc" {
			if err := writeNames(spec, m.Upper); err != nil {
				return rootfs{}, err
			}
		}
		mounts = append(mounts, m)
	}
	return newRootfs(mounts, []string{"/"})
}
