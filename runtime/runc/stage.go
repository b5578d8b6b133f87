package runc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"midge/agent"
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
	mounts []agent.Mount

	resolvConf []byte // the container's name servers
}

// newStage begins a container's stage with what every container has: its own
// directory, so that its layers have the container's owners, the agent and /sys.
func (w *Worker) newStage(spec runtime.ContainerSpec, dir string, namespace *network.Namespace) (*stage, error) {
	resolv, err := resolvConf(namespace)
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, place: w.stage, mapped: !spec.Privileged, resolvConf: resolv}
	s.mounts = []agent.Mount{
		{Source: dir, Target: s.path("own"), Mapped: s.mapped},
		{Source: w.options.Agent, Target: s.path("agent")},
		{Source: "/sys", Target: s.path("sys")},
	}
	return s, nil
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
func (s *stage) layer(dir string) string {
	if !s.mapped {
		return dir
	}
	target := s.path("layers", fmt.Sprint(len(s.mounts)))
	s.mounts = append(s.mounts, agent.Mount{Source: dir, Target: target, Mapped: true})
	return target
}

// layers does it for several.
func (s *stage) layers(dirs []string) []string {
	shown := make([]string, len(dirs))
	for i, dir := range dirs {
		shown[i] = s.layer(dir)
	}
	return shown
}

// bind shows a directory with the container's owners at target.
func (s *stage) bind(target, source string) {
	s.mounts = append(s.mounts, agent.Mount{Source: source, Target: target, Mapped: s.mapped})
}

// overlay mounts layers, the uppermost first, below the writable upper, which lies in
// the container's directory as work does.
func (s *stage) overlay(target string, lower []string, upper, work string) {
	s.mounts = append(s.mounts, agent.Mount{Target: target, Lower: lower, Upper: s.own(upper), Work: s.own(work)})
}

// throwAway mounts layers below a new one of the container, whose directory is given.
func (s *stage) throwAway(target, name string, lower []string) (upper string, err error) {
	upper, work := filepath.Join(s.dir, name+"-upper"), filepath.Join(s.dir, name+"-work")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", err
		}
	}
	s.overlay(target, lower, upper, work)
	return upper, nil
}
