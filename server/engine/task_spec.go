package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"midge/api"
	"midge/runtime"
	"midge/trace"
)

// terminal is the size of the terminal of tasks that get one.
var terminal = runtime.WindowSize{Columns: 80, Rows: 24}

// effectiveConfig is a task's config with what its plan overrides.
func effectiveConfig(plan *api.TaskPlan) api.TaskConfig {
	config := *plan.Config
	if plan.Limits != nil {
		limits := api.ContainerLimits{}
		if config.Limits != nil {
			limits = *config.Limits
		}
		if plan.Limits.CPU != nil {
			limits.CPU = plan.Limits.CPU
		}
		if plan.Limits.Memory != nil {
			limits.Memory = plan.Limits.Memory
		}
		if plan.Limits.Disk != nil {
			limits.Disk = plan.Limits.Disk
		}
		config.Limits = &limits
	}
	if len(plan.Params) > 0 {
		params := maps.Clone(config.Params)
		if params == nil {
			params = make(map[string]string)
		}
		maps.Copy(params, plan.Params)
		config.Params = params
	}
	return config
}

// containerSpec says what the task's container is to be.
func (t *task) containerSpec(ctx context.Context) (runtime.ContainerSpec, error) {
	if t.plan.Task.Privileged && !t.engine.options.AllowPrivileged {
		return runtime.ContainerSpec{}, errors.New("this server runs no privileged tasks: it was not started with --allow-privileged")
	}
	if err := t.checkLimits(); err != nil {
		return runtime.ContainerSpec{}, err
	}
	image, err := t.image()
	if err != nil {
		return runtime.ContainerSpec{}, err
	}
	inputs, err := t.inputs()
	if err != nil {
		return runtime.ContainerSpec{}, err
	}
	return runtime.ContainerSpec{
		Handle:     t.handle,
		Platform:   t.config.Platform,
		Tags:       t.plan.Task.Tags,
		Dir:        t.dir,
		Image:      image,
		Env:        t.environment(ctx),
		User:       t.config.Run.User,
		Privileged: t.plan.Task.Privileged,
		Hermetic:   t.plan.Task.Hermetic,
		Limits:     t.limits(),
		Inputs:     inputs,
		Outputs:    t.outputs(inputs),
		Caches:     t.caches(),
	}, nil
}

func (t *task) processSpec() runtime.ProcessSpec {
	spec := runtime.ProcessSpec{
		ID:         runtime.TaskProcessID,
		Path:       t.config.Run.Path,
		Args:       t.config.Run.Args,
		Dir:        t.config.Run.Dir,
		Privileged: t.plan.Task.Privileged,
	}
	if t.hasTerminal() {
		spec.TTY = &terminal
		if _, given := t.config.Params["TERM"]; !given {
			spec.Env = []string{"TERM=xterm"}
		}
	}
	return spec
}

// hasTerminal reports whether the task gets a terminal: fly's plans, which do not
// say, want one.
func (t *task) hasTerminal() bool { return t.plan.Task.TTY == nil || *t.plan.Task.TTY }

// environment is the one that is documented, and the task's params over it. HOME,
// USER and PATH come from the worker, which knows the image.
func (t *task) environment(ctx context.Context) []string {
	env := []string{
		"BUILD_ID=" + t.record.Name,
		"BUILD_NAME=" + t.record.Name,
		"BUILD_TEAM_NAME=" + t.record.TeamName,
		"ATC_EXTERNAL_URL=" + t.engine.options.ExternalURL,
	}
	env = append(env, trace.Environment(ctx)...)
	for _, name := range slices.Sorted(maps.Keys(t.config.Params)) {
		env = append(env, name+"="+t.config.Params[name])
	}
	return env
}

func (t *task) image() (runtime.ImageSpec, error) {
	name := t.plan.Task.ImageArtifactName
	switch resource := t.config.ImageResource; {
	case name != "":
		artifact, ok := t.artifacts.find(name)
		if !ok {
			return runtime.ImageSpec{}, fmt.Errorf("the image %q is no artifact of the build; there is %s", name, list(t.artifacts.names()))
		}
		return runtime.ImageSpec{Artifact: artifact}, nil
	case resource != nil:
		return runtime.ImageSpec{Registry: &runtime.RegistryImage{
			Type: resource.Type, Source: resource.Source, Version: resource.Version,
		}}, nil
	case t.config.RootfsURI != "":
		return runtime.ImageSpec{RootfsURI: t.config.RootfsURI}, nil
	}
	return runtime.ImageSpec{Host: true}, nil
}

