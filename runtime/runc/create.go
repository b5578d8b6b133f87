package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"midge/agent"
	"midge/runtime"
	"midge/trace"
)

// FindOrCreateContainer implements runtime.Worker.
func (w *Worker) FindOrCreateContainer(ctx context.Context, spec runtime.ContainerSpec) (_ runtime.Container, err error) {
	ctx, span := trace.StartSpan(ctx, "runtime.container_create")
	defer func() { span.End(err) }()
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	unlock := w.changes.lock(spec.Handle)
	defer unlock()
	r, err := w.readRecord(spec.Handle)
	if err == nil {
		return w.container(spec.Handle), w.holdAgain(ctx, r, spec)
	}
	if missing := (*runtime.NotFoundError)(nil); !errors.As(err, &missing) {
		return nil, err
	}
	// What is there without a record was left by a server that was killed.
	if err := w.remove(ctx, spec.Handle); err != nil {
		return nil, fmt.Errorf("remove what is left of container %s: %w", spec.Handle, err)
	}
	if err := w.create(ctx, spec); err != nil {
		cleanupErr := w.remove(context.WithoutCancel(ctx), spec.Handle)
		return nil, errors.Join(err, cleanupErr)
	}
	return w.container(spec.Handle), nil
}

// checkSpec refuses what no container can be made of.
func checkSpec(spec runtime.ContainerSpec) error {
	if !agent.ValidID(spec.Handle) {
		return &runtime.SpecError{Message: fmt.Sprintf("%q is no handle of a container: it is 1 to 64 of a-z, 0-9 and '-'", spec.Handle)}
	}
	if !filepath.IsAbs(spec.Dir) {
		return &runtime.SpecError{Message: fmt.Sprintf("the working directory %q is no absolute path", spec.Dir)}
	}
	return nil
}

// holdAgain keeps the artifacts of a container's inputs as they are, for a
// container that an earlier worker made.
func (w *Worker) holdAgain(ctx context.Context, r containerRecord, spec runtime.ContainerSpec) error {
	w.mu.Lock()
	_, held := w.releases[r.Handle]
	w.mu.Unlock()
	if held {
		return nil
	}
	for _, input := range spec.Inputs {
		if local, ok := input.Artifact.(runtime.Local); ok {
			if _, release, err := local.LocalPath(ctx); err == nil {
				w.hold(r.Handle, release)
			}
		}
	}
	return nil
}

func (w *Worker) hold(handle string, release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.releases[handle] = append(w.releases[handle], release)
}

