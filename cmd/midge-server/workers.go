package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"midge/runtime"
	"midge/runtime/kubernetes"
	"midge/runtime/runc"
	"midge/runtime/runc/network"
	"midge/runtime/runc/rootless"
)

// workersField is the field of the file that has workers, when there are several.
const workersField = "workers"

// workerSettings is what can be set of a worker.
type workerSettings struct {
	name           string
	platform       string
	tags           []string
	team           string
	maxActiveTasks int
	runtime        string

	runc            runc.Options
	networkFallback string
	kubernetes      kubernetesSettings
}

// runtimeRunc is the runtime of workers that name none.
const runtimeRunc = "runc"

// addTo adds a flag for each field of a worker in the file but its sections, with
// what is set as its default.
func (w *workerSettings) addTo(flags *pflag.FlagSet) {
	flags.StringVar(&w.name, "name", "", "")
	flags.StringVar(&w.platform, "platform", w.platform, "")
	flags.StringArrayVar(&w.tags, "tags", nil, "")
	flags.StringVar(&w.team, "team", "", "")
	flags.IntVar(&w.maxActiveTasks, "max-active-tasks", w.maxActiveTasks, "")
	flags.Var(newChoice(&w.runtime, w.runtimes()...), "runtime", "")
}

// runtimes lists the runtimes, the one that is set first.
func (w *workerSettings) runtimes() []string {
	all := slices.Sorted(maps.Keys(w.sections()))
	return append([]string{w.runtime}, slices.DeleteFunc(all, func(name string) bool { return name == w.runtime })...)
}

// sections gives what adds the flags of the settings of each runtime, which are a
// section of the runtime's name in the file.
func (w *workerSettings) sections() map[string]func(*pflag.FlagSet) {
	return map[string]func(*pflag.FlagSet){
		runtimeRunc: func(flags *pflag.FlagSet) {
			flags.StringVar(&w.runc.StateDir, "state-dir", "", "")
			addRunc(flags, &w.runc)
			w.addNetwork(flags)
		},
		runtimeKubernetes: func(flags *pflag.FlagSet) {
			flags.StringVar(&w.kubernetes.StateDir, "state-dir", "", "")
			addKubernetes(flags, &w.kubernetes)
		},
	}
}

// addRunc adds the settings of workers that run containers on this machine, with
// what is set as their defaults.
func addRunc(flags *pflag.FlagSet, options *runc.Options) {
	flags.StringVar(&options.Runtime, "runtime-path", options.Runtime, "`program` that runs containers: runc or crun (default what is found on PATH)")
	flags.StringVar(&options.Agent, "agent-path", options.Agent, "`program` that supervises containers (default midge-agent beside midge-server)")
	flags.StringVar(&options.Toolbox, "toolbox-path", options.Toolbox, "`program` busybox, linked statically, for sessions in images without a shell; empty for none")
	flags.BoolVar(&options.HostImage, "host-image", options.HostImage, "give a task that names no image this machine's programs, read-only")
	flags.StringArrayVar(&options.AllowRootfs, "allow-rootfs", options.AllowRootfs, "`directory` below which a rootfs_uri may be; may be repeated")
}

// addNetwork adds the settings of the network of containers on this machine.
func (w *workerSettings) addNetwork(flags *pflag.FlagSet) {
	flags.Var(newChoice((*string)(&w.runc.Network), networks()...), "network",
		"network of containers: bridge gives each its own, behind this machine's, host shares this machine's, none has loopback alone")
	flags.Var(newChoice(&w.networkFallback, fallbackNone, string(runc.NetworkHost), string(runc.NetworkNone)), "network-fallback",
		"network of containers where this machine cannot have the bridge: host or none; refuse does not start the server")
	if !w.runc.Bridge.Subnet.IsValid() {
		w.runc.Bridge = network.Defaults
	}
	flags.TextVar(&w.runc.Bridge.Subnet, "bridge-subnet", w.runc.Bridge.Subnet, "`subnet` of the addresses of containers on bridges, of which a worker takes a sixteenth")
}

// fallbackNone has a server that cannot have the bridge not start.
const fallbackNone = "refuse"

// readWorkers reads the workers of the file. What one does not set is as the
// settings of the server have it.
func (s *settings) readWorkers(value any) error {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return errors.New("it should be a list of workers, each with a name")
	}
	for i, entry := range list {
		w := s.worker
		w.name, w.tags = "", nil
		if err := w.read(entry); err != nil {
			return fmt.Errorf("the worker %s: %w", workerTitle(w.name, i), err)
		}
		if slices.ContainsFunc(s.workers, func(other workerSettings) bool { return other.name == w.name }) {
			return fmt.Errorf("two workers are called %s", w.name)
		}
		s.workers = append(s.workers, w)
	}
	return nil
}

// workerTitle is how errors call the worker at an index of the list.
func workerTitle(name string, index int) string {
	if name != "" {
		return name
	}
	return fmt.Sprintf("%d of the list", index+1)
}

// workerName is what a worker may be called: the name is part of a path and of a URL.
var workerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (w *workerSettings) read(entry any) error {
	fields, ok := entry.(map[string]any)
	if !ok {
		return errors.New("it should have fields, name among them")
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	w.addTo(flags)
	sections := w.sections()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if sections[name] != nil {
			continue
		}
		if err := readKnown(flags, name, fields[name], slices.Sorted(maps.Keys(sections))...); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		if err := readSection(sections[name], name, fields[name]); err != nil {
			return err
		}
		if _, given := fields[name]; given && name != w.runtime {
			return fmt.Errorf("its runtime is %s, and the section %s is of another", w.runtime, name)
		}
	}
	return w.check()
}

