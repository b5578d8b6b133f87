//go:build linux

package usage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"midge/api"
)

// Cgroup reads what a control group uses. It keeps the group's files open, so a
// sample costs a read of each and no walk of paths.
//
// Sample is for one goroutine at a time. A group that is removed makes it fail: the
// last sample is to be taken before.
type Cgroup struct {
	location  Location
	sources   []openSource
	processIO *processIO // nil unless the disk's controller is v1
	missing   map[string]string
	// missingNow is what the last sample lacked beyond that.
	missingNow map[string]string
}

// source is a file of the kernel's and what it gives.
type source struct {
	file   string // its name in the group's directory
	field  string // the part of a sample it gives, as ResourceUsage.Missing names it
	absent string // why a kernel or a set-up may lack it
	// atEnd tells that only what it says at the end matters: the most that was
	// reached, how often a bound was.
	atEnd bool
	parse func(data []byte, sample *api.Sample) error
}

type openSource struct {
	source
	file *file
}

// Open opens the files of a control group. It fails when there is none at all in location.
func Open(location Location) (*Cgroup, error) {
	c := &Cgroup{location: location, missing: map[string]string{}}
	err := errors.Join(
		c.openHierarchies(),
		c.openNetwork(),
	)
	if err == nil && len(c.sources) == 0 {
		err = errors.New("no control group of it can be read")
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cgroup) openHierarchies() error {
	l := c.location
	return errors.Join(
		c.openController(l.CPU, unifiedCPU, v1CPU),
		c.openCPUAccounting(),
		c.openController(l.Memory, unifiedMemory, v1Memory),
		c.openController(l.BlockIO, unifiedIO, v1IO),
		c.openProcessIO(),
		c.openController(l.PIDs, pidsSources, pidsSources),
		c.openPressure(),
	)
}

// openController opens a controller where it is: in a v1 hierarchy or the unified one.
func (c *Cgroup) openController(v1 string, unified, old []source) error {
	if v1 != "" {
		return c.openAll(v1, old)
	}
	return c.openUnified(unified, "it has no control group of its own for this")
}

// openCPUAccounting opens v1's times; the unified hierarchy's are in its cpu.stat.
func (c *Cgroup) openCPUAccounting() error {
	switch {
	case c.location.CPUAccounting != "":
		return c.openAll(c.location.CPUAccounting, v1CPUAccounting)
	case c.location.CPU != "":
		c.missing["cpuStat.usageNanos"] = "the cpuacct controller is not mounted"
	}
	return nil
}

// openAll opens the files of a controller in a group's directory.
func (c *Cgroup) openAll(directory string, sources []source) error {
	for i, source := range sources {
		if err := c.open(filepath.Join(directory, source.file), source); err != nil {
			return err
		}
		// Without the first file there is no controller, and one reason is enough.
		if _, none := c.missing[source.field]; none && i == 0 {
			return nil
		}
	}
	return nil
}

func (c *Cgroup) openUnified(sources []source, absent string) error {
	if c.location.Unified != "" {
		return c.openAll(c.location.Unified, sources)
	}
	c.missing[sources[0].field] = absent
	return nil
}

func (c *Cgroup) openPressure() error {
	for _, source := range pressureSources {
		if c.location.Unified == "" {
			c.missing[source.field] = "cgroup v1 keeps none"
			continue
		}
		if err := c.open(filepath.Join(c.location.Unified, source.file), source); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cgroup) openProcessIO() error {
	if c.location.BlockIO == "" {
		return nil
	}
	processes, err := openFile(filepath.Join(c.location.BlockIO, "cgroup.procs"))
	if err != nil {
		return err
	}
	c.processIO = &processIO{processes: processes, proc: c.location.Proc}
	return nil
}

func (c *Cgroup) openNetwork() error {
	source := source{field: "netStat", parse: parseNetDev, absent: "the process has ended"}
	if c.location.NetDev == "" {
		c.missing[source.field] = c.location.NoNetwork
		return nil
	}
	return c.open(c.location.NetDev, source)
}

// open opens a source, or notes why it is not there.
func (c *Cgroup) open(path string, source source) error {
	file, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c.missing[source.field] = source.absent
		return nil
	}
	if err != nil {
		return err
	}
	c.sources = append(c.sources, openSource{source, file})
	return nil
}

// Sample takes a sample. Of a group that was removed it gives an error.
func (c *Cgroup) Sample(ctx context.Context) (api.Sample, error) { return c.take(ctx, false) }

// Brief takes a sample that lacks what matters at the end alone, and costs half of one
// that has it.
func (c *Cgroup) Brief(ctx context.Context) (api.Sample, error) { return c.take(ctx, true) }

func (c *Cgroup) take(ctx context.Context, brief bool) (api.Sample, error) {
	if err := ctx.Err(); err != nil {
		return api.Sample{}, err
	}
	sample := api.Sample{Timestamp: time.Now()}
	missing := map[string]string{}
	for _, source := range c.sources {
		if brief && source.atEnd {
			continue
		}
		data, err := source.file.read()
		if errors.Is(err, syscall.EOPNOTSUPP) {
			missing[source.field] = "the kernel has it switched off"
			continue
		}
		if err != nil {
			return api.Sample{}, fmt.Errorf("read %s: %w", source.file.Name(), err)
		}
		if err := source.parse(data, &sample); err != nil {
			return api.Sample{}, fmt.Errorf("parse %s: %w", source.file.Name(), err)
		}
	}
	if err := c.completeV1(&sample, missing, brief); err != nil {
		return api.Sample{}, err
	}
	c.missingNow = missing
	return sample, nil
}

// completeV1 adds what v1's own files leave out.
func (c *Cgroup) completeV1(sample *api.Sample, missing map[string]string, brief bool) error {
	if c.location.Memory != "" && !brief {
		if err := addNestedKills(c.location.Memory, sample); err != nil {
			return fmt.Errorf("count oom kills below %s: %w", c.location.Memory, err)
		}
	}
	if c.processIO == nil {
		return nil
	}
	switch err := c.processIO.sample(sample); {
	case errors.Is(err, fs.ErrPermission):
		missing["ioStat"] = "its processes' counters may not be read"
	case err != nil:
		return fmt.Errorf("sum up the disk use of processes: %w", err)
	case ioOf(sample).ReadIOs == nil:
		missing["ioStat.readIOs"] = noV1Operations
	}
	return nil
}

// Missing says why a part of the last sample is absent, by its path in a sample.
func (c *Cgroup) Missing() map[string]string {
	missing := maps.Clone(c.missing)
	maps.Copy(missing, c.missingNow)
	return missing
}

// Limits reads the group's bounds.
func (c *Cgroup) Limits() (api.UsageLimits, error) {
	var limits api.UsageLimits
	err := errors.Join(
		c.cpuLimit(&limits),
		readLimit(&limits.MemoryBytes, c.location.Memory, "memory.limit_in_bytes", c.location.Unified, "memory.max"),
		readLimit(&limits.SwapBytes, "", "", c.location.Unified, "memory.swap.max"),
		readLimit(&limits.PIDs, c.location.PIDs, "pids.max", c.location.Unified, "pids.max"),
	)
	return limits, err
}

func (c *Cgroup) cpuLimit(limits *api.UsageLimits) error {
	if c.location.CPU == "" {
		data, err := os.ReadFile(filepath.Join(c.location.Unified, "cpu.max"))
		if err != nil {
			return ignoreGone(err)
		}
		return parseCPUMax(data, limits)
	}
	quota, err := os.ReadFile(filepath.Join(c.location.CPU, "cpu.cfs_quota_us"))
	if err != nil {
		return ignoreGone(err)
	}
	period, err := os.ReadFile(filepath.Join(c.location.CPU, "cpu.cfs_period_us"))
	if err != nil {
		return err
	}
	return parseV1CPUQuota(quota, period, limits)
}

// readLimit reads a limit from the v1 hierarchy where there is one, else from the unified.
func readLimit(limit **uint64, v1, v1File, unified, unifiedFile string) error {
	path := filepath.Join(unified, unifiedFile)
	if v1 != "" {
		path = filepath.Join(v1, v1File)
	} else if unified == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ignoreGone(err)
	}
	if *limit, err = parseLimit(data); err != nil {
		return fmt.Errorf("parse %s: %w", path, err)
	}
	return nil
}

// Close closes the files. The control group stays.
func (c *Cgroup) Close() error {
	var errs []error
	for _, source := range c.sources {
		errs = append(errs, source.file.Close())
	}
	if c.processIO != nil {
		errs = append(errs, c.processIO.processes.Close())
	}
	c.sources, c.processIO = nil, nil
	return errors.Join(errs...)
}

// isGone tells that a read failed because the process or the control group is no more.
func isGone(err error) bool {
	return errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ESRCH)
}
