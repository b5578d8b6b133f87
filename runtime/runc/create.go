package runc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"midge/agent"
	"midge/runtime"
	"midge/runtime/runc/image"
	"midge/runtime/runc/network"
	"midge/trace"
)

// FindOrCreateContainer implements runtime.Worker.
func (w *Worker) FindOrCreateContainer(ctx context.Context, spec runtime.ContainerSpec) (_ runtime.Container, err error) {
	ctx, span := trace.StartSpan(ctx, "create container")
	defer func() { span.End(err) }()
	if err := w.checkSpec(spec); err != nil {
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
func (w *Worker) checkSpec(spec runtime.ContainerSpec) error {
	if !agent.ValidID(spec.Handle) {
		return &runtime.SpecError{Message: fmt.Sprintf("%q is no handle of a container: it is 1 to 64 of a-z, 0-9 and '-'", spec.Handle)}
	}
	if !filepath.IsAbs(spec.Dir) {
		return &runtime.SpecError{Message: fmt.Sprintf("the working directory %q is no absolute path", spec.Dir)}
	}
	if w.ordinary {
		return w.checkOrdinary(spec)
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
	for _, d := range []string{dir, filepath.Join(dir, "processes")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	if err := w.keepScope(ctx); err != nil {
		return err
	}
	namespace, err := w.takeNetwork(ctx, spec)
	if err != nil {
		return err
	}
	stage, err := w.newStage(spec, dir, namespace)
	if err != nil {
		return errors.Join(err, releaseNetwork(ctx, namespace))
	}
	r, err := w.prepare(ctx, spec, stage)
	if err != nil {
		return errors.Join(err, releaseNetwork(ctx, namespace))
	}
	if err := w.launch(ctx, dir, spec.Privileged, namespace); err != nil {
		return errors.Join(w.container(spec.Handle).explain(err), releaseNetwork(ctx, namespace))
	}
	if namespace != nil {
		r.Network = namespace.ID
	}
	if r.Made, err = w.madeFiles(r); err != nil {
		return errors.Join(fmt.Errorf("look at what the container was given: %w", err), releaseNetwork(ctx, namespace))
	}
	if err := w.writeRecord(r); err != nil {
		return errors.Join(err, releaseNetwork(ctx, namespace))
	}
	if namespace == nil {
		return nil
	}
	// Not before the record names it: one that nobody names is collected.
	return namespace.Leave()
}

// prepare makes all that the container's supervisor needs.
func (w *Worker) prepare(ctx context.Context, spec runtime.ContainerSpec, s *stage) (containerRecord, error) {
	r := containerRecord{Handle: spec.Handle, Privileged: spec.Privileged}
	var err error
	if s.project, err = w.projectFor(spec); err != nil {
		return r, err
	}
	root, err := w.prepareRootfs(ctx, spec, s)
	if err != nil {
		return r, err
	}
	if root.image != nil {
		r.Image = root.image.Digest
	}
	r.HostImage = root.hostImage
	if r.Volumes, err = w.prepareVolumes(ctx, spec, s); err != nil {
		return r, err
	}
	if err := agent.WriteConfig(s.dir, w.agentConfig(spec, s, root.image, r.Volumes)); err != nil {
		return r, err
	}
	return r, w.writeRuntimeConfig(spec, s, root.compat, r.Volumes)
}

// launch brings up the container in dir, in a network namespace if it is given one.
func (w *Worker) launch(ctx context.Context, dir string, privileged bool, namespace *network.Namespace) (err error) {
	ctx, span := trace.StartSpan(ctx, "launch container")
	defer func() { span.End(err) }()
	var namespaces agent.Namespaces
	if !privileged {
		namespaces.Users = w.users.file
	}
	if namespace != nil {
		namespaces.Network = namespace.File
	}
	return agent.Launch(ctx, w.options.Agent, dir, namespaces)
}

func (w *Worker) agentConfig(spec runtime.ContainerSpec, s *stage, from *image.Image, volumes []volume) agent.Config {
	config := agent.Config{
		ID:         spec.Handle,
		Runtime:    w.runtime,
		Cgroup:     s.cgroup,
		Stage:      s.place,
		Mounts:     s.mounts,
		Rootfs:     s.rootfs(),
		WorkingDir: spec.Dir,
		Env:        spec.Env,
		User:       spec.User,
		Own:        []string{spec.Dir},
		Privileged: spec.Privileged,
		Written:    s.written,
		DiskLimit:  w.diskLimit(spec),

		DiskProject: s.project,
	}
	if from != nil {
		config.Env = slices.Concat(from.Config.Env, spec.Env)
		config.User = cmp.Or(spec.User, from.Config.User)
		config.Entrypoint, config.Arguments = from.Config.Entrypoint, from.Config.Cmd
	}
	if s.mapped {
		config.RootUID, config.RootGID = int(w.users.uids.start), int(w.users.gids.start)
	}
	for _, v := range volumes {
		config.MountPoints = append(config.MountPoints, agent.MountPoint{Target: v.Target, Source: v.Mounted})
		if v.Kind != inputVolume {
			config.Own = append(config.Own, v.Target)
		}
	}
	return config
}

// prepareVolumes makes the directories of inputs, outputs and caches, and puts them
// on the stage.
func (w *Worker) prepareVolumes(ctx context.Context, spec runtime.ContainerSpec, s *stage) (all []volume, err error) {
	if len(spec.Inputs)+len(spec.Outputs)+len(spec.Caches) > 0 {
		var span trace.Span
		ctx, span = trace.StartSpan(ctx, "create volumes")
		defer func() { span.End(err) }()
	}
	add := func(v volume, err error) error {
		if err == nil {
			all = append(all, v)
		}
		return err
	}
	for i, input := range spec.Inputs {
		v := w.newVolume(spec, s, inputVolume, input.Path, i)
		if err := add(w.prepareInput(ctx, spec.Handle, s, v, input.Artifact)); err != nil {
			return nil, fmt.Errorf("mount input %q: %w", input.Path, err)
		}
	}
	for i, output := range spec.Outputs {
		v := w.newVolume(spec, s, outputVolume, output.Path, i)
		if slices.ContainsFunc(all, func(other volume) bool { return other.Kind == inputVolume && other.Target == v.Target }) {
			continue // a task that changes its input, and gives that
		}
		if err := add(w.prepareOutput(spec.Handle, s, v)); err != nil {
			return nil, fmt.Errorf("make output %q: %w", output.Path, err)
		}
	}
	for i, cache := range spec.Caches {
		v := w.newVolume(spec, s, cacheVolume, cache.Path, i)
		v.Key = cache.Key
		if err := add(w.prepareCache(ctx, spec.Handle, s, v)); err != nil {
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

func (w *Worker) newVolume(spec runtime.ContainerSpec, s *stage, kind volumeKind, path string, index int) volume {
	target := filepath.Clean(path)
	if !filepath.IsAbs(target) {
		target = filepath.Join(spec.Dir, target)
	}
	name := fmt.Sprintf("%s-%d", kind, index)
	return volume{
		Handle:  spec.Handle + "-" + name,
		Path:    path,
		Target:  target,
		Kind:    kind,
		Mounted: s.path("volumes", name),
		Mapped:  s.mapped,
	}
}

// prepareInput mounts an artifact that lies on this machine, and copies any other.
func (w *Worker) prepareInput(ctx context.Context, handle string, s *stage, v volume, artifact runtime.Artifact) (_ volume, err error) {
	v.Parent = artifact.Handle()
	local, ok := artifact.(runtime.Local)
	if ok {
		lower, release, err := local.LocalPath(ctx)
		if err != nil {
			return v, err
		}
		w.hold(handle, release)
		if own, ok := artifact.(*ownVolume); ok && own.worker != w {
			if err := own.worker.noteUser(own.record.Handle, s.dir); err != nil {
				return v, err
			}
		}
		return prepareLayers(ctx, s, v, lower)
	}
	lower := filepath.Join(s.dir, filepath.Base(v.Mounted)+"-lower")
	if err := copyInput(ctx, artifact, lower); err != nil {
		return v, err
	}
	return prepareLayers(ctx, s, v, lower)
}

// copyInput copies an artifact into a directory that it makes.
func copyInput(ctx context.Context, artifact runtime.Artifact, dir string) (err error) {
	ctx, span := trace.StartSpan(ctx, "stream input")
	defer func() { span.End(err) }()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return copyArtifact(ctx, artifact, dir)
}

func (w *Worker) prepareOutput(handle string, s *stage, v volume) (volume, error) {
	made, err := w.createVolume(volumeRecord{Handle: v.Handle, Container: handle, Path: v.Target})
	if err != nil {
		return v, err
	}
	v.Dir = made.data()
	return v, s.bind(v.Mounted, v.Dir)
}

func (w *Worker) prepareCache(ctx context.Context, handle string, s *stage, v volume) (volume, error) {
	lower, release, err := w.caches.current(v.Key)
	if err != nil {
		return v, err
	}
	w.hold(handle, release)
	return prepareLayers(ctx, s, v, lower)
}

// prepareLayers makes the directories of a volume in its container's, to be
// mounted over lower unless that is "".
func prepareLayers(ctx context.Context, s *stage, v volume, lower string) (volume, error) {
	name := filepath.Base(v.Mounted)
	if lower == "" {
		v.Dir = filepath.Join(s.dir, name)
		if err := os.Mkdir(v.Dir, 0o755); err != nil {
			return v, err
		}
		return v, s.bind(v.Mounted, v.Dir)
	}
	v.Lower = lower
	// What a container has left in a cache has its owners already.
	if v.Kind == inputVolume || !s.copies() {
		var err error
		if lower, err = s.layer(ctx, lower); err != nil {
			return v, err
		}
	}
	upper, err := s.throwAway(v.Mounted, name, []string{lower})
	if err != nil {
		return v, err
	}
	v.Dir = upper
	return v, s.likeBelow(v.Lower, upper)
}
