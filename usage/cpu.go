//go:build linux

package usage

import (
	"bytes"
	"fmt"
	"strconv"

	"midge/api"
)

const (
	noCPUController = "the cpu controller is not on for this control group"
	noAccounting    = "the kernel does not tell it apart"
)

var unifiedCPU = []source{
	{file: "cpu.stat", field: "cpuStat", absent: noCPUController, parse: parseCPUStat},
}

var v1CPU = []source{
	{file: "cpu.stat", atEnd: true, field: "cpuStat.nrThrottled", absent: noCPUController, parse: parseV1CPUStat},
}

var v1CPUAccounting = []source{
	{file: "cpuacct.usage", field: "cpuStat.usageNanos", absent: noAccounting, parse: func(data []byte, sample *api.Sample) (err error) {
		cpuOf(sample).UsageNanos, err = parseSingle(data)
		return err
	}},
	{file: "cpuacct.usage_user", atEnd: true, field: "cpuStat.userNanos", absent: noAccounting, parse: func(data []byte, sample *api.Sample) (err error) {
		cpuOf(sample).UserNanos, err = parseSingle(data)
		return err
	}},
	{file: "cpuacct.usage_sys", atEnd: true, field: "cpuStat.systemNanos", absent: noAccounting, parse: func(data []byte, sample *api.Sample) (err error) {
		cpuOf(sample).SystemNanos, err = parseSingle(data)
		return err
	}},
}

func cpuOf(sample *api.Sample) *api.CPUStat {
	if sample.CPUStat == nil {
		sample.CPUStat = new(api.CPUStat)
	}
	return sample.CPUStat
}

// parseCPUStat reads cpu.stat of v2, times in microseconds:
// Documentation/admin-guide/cgroup-v2.rst, "CPU Interface Files". The first three
// keys are there without the controller too.
func parseCPUStat(data []byte, sample *api.Sample) error {
	stat := cpuOf(sample)
	err := flatKeyed(data, func(key []byte) **uint64 {
		switch string(key) {
		case "usage_usec":
			return &stat.UsageNanos
		case "user_usec":
			return &stat.UserNanos
		case "system_usec":
			return &stat.SystemNanos
		case "nr_periods":
			return &stat.NrPeriods
		case "nr_throttled":
			return &stat.NrThrottled
		case "throttled_usec":
			return &stat.ThrottledNanos
		}
		return nil
	})
	scale(stat.UsageNanos, 1000)
	scale(stat.UserNanos, 1000)
	scale(stat.SystemNanos, 1000)
	scale(stat.ThrottledNanos, 1000)
	return err
}

// parseV1CPUStat reads cpu.stat of v1, times in nanoseconds:
// Documentation/scheduler/sched-bwc.rst, "Statistics".
func parseV1CPUStat(data []byte, sample *api.Sample) error {
	stat := cpuOf(sample)
	return flatKeyed(data, func(key []byte) **uint64 {
		switch string(key) {
		case "nr_periods":
			return &stat.NrPeriods
		case "nr_throttled":
			return &stat.NrThrottled
		case "throttled_time":
			return &stat.ThrottledNanos
		}
		return nil
	})
}

// parseCPUMax reads cpu.max of v2, "QUOTA PERIOD" with "max" for no quota, as a
// number of cpus: Documentation/admin-guide/cgroup-v2.rst, "CPU Interface Files".
func parseCPUMax(data []byte, limits *api.UsageLimits) error {
	fields := bytes.Fields(data)
	if len(fields) != 2 {
		return errFields
	}
	if string(fields[0]) == "max" {
		return nil
	}
	quota, err := parseNumber(fields[0])
	if err != nil {
		return err
	}
	period, err := parseNumber(fields[1])
	if err != nil {
		return err
	}
	return limitCPUs(limits, quota, period)
}

// parseV1CPUQuota reads cpu.cfs_quota_us (-1 for no quota) and cpu.cfs_period_us of
// v1: Documentation/scheduler/sched-bwc.rst, "Management".
func parseV1CPUQuota(quota, period []byte, limits *api.UsageLimits) error {
	q, err := strconv.ParseInt(string(bytes.TrimSpace(quota)), 10, 64)
	if err != nil || q < 0 {
		return err
	}
	p, err := parseNumber(period)
	if err != nil {
		return err
	}
	return limitCPUs(limits, uint64(q), p)
}

func limitCPUs(limits *api.UsageLimits, quota, period uint64) error {
	if period == 0 {
		return fmt.Errorf("cpu quota %d has a period of 0", quota)
	}
	cpus := float64(quota) / float64(period)
	limits.CPUs = &cpus
	return nil
}