func (t *task) inputs() ([]runtime.Input, error) {
	var inputs []runtime.Input
	var missing []string
	for _, input := range t.config.Inputs {
		name := input.Name
		if mapped, ok := t.plan.Task.InputMapping[name]; ok {
			name = mapped
		}
		artifact, ok := t.artifacts.find(name)
		switch {
		case ok:
			inputs = append(inputs, runtime.Input{Artifact: artifact, Path: inputPath(input)})
		case !input.Optional:
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("missing inputs: %s: no step of the build provides them, so pass them with -i NAME=DIR", strings.Join(missing, ", "))
	}
	return inputs, nil
}

// outputs leaves out those whose path is an input's: what becomes of the input there is the output.
func (t *task) outputs(inputs []runtime.Input) []runtime.Output {
	var outputs []runtime.Output
	for _, output := range t.config.Outputs {
		p := outputPath(output)
		isInput := func(input runtime.Input) bool { return t.inside(input.Path) == t.inside(p) }
		if !slices.ContainsFunc(inputs, isInput) {
			outputs = append(outputs, runtime.Output{Path: p})
		}
	}
	return outputs
}

// inside gives the absolute path inside the container.
func (t *task) inside(p string) string {
	if path.IsAbs(p) {
		return p
	}
	return path.Join(t.dir, p)
}

func (t *task) caches() []runtime.Cache {
	var caches []runtime.Cache
	for _, cache := range t.config.Caches {
		p := path.Clean(cache.Path)
		caches = append(caches, runtime.Cache{Key: t.cachePrefix() + url.PathEscape(p) + "/", Path: p})
	}
	return caches
}

// cachePrefix tells tasks of the same name apart, which all one-off ones have, by
// what stays the same while one works on a task: not its args and params.
func (t *task) cachePrefix() string {
	identity := []any{t.config.Platform, t.config.RootfsURI, t.config.Run.Path, t.config.Run.Dir}
	if image := t.config.ImageResource; image != nil {
		identity = append(identity, image.Type, image.Source["repository"], image.Source["tag"])
	}
	for _, input := range t.config.Inputs {
		identity = append(identity, input.Name)
	}
	return CachePrefix(t.record.TeamName, t.plan.Task.Name) + digest(16, identity...) + "/"
}

// CachePrefix is what the keys of a task's caches begin with, whatever its config.
func CachePrefix(team, task string) string {
	return url.PathEscape(team) + "/" + url.PathEscape(task) + "/"
}

// ParseCacheKey says whose cache a key is of, and where the task has it.
func ParseCacheKey(key string) (team, task, path string, ok bool) {
	fields := strings.Split(key, "/")
	if len(fields) != 5 || fields[4] != "" {
		return "", "", "", false
	}
	var errs [3]error
	team, errs[0] = url.PathUnescape(fields[0])
	task, errs[1] = url.PathUnescape(fields[1])
	path, errs[2] = url.PathUnescape(fields[3])
	return team, task, path, errs == [3]error{}
}

// limits are the task's, or where it has none the server's.
func (t *task) limits() runtime.Limits {
	limits := t.engine.options.DefaultLimits
	if asked := t.config.Limits; asked != nil {
		if asked.CPU != nil {
			limits.CPUShares = *asked.CPU
		}
		if asked.Memory != nil {
			limits.Memory = *asked.Memory
		}
		if asked.Disk != nil {
			limits.Disk = *asked.Disk
		}
	}
	if limits.Memory == 0 {
		limits.Memory = t.engine.options.MaxLimits.Memory
	}
	if limits.Disk == 0 {
		limits.Disk = t.engine.options.MaxLimits.Disk
	}
	return limits
}

func (t *task) checkLimits() error {
	limits, highest := t.limits(), t.engine.options.MaxLimits
	if highest.Memory > 0 && limits.Memory > highest.Memory {
		return fmt.Errorf("the task asks for %s of memory, and this server gives a task %s at most", formatBytes(limits.Memory), formatBytes(highest.Memory))
	}
	if highest.Disk > 0 && limits.Disk > highest.Disk {
		return fmt.Errorf("the task asks for %s of disk space, and this server gives a task %s at most", formatBytes(limits.Disk), formatBytes(highest.Disk))
	}
	if highest.CPUShares > 0 && limits.CPUShares > highest.CPUShares {
		return fmt.Errorf("the task asks for %d CPU shares, and this server gives a task %d at most", limits.CPUShares, highest.CPUShares)
	}
	return nil
}

// formatBytes writes an amount of memory in the largest unit that divides it.
func formatBytes(n uint64) string {
	for _, unit := range []struct {
		name string
		size uint64
	}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// eventConfig is the part of a config that events repeat.
func eventConfig(config api.TaskConfig) api.EventTaskConfig {
	event := api.EventTaskConfig{
		Platform: config.Platform,
		Image:    config.RootfsURI,
		Run:      api.EventTaskRun{Path: config.Run.Path, Args: config.Run.Args, Dir: config.Run.Dir},
	}
	for _, input := range config.Inputs {
		event.Inputs = append(event.Inputs, api.EventInput{Name: input.Name, Path: input.Path})
	}
	return event
}
