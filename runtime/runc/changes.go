package runc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/api"
	"midge/runtime/archive"
)

// A containerLayer is a directory that a container writes to, above what it was given.
type containerLayer struct {
	at    string   // where it is seen, inside
	upper string   // what differs
	lower []string // what was given, the uppermost first
}

// layers gives those above a container's image and its inputs.
func (w *Worker) layers(r containerRecord) ([]containerLayer, error) {
	config, err := agent.ReadConfig(w.containerDir(r.Handle))
	if err != nil {
		return nil, err
	}
	var all []containerLayer
	for _, m := range config.Mounts {
		at, ok := seenAt(m.Target, config.Rootfs, r.Volumes)
		if m.Upper == "" || !ok {
			continue
		}
		layer := containerLayer{at: at, upper: sourceOf(m.Upper, config.Mounts)}
		for _, lower := range m.Lower {
			layer.lower = append(layer.lower, sourceOf(lower, config.Mounts))
		}
		all = append(all, layer)
	}
	return all, nil
}

// seenAt gives where the container sees what is mounted on its stage, if that is of its
// image or an input.
func seenAt(target, rootfs string, volumes []volume) (string, bool) {
	if below, ok := strings.CutPrefix(target, rootfs); ok && (below == "" || below[0] == '/') {
		return path.Join("/", below), true
	}
	for _, v := range volumes {
		if v.Mounted == target && v.Kind == inputVolume {
			return v.Target, true
		}
	}
	return "", false
}

// sourceOf gives the path on the machine of one that is on a container's stage.
func sourceOf(staged string, mounts []agent.Mount) string {
	for _, m := range mounts {
		if below, ok := strings.CutPrefix(staged, m.Target); ok && m.Source != "" && (below == "" || below[0] == '/') {
			return m.Source + below
		}
	}
	return staged
}

