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

	"midge/runtime"
	"midge/runtime/runc/image"
)

// compatLoaders are the loaders of programs of the narrower architecture.
var compatLoaders = []string{"lib/ld-linux.so.2", "usr/lib/ld-linux.so.2", "lib/ld-musl-i386.so.1", "lib/ld-linux-armhf.so.3", "usr/lib/ld-linux-armhf.so.3"}

// needsCompat tells whether the image of these layers has programs of the machine's
// narrower architecture.
func needsCompat(layers []string) (bool, error) {
	for _, loader := range compatLoaders {
		path, err := topmost(layers, loader)
		if err != nil || path != "" {
			return path != "", err
		}
	}
	return false, nil
}

// A rootfs is a container's root file system.
type rootfs struct {
	// compat tells that it has programs of the machine's narrower architecture.
	compat bool
	// image is what it came from, nil for a directory of the machine.
	image *image.Image
	// hostImage is the name of the host image, "" when it is another.
	hostImage string
}

// prepareRootfs puts the container's root file system on its stage.
func (w *Worker) prepareRootfs(ctx context.Context, spec runtime.ContainerSpec, s *stage) (r rootfs, err error) {
	var layers []string
	switch {
	case spec.Image.Host:
		if w.host == nil {
			return r, &runtime.SpecError{Message: "the task names no image, and this server does not offer its own file system as one (--host-image=false): set rootfs_uri or image_resource in the task"}
		}
		r.hostImage = w.host.name
		r.compat, err = w.host.prepare(ctx, spec, s)
		return r, err
	case spec.Image.RootfsURI != "":
		var lower string
		lower, err = w.findRootfs(spec.Image.RootfsURI)
		layers = []string{lower}
	case spec.Image.Registry != nil:
		r.image, err = w.pull(ctx, spec)
	case spec.Image.Artifact != nil:
		r.image, err = w.load(ctx, spec, s.dir)
	default:
		err = &runtime.SpecError{Message: "the container has no image"}
	}
	if err != nil {
		return r, err
	}
	if r.image != nil {
		layers = r.image.Layers
	}
	r.compat, err = prepareLayeredRootfs(ctx, spec, s, layers)
	return r, err
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
func prepareLayeredRootfs(ctx context.Context, spec runtime.ContainerSpec, s *stage, layers []string) (compat bool, err error) {
	shown, err := s.layers(ctx, layers)
	if err != nil {
		return false, err
	}
	upper, err := s.throwAway(s.rootfs(), "root", shown)
	if err != nil {
		return false, err
	}
	if err := s.likeBelow(layers[0], upper); err != nil {
		return false, err
	}
	if err := writeNamesAbove(spec, s, upper, layers); err != nil {
		return false, err
	}
	return needsCompat(layers)
}

// writeNamesAbove writes, into the layer above an image's, what writeNames does.
func writeNamesAbove(spec runtime.ContainerSpec, s *stage, upper string, lower []string) error {
	below, err := topmost(lower, "etc")
	if err != nil {
		return err
	}
	etc := filepath.Join(upper, "etc")
	if below == "" {
		if err := errors.Join(os.Mkdir(etc, 0o755), s.giveOwn(etc)); err != nil {
			return err
		}
		return s.writeNames(spec, etc)
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
	if err := s.likeBelow(below, etc); err != nil {
		return err
	}
	return s.writeNames(spec, etc)
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

// writeNames writes how a container finds itself and others, in place of what the
// image has there, be it a file, a link to somewhere or nothing.
func (s *stage) writeNames(spec runtime.ContainerSpec, etc string) error {
	files := map[string]string{
		"hostname":    hostname(spec) + "\n",
		"hosts":       hosts(hostname(spec)),
		"resolv.conf": string(s.resolvConf),
	}
	for name, content := range files {
		path := filepath.Join(etc, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
		if err := s.giveOwn(path); err != nil {
			return err
		}
	}
	return nil
}

func hosts(name string) string {
	return "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" + name + "\n"
}