func (w *workerSettings) check() error {
	switch {
	case w.name == "":
		return errors.New("it has no name")
	case !workerName.MatchString(w.name):
		return fmt.Errorf("%q is no name of a worker: it is up to 64 letters, digits, '.', '_' and '-', a letter or digit first", w.name)
	case w.platform != "linux":
		return fmt.Errorf("its runtime %s runs the platform linux, and not %q", w.runtime, w.platform)
	case w.maxActiveTasks < 0:
		return errors.New("max-active-tasks is below 0")
	}
	return nil
}

// readSection reads the settings of a runtime; those of one that is not there are nil.
func readSection(add func(*pflag.FlagSet), section string, value any) error {
	if value == nil {
		return nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("the section %s should have fields", section)
	}
	flags := pflag.NewFlagSet(section, pflag.ContinueOnError)
	add(flags)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if err := readKnown(flags, name, fields[name]); err != nil {
			return fmt.Errorf("the section %s: %w", section, err)
		}
	}
	return nil
}

// readKnown reads a field whose name a flag has. Also says what else there is besides flags.
func readKnown(flags *pflag.FlagSet, name string, value any, also ...string) error {
	if flags.Lookup(name) == nil {
		return fmt.Errorf("there is no field %q%s", name, nearest(flags, name, also...))
	}
	if err := readField(flags, name, value); err != nil {
		return fmt.Errorf("the field %s: %w", name, err)
	}
	return nil
}

// openWorkers gives the workers, whose state directories are below dir unless they
// are told another. Those that are clusters let pods in by the gate.
func (s *settings) openWorkers(ctx context.Context, dir string, gate *kubernetes.Gate, log *slog.Logger) ([]runtime.Worker, func(), error) {
	all, err := s.placeWorkers(dir)
	if err != nil {
		return nil, nil, err
	}
	var opened []runtime.Worker
	var closers []func()
	closeAll := func() {
		for _, close := range slices.Backward(closers) {
			close()
		}
	}
	for _, w := range all {
		worker, close, err := w.open(ctx, gate, log)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("open the worker %s: %w", w.name, err)
		}
		opened, closers = append(opened, worker), append(closers, close)
	}
	return opened, closeAll, nil
}

// placeWorkers gives each worker its state directory: the one that needs no name in
// the file dir itself, and others what they are told, or a directory of their name.
// None sees any of them, or what is beside dir in the data dir.
func (s *settings) placeWorkers(dir string) ([]workerSettings, error) {
	if len(s.workers) == 0 {
		only := s.worker
		*only.stateDir() = dir
		only.runc.Hide = []string{filepath.Dir(dir)}
		return []workerSettings{only}, nil
	}
	all := slices.Clone(s.workers)
	hide := []string{filepath.Dir(dir)}
	for i := range all {
		state := all[i].stateDir()
		if *state == "" {
			*state = filepath.Join(dir, all[i].name)
		}
		for _, other := range all[:i] {
			if within(*state, *other.stateDir()) || within(*other.stateDir(), *state) {
				return nil, fmt.Errorf("the workers %s and %s have state directories in each other, %s and %s: set state-dir of one of them",
					other.name, all[i].name, *other.stateDir(), *state)
			}
		}
		hide = append(hide, *state)
	}
	for i := range all {
		all[i].runc.Hide = hide
	}
	return all, nil
}

// hasContainersHere tells whether a worker runs containers on this machine.
func (s *settings) hasContainersHere() bool {
	isHere := func(w workerSettings) bool { return w.runtime == runtimeRunc }
	if len(s.workers) == 0 {
		return isHere(s.worker)
	}
	return slices.ContainsFunc(s.workers, isHere)
}

// stateDir is where the worker keeps what it has, as its runtime is told.
func (w *workerSettings) stateDir() *string {
	if w.runtime == runtimeKubernetes {
		return &w.kubernetes.StateDir
	}
	return &w.runc.StateDir
}

// within tells whether a path is a directory or below it.
func within(path, dir string) bool {
	relative, err := filepath.Rel(filepath.Clean(dir), filepath.Clean(path))
	return err == nil && relative != ".." && !strings.HasPrefix(relative, "../")
}

func (w *workerSettings) open(ctx context.Context, gate *kubernetes.Gate, log *slog.Logger) (runtime.Worker, func(), error) {
	if w.runtime == runtimeKubernetes {
		return w.openCluster(ctx, gate, log)
	}
	options := w.runc
	options.Name, options.Tags, options.Team, options.MaxActiveTasks = w.name, w.tags, w.team, w.maxActiveTasks
	if options.Agent == "" {
		options.Agent = agentPath()
	}
	worker, err := runc.New(ctx, options)
	if impossible := (*runc.BridgeError)(nil); errors.As(err, &impossible) && w.networkFallback != fallbackNone {
		log.WarnContext(ctx, "containers do not have the bridge network", "worker", w.name, "instead", w.networkFallback, "error", impossible.Err)
		options.Network = runc.Network(w.networkFallback)
		worker, err = runc.New(ctx, options)
	}
	if err != nil {
		return nil, nil, err
	}
	return worker, worker.Close, nil
}

// networks are the words for --network, the default first: an ordinary user cannot have
// a bridge.
func networks() []string {
	words := []string{string(runc.NetworkBridge), string(runc.NetworkHost), string(runc.NetworkNone)}
	if rootless.Ordinary() {
		return append(words[1:], words[0])
	}
	return words
}