// create makes the container. What is there on an error the caller removes.
func (w *Worker) create(ctx context.Context, spec runtime.ContainerSpec) error {
	dir := w.containerDir(spec.Handle)
	for _, d := range []string{dir, filepath.Join(dir, "rootfs"), filepath.Join(dir, "processes")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	// The top of the container's file system is everybody's to enter.
	if err := os.Chmod(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		return err
	}
	root, err := w.prepareRootfs(ctx, spec, dir)
	if err != nil {
		return err
	}
	r := containerRecord{Handle: spec.Handle}
	if r.Volumes, err = w.prepareVolumes(ctx, spec, dir); err != nil {
		return err
	}
	config := agent.Config{
		ID:          spec.Handle,
		Runtime:     w.runtime,
		RuntimeRoot: w.runtimeRoot(),
		Cgroup:      w.cgroup(spec.Handle),
		Mounts:      root.mounts,
		Rootfs:      filepath.Join(dir, "rootfs"),
		WorkingDir:  spec.Dir,
		Env:         spec.Env,
		User:        spec.User,
		Privileged:  spec.Privileged,
	}
	for _, v := range r.Volumes {
		config.MountPoints = append(config.MountPoints, agent.MountPoint{Target: v.Target, Source: v.source()})
		if v.Lower != "" {
			config.Mounts = append(config.Mounts, agent.Mount{
				Target: v.Merged,
				Lower:  []string{v.Lower},
				Upper:  v.Dir,
				Work:   filepath.Join(filepath.Dir(v.Dir), "work"),
			})
		}
		if v.Kind != inputVolume {
			config.Own = append(config.Own, v.Target)
		}
	}
	config.Own = append(config.Own, spec.Dir)
	if err := agent.WriteConfig(dir, config); err != nil {
		return err
	}
	if err := w.writeRuntimeConfig(dir, spec, root, r.Volumes); err != nil {
		return err
	}
	if err := agent.Launch(ctx, w.options.Agent, dir); err != nil {
		return w.container(spec.Handle).explain(err)
	}
	return w.writeRecord(r)
}

// prepareVolumes makes the directories of inputs, outputs and caches.
func (w *Worker) prepareVolumes(ctx context.Context, spec runtime.ContainerSpec, dir string) ([]volume, error) {
	var all []volume
	add := func(v volume, err error) error {
		if err == nil {
			all = append(all, v)
		}
		return err
	}
	for i, input := range spec.Inputs {
		v := w.newVolume(spec, inputVolume, input.Path, i)
		if err := add(w.prepareInput(ctx, spec.Handle, dir, v, input.Artifact)); err != nil {
			return nil, fmt.Errorf("mount input %q: %w", input.Path, err)
		}
	}
	for i, output := range spec.Outputs {
		v := w.newVolume(spec, outputVolume, output.Path, i)
		if slices.ContainsFunc(all, func(other volume) bool { return other.Kind == inputVolume && other.Target == v.Target }) {
			continue // a task that changes its input, and gives that
		}
		if err := add(w.prepareOutput(spec.Handle, v)); err != nil {
			return nil, fmt.Errorf("make output %q: %w", output.Path, err)
		}
	}
	for i, cache := range spec.Caches {
		v := w.newVolume(spec, cacheVolume, cache.Path, i)
		v.Key = cache.Key
		if err := add(w.prepareCache(dir, v)); err != nil {
			return nil, fmt.Errorf("mount cache %q: %w", cache.Path, err)
		}
	}
	for i, v := range all {
		if slices.ContainsFunc(all[:i], func(other volume) bool { return other.Target == v.Target }) {
			return nil, &runtime.SpecError{Message: fmt.Sprintf("two volumes are to be mounted at %s", v.Target)}
		}
	}
	return all, nil
}

func (w *Worker) newVolume(spec runtime.ContainerSpec, kind volumeKind, path string, index int) volume {
	target := filepath.Clean(path)
	if !filepath.IsAbs(target) {
		target = filepath.Join(spec.Dir, target)
	}
	return volume{
		Handle: fmt.Sprintf("%s-%s-%d", spec.Handle, kind, index),
		Path:   path,
		Target: target,
		Kind:   kind,
	}
}

// prepareInput mounts an artifact that lies on this machine, and copies any other.
func (w *Worker) prepareInput(ctx context.Context, handle, dir string, v volume, artifact runtime.Artifact) (_ volume, err error) {
	v.Parent = artifact.Handle()
	local, ok := artifact.(runtime.Local)
	if ok {
		lower, release, err := local.LocalPath(ctx)
		if err != nil {
			return v, err
		}
		w.hold(handle, release)
		return prepareLayers(dir, v, lower)
	}
	if v, err = prepareLayers(dir, v, ""); err != nil {
		return v, err
	}
	ctx, span := trace.StartSpan(ctx, "runtime.input_stream")
	defer func() { span.End(err) }()
	return v, copyArtifact(ctx, artifact, v.Dir)
}

func (w *Worker) prepareOutput(handle string, v volume) (volume, error) {
	made, err := w.createVolume(volumeRecord{Handle: v.Handle, Container: handle, Path: v.Target})
	if err != nil {
		return v, err
	}
	v.Dir = made.data()
	return v, nil
}

func (w *Worker) prepareCache(dir string, v volume) (volume, error) {
	lower, err := w.caches.current(v.Key)
	if err != nil {
		return v, err
	}
	return prepareLayers(dir, v, lower)
}

// prepareLayers makes the directories of a volume in its container's, to be
// mounted over lower unless that is "".
func prepareLayers(dir string, v volume, lower string) (volume, error) {
	top := filepath.Join(dir, strings.TrimPrefix(v.Handle, filepath.Base(dir)+"-"))
	v.Dir = filepath.Join(top, "data")
	dirs := []string{top, v.Dir}
	if lower != "" {
		v.Lower, v.Merged = lower, filepath.Join(top, "merged")
		dirs = append(dirs, v.Merged, filepath.Join(top, "work"))
	}
	for _, d := range dirs {
		if err := os.Mkdir(d, 0o755); err != nil {
			return v, err
		}
	}
	return v, nil
}