// madeFiles gives what is in a container's layers now, and when it was last changed.
func (w *Worker) madeFiles(r containerRecord) (map[string]int64, error) {
	layers, err := w.layers(r)
	if err != nil {
		return nil, err
	}
	made := make(map[string]int64)
	for _, layer := range layers {
		upper, err := os.OpenRoot(layer.upper)
		if err != nil {
			return nil, err
		}
		err = fs.WalkDir(upper.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || name == "." {
				return err
			}
			info, err := entry.Info()
			if err == nil {
				made[path.Join(layer.at, name)] = changedAt(info)
			}
			return err
		})
		if err := errors.Join(err, upper.Close()); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func changedAt(info fs.FileInfo) int64 {
	changed := info.Sys().(*syscall.Stat_t).Ctim
	return changed.Nano()
}

// Changes implements runtime.Files. It reads the layers themselves, which have nothing
// but what was written.
func (f files) Changes(ctx context.Context) ([]api.FileChange, error) {
	w := f.container.worker
	r, err := w.readRecord(f.container.handle)
	if err != nil {
		return nil, err
	}
	layers, err := w.layers(r)
	if err != nil {
		return nil, err
	}
	config, err := agent.ReadConfig(f.container.dir)
	if err != nil {
		return nil, err
	}
	// The first process makes the working directory, and those above it.
	made := map[string]int64{}
	maps.Copy(made, r.Made)
	for dir := path.Clean(config.WorkingDir); dir != "/"; dir = path.Dir(dir) {
		made[dir] = 0
	}
	all := []api.FileChange{}
	for _, layer := range layers {
		changes, err := layer.changes(ctx, made)
		if err != nil {
			return nil, fmt.Errorf("compare what is at %s with what was there: %w", layer.at, err)
		}
		all = append(all, changes...)
	}
	slices.SortFunc(all, func(a, b api.FileChange) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// A comparison finds what differs in a layer.
type comparison struct {
	ctx           context.Context
	at            string
	made          map[string]int64
	before, after *os.Root
	changes       []api.FileChange
}

func (l containerLayer) changes(ctx context.Context, made map[string]int64) (_ []api.FileChange, err error) {
	before, closeBefore, err := l.openLower()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeBefore()) }()
	// The container may put links there while it is looked at: none is followed out.
	after, err := os.OpenRoot(l.upper)
	if err != nil {
		return nil, err
	}
	defer after.Close()
	c := &comparison{ctx: ctx, at: l.at, made: made, before: before, after: after}
	err = c.directory(".", false)
	return c.changes, err
}

// openLower opens what is below the layer, as the container was given it.
func (l containerLayer) openLower() (*os.Root, func() error, error) {
	if len(l.lower) == 1 {
		root, err := os.OpenRoot(l.lower[0])
		if err != nil {
			return nil, nil, err
		}
		return root, root.Close, nil
	}
	overlay, err := agent.MountDetached(l.lower...)
	if err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(overlay.Dir())
	if err != nil {
		return nil, nil, errors.Join(err, overlay.Close())
	}
	return root, func() error { return errors.Join(root.Close(), overlay.Close()) }, nil
}

// directory compares what lies in a directory of the layer. Where the directory hides
// what is below, that is gone unless it is in the layer again.
func (c *comparison) directory(name string, hides bool) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	dir, err := c.after.Open(name)
	if err != nil {
		return vanished(err)
	}
	defer dir.Close()
	hides = hides || isOpaque(dir)
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, entry := range names {
		if err := c.entry(path.Join(name, entry), hides); err != nil {
			return vanished(err)
		}
	}
	if !hides {
		return nil
	}
	below, err := fs.ReadDir(c.before.FS(), name)
	if err != nil {
		return vanished(err)
	}
	for _, entry := range below {
		if slices.Contains(names, entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		c.add(api.FileRemoved, path.Join(name, entry.Name()), info)
	}
	return nil
}

// vanished passes over what a container that runs has removed meanwhile.
func vanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

// isOpaque tells whether a directory of a layer hides what is below it.
func isOpaque(dir *os.File) bool {
	var value [1]byte
	n, err := unix.Fgetxattr(int(dir.Fd()), opaqueAttribute(), value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

func (c *comparison) entry(name string, hidden bool) error {
	after, err := c.after.Lstat(name)
	if err != nil {
		return err
	}
	before, err := c.before.Lstat(name)
	given := err == nil
	if !given && vanished(err) != nil {
		return err
	}
	made, ours := c.made[path.Join(c.at, name)]
	switch {
	case isWhiteout(after):
		if given {
			c.add(api.FileRemoved, name, before)
		}
		return nil
	case ours && (after.IsDir() || made == changedAt(after)):
	case !given:
		c.add(api.FileAdded, name, after)
	default:
		same, err := c.same(name, before, after)
		if err != nil {
			return err
		}
		if !same {
			c.add(api.FileModified, name, after)
		}
	}
	if !after.IsDir() {
		return nil
	}
	return c.directory(name, hidden && given && before.IsDir())
}

// isWhiteout tells whether a file of a layer says that there is none.
func isWhiteout(info fs.FileInfo) bool {
	return info.Mode()&fs.ModeCharDevice != 0 && info.Sys().(*syscall.Stat_t).Rdev == 0
}

func (c *comparison) add(change api.FileChangeKind, name string, info fs.FileInfo) {
	file := archive.Describe(info)
	c.changes = append(c.changes, api.FileChange{Path: path.Join(c.at, name), Change: change, Type: file.Type, Size: file.Size})
}

// same tells whether a file of the layer is as the one below it, but for its time.
func (c *comparison) same(name string, before, after fs.FileInfo) (bool, error) {
	was, is := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
	if was.Mode != is.Mode || was.Uid != is.Uid || was.Gid != is.Gid {
		return false, nil
	}
	switch after.Mode().Type() {
	case 0:
		if was.Size != is.Size {
			return false, nil
		}
		return c.sameContent(name)
	case fs.ModeSymlink:
		target, err := c.before.Readlink(name)
		if err != nil {
			return false, err
		}
		now, err := c.after.Readlink(name)
		return now == target, err
	case fs.ModeDir:
		return true, nil
	}
	return was.Rdev == is.Rdev, nil
}

func (c *comparison) sameContent(name string) (bool, error) {
	before, err := c.before.Open(name)
	if err != nil {
		return false, err
	}
	defer before.Close()
	// It may have become something else that opening would wait for.
	after, err := c.after.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, err
	}
	defer after.Close()
	was, is := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, wasErr := io.ReadFull(before, was)
		m, isErr := io.ReadFull(after, is)
		if !bytes.Equal(was[:n], is[:m]) {
			return false, nil
		}
		switch {
		case n < len(was) && ended(wasErr) && ended(isErr):
			return true, nil
		case wasErr != nil:
			return false, wasErr
		case isErr != nil:
			return false, isErr
		}
		if err := c.ctx.Err(); err != nil {
			return false, err
		}
	}
}

func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
