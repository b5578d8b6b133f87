//go:build linux

package usage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"midge/api"
)

// System reads what the whole machine does. Its methods may be called from many goroutines.
type System struct {
	proc   string
	latest atomic.Pointer[api.SysSample]
}

// OpenSystem finds the machine's counters.
func OpenSystem() *System { return &System{proc: "/proc"} }

// freshness is how old a sample may be that builds share.
const freshness = time.Second

// Recent gives a sample that is at most a second old, so that a hundred builds that
// watch the machine at once cost what one does.
func (s *System) Recent(ctx context.Context) (api.SysSample, error) {
	if latest := s.latest.Load(); latest != nil && time.Since(latest.Timestamp) < freshness {
		return *latest, nil
	}
	return s.Sample(ctx)
}

// Sample takes a sample now. What the kernel lacks of it is absent.
func (s *System) Sample(ctx context.Context) (api.SysSample, error) {
	if err := ctx.Err(); err != nil {
		return api.SysSample{}, err
	}
	sample := api.SysSample{Timestamp: time.Now()}
	err := errors.Join(
		s.read("stat", func(data []byte) error { return parseStat(data, &sample) }),
		s.read("meminfo", func(data []byte) (err error) {
			sample.MemoryStat, err = parseMeminfo(data)
			return err
		}),
		s.readPressure("cpu", &sample.CPUPressure),
		s.readPressure("memory", &sample.MemoryPressure),
		s.readPressure("io", &sample.IOPressure),
	)
	if err != nil {
		return api.SysSample{}, err
	}
	s.latest.Store(&sample)
	return sample, nil
}

func (s *System) readPressure(resource string, pressure **api.Pressure) error {
	err := s.read("pressure/"+resource, func(data []byte) (err error) {
		*pressure, err = parsePressure(data)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EOPNOTSUPP) {
		return nil
	}
	return err
}

func (s *System) read(name string, parse func([]byte) error) error {
	file, err := openFile(filepath.Join(s.proc, name))
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := file.read()
	if err != nil {
		return fmt.Errorf("read %s: %w", file.Name(), err)
	}
	if err := parse(data); err != nil {
		return fmt.Errorf("parse %s: %w", file.Name(), err)
	}
	return nil
}

// ticksPerSecond is the unit of times in /proc/stat on every architecture Go runs on (USER_HZ).
const ticksPerSecond = 100

// parseStat reads /proc/stat: Documentation/filesystems/proc.rst, "Miscellaneous
// kernel statistics in /proc/stat".
func parseStat(data []byte, sample *api.SysSample) error {
	processes := new(api.ProcStat)
	err := lines(data, func(key, rest []byte) (err error) {
		switch string(key) {
		case "cpu":
			sample.CPUStat, err = parseCPUTimes(bytes.Fields(rest))
		case "ctxt":
			processes.ContextSwitches, err = parseNumber(rest)
		case "processes":
			processes.ProcessCreated, err = parseNumber(rest)
		case "procs_running":
			processes.ProcessesRunning, err = parseNumber(rest)
		}
		return err
	})
	sample.ProcStat = processes
	return err
}

// parseCPUTimes reads the columns of a cpu line. Old kernels lack the last ones.
func parseCPUTimes(fields [][]byte) (*api.SysCPUStat, error) {
	cpu := new(api.SysCPUStat)
	columns := []*float64{
		&cpu.User, &cpu.Nice, &cpu.System, &cpu.Idle, &cpu.Iowait,
		&cpu.IRQ, &cpu.SoftIRQ, &cpu.Steal, &cpu.Guest, &cpu.GuestNice,
	}
	if len(fields) < 4 {
		return nil, errFields
	}
	for i, column := range columns[:min(len(columns), len(fields))] {
		ticks, err := strconv.ParseUint(string(fields[i]), 10, 64)
		if err != nil {
			return nil, err
		}
		*column = float64(ticks) / ticksPerSecond
	}
	return cpu, nil
}

// parseMeminfo reads /proc/meminfo, in units of 1024 bytes:
// Documentation/filesystems/proc.rst, "meminfo".
func parseMeminfo(data []byte) (*api.SysMemoryStat, error) {
	stat := new(api.SysMemoryStat)
	var swapTotal, swapFree *uint64
	targets := map[string]**uint64{
		"MemTotal:": &stat.Total, "MemFree:": &stat.Free, "MemAvailable:": &stat.Available,
		"Buffers:": &stat.Buffers, "Cached:": &stat.Cached, "Active:": &stat.Active, "Inactive:": &stat.Inactive,
		"SwapTotal:": &swapTotal, "SwapFree:": &swapFree,
		"Dirty:": &stat.Dirty, "Writeback:": &stat.Writeback, "Slab:": &stat.Slab,
	}
	err := lines(data, func(key, rest []byte) error {
		target := targets[string(key)]
		if target == nil {
			return nil
		}
		number, ok := bytes.CutSuffix(rest, []byte(" kB"))
		if !ok {
			return errors.New("not in kB")
		}
		value, err := parseNumber(number)
		value *= 1024
		*target = &value
		return err
	})
	if err != nil {
		return nil, err
	}
	if swapTotal != nil && swapFree != nil && *swapTotal >= *swapFree {
		used := *swapTotal - *swapFree
		stat.Swap = &used
	}
	return stat, nil
}

// Elapsed gives how a machine's cpu time passed from one sample to a later one,
// nil when one of them lacks it.
func Elapsed(from, to api.SysSample) *api.SysCPUStat {
	if from.CPUStat == nil || to.CPUStat == nil {
		return nil
	}
	a, b := from.CPUStat, to.CPUStat
	// Idle and iowait may run backwards by a tick when a cpu sleeps.
	passed := func(from, to float64) float64 { return max(0, to-from) }
	return &api.SysCPUStat{
		User: passed(a.User, b.User), Nice: passed(a.Nice, b.Nice), System: passed(a.System, b.System),
		Idle: passed(a.Idle, b.Idle), Iowait: passed(a.Iowait, b.Iowait),
		IRQ: passed(a.IRQ, b.IRQ), SoftIRQ: passed(a.SoftIRQ, b.SoftIRQ), Steal: passed(a.Steal, b.Steal),
		Guest: passed(a.Guest, b.Guest), GuestNice: passed(a.GuestNice, b.GuestNice),
	}
}
