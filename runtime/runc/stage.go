package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/agent/quota"
	"midge/runtime"
	"midge/runtime/runc/network"
)

// stagePlaces are directories that every machine has and nothing of a container
// lies in: in one of them its supervisor mounts what the container is made of.
var stagePlaces = []string{"/mnt", "/srv", "/media", "/home", "/tmp"}

// findStage gives one that none of the paths lies in.
func findStage(paths ...string) (string, error) {
places:
	for _, place := range stagePlaces {
		if info, err := os.Lstat(place); err != nil || !info.IsDir() {
			continue
		}
		for _, path := range paths {
			if path == place || strings.HasPrefix(path, place+"/") {
				continue places
			}
		}
		return place, nil
	}
	return "", fmt.Errorf("there is no directory to mount containers in: one of %s must exist, and nothing of the server lie in it", strings.Join(stagePlaces, ", "))
}

// A stage is what is mounted for one container, in the order in which it is.
type stage struct {
	dir    string // of the container
	place  string // where all of it is mounted
	mapped bool   // whether the container has a user namespace
	users  *userNamespace
	mounts []agent.Mount
	// written are directories of the machine that have what the container writes.
	written []string
	project quota.Project // that they belong to, 0 for none
	cgroup  string        // the container's, "" for none

	resolvConf []byte // the container's name servers
}

// newStage begins a container's stage with what every container has: its own
// directory, so that its layers have the container's owners, the agent and /sys.
func (w *Worker) newStage(spec runtime.ContainerSpec, dir string, namespace *network.Namespace) (*stage, error) {
	resolv, err := resolvConf(namespace)
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, place: w.stage, mapped: !spec.Privileged, users: w.users, cgroup: w.cgroup(spec.Handle), resolvConf: resolv}
	s.bindOwn()
	s.mounts = append(s.mounts,
		agent.Mount{Source: w.options.Agent, Target: s.path("agent")},
		agent.Mount{Source: "/sys", Target: s.path("sys"), Recursive: w.ordinary})
	if w.toolbox != "" {
		s.mounts = append(s.mounts, agent.Mount{Source: w.toolbox, Target: s.path("toolbox")})
	}
	return s, nil
}

// shifts tells whether mounts show the container's owners, copies whether files are
// copied to that end.
func (s *stage) shifts() bool { return s.mapped && s.users.shifts }
func (s *stage) copies() bool { return s.mapped && !s.users.shifts }

// bindOwn puts the container's own directory on the stage.
func (s *stage) bindOwn() {
	s.mounts = append(s.mounts, agent.Mount{Source: s.dir, Target: s.path("own"), Mapped: s.shifts()})
}

func (s *stage) path(elements ...string) string {
	return filepath.Join(append([]string{s.place}, elements...)...)
}

// own gives the path on the stage of one in the container's directory.
func (s *stage) own(path string) string {
	return s.path("own", strings.TrimPrefix(path, s.dir))
}

// rootfs is where the container's root file system is mounted.
func (s *stage) rootfs() string { return s.path("rootfs") }

// layer shows a directory with the container's owners and gives its path.
func (s *stage) layer(ctx context.Context, dir string) (string, error) {
	switch {
	case s.copies():
		target, err := os.MkdirTemp(s.dir, "layer-")
		if err != nil {
			return "", err
		}
		shifted := treeCopy{from: dir, to: target, owners: s.users, layer: true}
		return target, shifted.run(ctx)
	case s.shifts():
		target := s.path("layers", fmt.Sprint(len(s.mounts)))
		s.mounts = append(s.mounts, agent.Mount{Source: dir, Target: target, Mapped: true})
		return target, nil
	default:
		return dir, nil
	}
}

// layers does it for several.
func (s *stage) layers(ctx context.Context, dirs []string) ([]string, error) {
	shown := make([]string, len(dirs))
	for i, dir := range dirs {
		var err error
		if shown[i], err = s.layer(ctx, dir); err != nil {
			return nil, err
		}
	}
	return shown, nil
}

// bind shows a directory that the container is to have as its own at target.
func (s *stage) bind(target, source string) error {
	if err := s.charge(source); err != nil {
		return err
	}
	s.written = append(s.written, source)
	s.mounts = append(s.mounts, agent.Mount{Source: source, Target: target, Mapped: s.shifts()})
	return s.giveOwn(source)
}

// charge has what is written into an empty directory count against the container's quota.
func (s *stage) charge(dir string) error {
	if s.project == 0 {
		return nil
	}
	return quota.Assign(dir, s.project)
}

// giveOwn makes the container's root the owner of what was made for it.
func (s *stage) giveOwn(paths ...string) error {
	if !s.copies() {
		return nil
	}
	for _, path := range paths {
		if err := os.Lchown(path, int(s.users.uids.start), int(s.users.gids.start)); err != nil {
			return err
		}
	}
	return nil
}

// likeBelow gives a directory the attributes of the one below it, in place of which
// an overlay shows it.
func (s *stage) likeBelow(below, path string) error {
	var stat unix.Stat_t
	if err := unix.Stat(below, &stat); err != nil {
		return &os.PathError{Op: "stat", Path: below, Err: err}
	}
	if s.copies() {
		if err := s.users.shiftOwner(path, stat); err != nil {
			return err
		}
	} else if err := os.Lchown(path, int(stat.Uid), int(stat.Gid)); err != nil {
		return err
	}
	return unix.Chmod(path, stat.Mode&0o7777)
}

// throwAway mounts layers, the uppermost first, below a new one of the container, the
// directory of which is given.
func (s *stage) throwAway(target, name string, lower []string) (upper string, err error) {
	upper, work := filepath.Join(s.dir, name+"-upper"), filepath.Join(s.dir, name+"-work")
	for _, d := range []string{upper, work} {
		if err := errors.Join(os.Mkdir(d, 0o755), s.charge(d)); err != nil {
			return "", err
		}
	}
	s.mounts = append(s.mounts, agent.Mount{Target: target, Lower: lower, Upper: s.own(upper), Work: s.own(work)})
	s.written = append(s.written, upper)
	return upper, s.giveOwn(upper, work)
}
