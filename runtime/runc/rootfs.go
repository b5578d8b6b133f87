package runc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/runtime"
)

// A rootfs is a container's root file system.
type rootfs struct {
	mounts []agent.Mount
	// compat tells that it has programs of the machine's narrower architecture.
	compat bool
}

// compatLoaders are the loaders of programs of the narrower architecture.
var compatLoaders = []string{"lib/ld-linux.so.2", "usr/lib/ld-linux.so.2", "lib/ld-musl-i386.so.1", "lib/ld-linux-armhf.so.3", "usr/lib/ld-linux-armhf.so.3"}

// newRootfs gives a root file system of mounts that shows the layers of an image.
func newRootfs(mounts []agent.Mount, layers []string) (rootfs, error) {
	for _, loader := range compatLoaders {
		path, err := topmost(layers, loader)
		if err != nil {
			return rootfs{}, err
		}
		if path != "" {
			return rootfs{mounts: mounts, compat: true}, nil
		}
	}
	return rootfs{mounts: mounts}, nil
}

// prepareRootfs makes what is needed of the container's root file system in its directory.
func (w *Worker) prepareRootfs(_ context.Context, spec runtime.ContainerSpec, dir string) (rootfs, error) {
	image := spec.Image
	switch {
	case image.Host:
		if w.host == nil {
			return rootfs{}, &runtime.SpecError{Message: "the task names no image, and this server does not offer its own file system as one (--host-image=false): set rootfs_uri or image_resource in the task"}
		}
		return w.host.prepare(spec, dir)
	case image.RootfsURI != "":
		lower, err := w.findRootfs(image.RootfsURI)
		if err != nil {
			return rootfs{}, err
		}
		return prepareLayeredRootfs(spec, dir, []string{lower})
	case image.Registry != nil:
		return rootfs{}, &runtime.SpecError{Message: "image_resource is not supported yet: leave it out to run on the host image, or set rootfs_uri"}
	case image.Artifact != nil:
		return rootfs{}, &runtime.SpecError{Message: "an image from an input is not supported yet: leave it out to run on the host image, or set rootfs_uri"}
	default:
		return rootfs{}, &runtime.SpecError{Message: "the container has no image"}
	}
}

// findRootfs gives the directory that a rootfs_uri means, which must lie below one
// that is allowed, whatever links lead there.
func (w *Worker) findRootfs(uri string) (string, error) {
	dir, ok := strings.CutPrefix(uri, "raw://")
	if !ok || !filepath.IsAbs(dir) {
		return "", &runtime.SpecError{Message: fmt.Sprintf("rootfs_uri %q is not understood: it is raw:///DIR, a directory of the server's machine", uri)}
	}
	real, err := filepath.EvalSymlinks(dir)
	allowed := err == nil && w.allows(real)
	// Whether a directory is there is not told of those that are not allowed.
	if !allowed && !(err != nil && w.allows(filepath.Clean(dir))) {
		return "", &runtime.SpecError{Message: fmt.Sprintf("rootfs_uri %q is not allowed: the server takes directories below %s (--allow-rootfs)", uri, w.allowedDirs())}
	}
	if err != nil {
		return "", &runtime.SpecError{Message: fmt.Sprintf("rootfs_uri %q cannot be used", uri), Err: err}
	}
	if info, err := os.Stat(real); err != nil || !info.IsDir() {
		return "", &runtime.SpecError{Message: fmt.Sprintf("rootfs_uri %q is no directory", uri), Err: err}
	}
	return real, nil
}

func (w *Worker) allowedDirs() string {
	if len(w.options.AllowRootfs) == 0 {
		return "none"
	}
	return strings.Join(w.options.AllowRootfs, ", ")
}

func (w *Worker) allows(dir string) bool {
	for _, allowed := range w.options.AllowRootfs {
		real, err := filepath.EvalSymlinks(allowed)
		if err != nil {
			continue
		}
		if relative, err := filepath.Rel(real, dir); err == nil && filepath.IsLocal(relative) {
			return true
		}
	}
	return false
}

// prepareLayeredRootfs mounts layers, the uppermost first, below a throw-away one.
func prepareLayeredRootfs(spec runtime.ContainerSpec, dir string, lower []string) (rootfs, error) {
	m, err := throwAwayLayer(dir, "root", filepath.Join(dir, "rootfs"), lower)
	if err != nil {
		return rootfs{}, err
	}
	if err := copyAttributes(lower[0], m.Upper); err != nil {
		return rootfs{}, err
	}
	if err := writeNamesAbove(spec, m.Upper, lower); err != nil {
		return rootfs{}, err
	}
	return newRootfs([]agent.Mount{m}, lower)
}

// writeNamesAbove writes, into the layer above an image's, what writeNames does.
func writeNamesAbove(spec runtime.ContainerSpec, upper string, lower []string) error {
	below, err := topmost(lower, "etc")
	if err != nil {
		return err
	}
	etc := filepath.Join(upper, "etc")
	if below == "" {
		if err := os.Mkdir(etc, 0o755); err != nil {
			return err
		}
		return writeNames(spec, etc)
	}
	info, err := os.Lstat(below)
	if err != nil {
		return err
	}
	if !info.IsDir() { // an image that has it elsewhere has its names elsewhere too
		return nil
	}
	if err := os.Mkdir(etc, 0o755); err != nil {
		return err
	}
	if err := copyAttributes(below, etc); err != nil {
		return err
	}
	return writeNames(spec, etc)
}

// topmost gives the path of a name in the uppermost layer that has it, "" when none has.
func topmost(lower []string, name string) (string, error) {
	for _, layer := range lower {
		path := filepath.Join(layer, name)
		_, err := os.Lstat(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return "", err
		}
	}
	return "", nil
}

// throwAwayLayer makes the directories of an overlay in a container's.
func throwAwayLayer(dir, name, target string, lower []string) (agent.Mount, error) {
	m := agent.Mount{
		Target: target,
		Lower:  lower,
		Upper:  filepath.Join(dir, name+"-upper"),
		Work:   filepath.Join(dir, name+"-work"),
	}
	for _, d := range []string{m.Upper, m.Work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return m, err
		}
	}
	return m, nil
}

// copyAttributes gives a directory the owner and mode of another: an overlay shows those of its upper one.
func copyAttributes(from, to string) error {
	var stat unix.Stat_t
	if err := unix.Stat(from, &stat); err != nil {
		return &os.PathError{Op: "stat", Path: from, Err: err}
	}
	if err := os.Chown(to, int(stat.Uid), int(stat.Gid)); err != nil {
		return err
	}
	return unix.Chmod(to, stat.Mode&0o7777)
}

// writeNames writes how a container finds itself and others, in place of what the
// image has there, be it a file, a link to somewhere or nothing.
func writeNames(spec runtime.ContainerSpec, etc string) error {
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files := map[string]string{
		"hostname":    hostname(spec) + "\n",
		"hosts":       hosts(hostname(spec)),
		"resolv.conf": string(resolv),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func hosts(name string) string {
	return "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" + name + "\n"
}
