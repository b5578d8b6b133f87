//go:build linux

package usage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"midge/api"
)

const noMemoryController = "the memory controller is not on for this control group"

var unifiedMemory = []source{
	{file: "memory.stat", field: "memoryStat", absent: noMemoryController, parse: parseMemoryStat},
	{file: "memory.events", atEnd: true, field: "memoryStat.oomKillEvents", absent: noMemoryController, parse: parseMemoryEvents},
	{file: "memory.current", field: "memoryStat.current", absent: noMemoryController, parse: parseMemoryCurrent},
	{file: "memory.peak", atEnd: true, field: "memoryStat.peak", absent: "the kernel is older than 5.19", parse: parseMemoryPeak},
	{file: "memory.swap.current", atEnd: true, field: "memoryStat.swapBytes", absent: "the kernel does not account for swap", parse: func(data []byte, sample *api.Sample) (err error) {
		memoryOf(sample).SwapBytes, err = parseSingle(data)
		return err
	}},
}

var v1Memory = []source{
	{file: "memory.stat", field: "memoryStat", absent: noMemoryController, parse: parseV1MemoryStat},
	{file: "memory.usage_in_bytes", field: "memoryStat.current", absent: noMemoryController, parse: parseMemoryCurrent},
	{file: "memory.max_usage_in_bytes", atEnd: true, field: "memoryStat.peak", absent: noMemoryController, parse: parseMemoryPeak},
	{file: "memory.failcnt", atEnd: true, field: "memoryStat.maxEvents", absent: noMemoryController, parse: func(data []byte, sample *api.Sample) (err error) {
		memoryOf(sample).MaxEvents, err = parseSingle(data)
		return err
	}},
	{file: "memory.kmem.usage_in_bytes", atEnd: true, field: "memoryStat.kernel", absent: "the kernel does not account for its own memory", parse: func(data []byte, sample *api.Sample) (err error) {
		memoryOf(sample).Kernel, err = parseSingle(data)
		return err
	}},
	{file: "memory.oom_control", atEnd: true, field: "memoryStat.oomKillEvents", absent: noMemoryController, parse: parseOOMControl},
}

func memoryOf(sample *api.Sample) *api.MemoryStat {
	if sample.MemoryStat == nil {
		sample.MemoryStat = new(api.MemoryStat)
	}
	return sample.MemoryStat
}

// parseMemoryStat reads memory.stat of v2: Documentation/admin-guide/cgroup-v2.rst,
// "Memory Interface Files".
func parseMemoryStat(data []byte, sample *api.Sample) error {
	stat := memoryOf(sample)
	return flatKeyed(data, func(key []byte) **uint64 {
		switch string(key) {
		case "anon":
			return &stat.Anon
		case "file":
			return &stat.File
		case "kernel":
			return &stat.Kernel
		case "kernel_stack":
			return &stat.KernelStack
		case "pagetables":
			return &stat.PageTables
		case "sock":
			return &stat.Sock
		case "vmalloc":
			return &stat.Vmalloc
		case "shmem":
			return &stat.Shmem
		case "file_mapped":
			return &stat.FileMapped
		case "file_dirty":
			return &stat.FileDirty
		case "file_writeback":
			return &stat.FileWriteback
		case "slab":
			return &stat.Slab
		case "pgscan":
			return &stat.Pgscan
		case "pgsteal":
			return &stat.Pgsteal
		case "pgfault":
			return &stat.Pgfault
		case "pgmajfault":
			return &stat.Pgmajfault
		}
		return nil
	})
}

// parseMemoryEvents reads memory.events of v2, which counts those of the groups
// below as well: Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files".
func parseMemoryEvents(data []byte, sample *api.Sample) error {
	stat := memoryOf(sample)
	return flatKeyed(data, func(key []byte) **uint64 {
		switch string(key) {
		case "low":
			return &stat.LowEvents
		case "high":
			return &stat.HighEvents
		case "max":
			return &stat.MaxEvents
		case "oom":
			return &stat.OomEvents
		case "oom_kill":
			return &stat.OomKillEvents
		}
		return nil
	})
}

// parseV1MemoryStat reads memory.stat of v1, the sums that include the groups below:
// Documentation/admin-guide/cgroup-v1/memory.rst, "stat file". Its cache is v2's file
// and its rss is v2's anon.
func parseV1MemoryStat(data []byte, sample *api.Sample) error {
	stat := memoryOf(sample)
	return flatKeyed(data, func(key []byte) **uint64 {
		switch string(key) {
		case "total_rss":
			return &stat.Anon
		case "total_cache":
			return &stat.File
		case "total_shmem":
			return &stat.Shmem
		case "total_mapped_file":
			return &stat.FileMapped
		case "total_dirty":
			return &stat.FileDirty
		case "total_writeback":
			return &stat.FileWriteback
		case "total_swap":
			return &stat.SwapBytes
		case "total_pgfault":
			return &stat.Pgfault
		case "total_pgmajfault":
			return &stat.Pgmajfault
		}
		return nil
	})
}

// parseOOMControl reads memory.oom_control of v1, whose oom_kill counts this group
// alone: Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control".
func parseOOMControl(data []byte, sample *api.Sample) error {
	stat := memoryOf(sample)
	return flatKeyed(data, func(key []byte) **uint64 {
		if string(key) == "oom_kill" {
			return &stat.OomKillEvents
		}
		return nil
	})
}

func parseMemoryCurrent(data []byte, sample *api.Sample) (err error) {
	memoryOf(sample).Current, err = parseSingle(data)
	return err
}

func parseMemoryPeak(data []byte, sample *api.Sample) (err error) {
	memoryOf(sample).Peak, err = parseSingle(data)
	return err
}

// addNestedKills adds the oom kills of the groups below a v1 memory group, which
// the group's own count leaves out. Groups that go away meanwhile are passed over.
func addNestedKills(group string, sample *api.Sample) error {
	if !hasGroupsBelow(group) {
		return nil
	}
	entries, err := os.ReadDir(group)
	if err != nil {
		return ignoreGone(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		below := filepath.Join(group, entry.Name())
		if err := addKills(below, sample); err != nil {
			return err
		}
		if err := addNestedKills(below, sample); err != nil {
			return err
		}
	}
	return nil
}

// hasGroupsBelow tells by the links of a directory, of which each directory in it is
// one, whether it has any. It saves the reading of most.
func hasGroupsBelow(group string) bool {
	var stat syscall.Stat_t
	return syscall.Stat(group, &stat) == nil && stat.Nlink > 2
}

func addKills(group string, sample *api.Sample) error {
	data, err := os.ReadFile(filepath.Join(group, "memory.oom_control"))
	if err != nil {
		return ignoreGone(err)
	}
	var nested api.Sample
	if err := parseOOMControl(data, &nested); err != nil {
		return err
	}
	if kills := nested.MemoryStat.OomKillEvents; kills != nil {
		add(&memoryOf(sample).OomKillEvents, *kills)
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || isGone(err) {
		return nil
	}
	return err
}
