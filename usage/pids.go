//go:build linux

package usage

import "midge/api"

const noPIDsController = "the pids controller is not on for this control group"

// The pids controller's files are the same in both hierarchies:
// Documentation/admin-guide/cgroup-v2.rst, "PID Interface Files", and
// Documentation/admin-guide/cgroup-v1/pids.rst.
var pidsSources = []source{
	{file: "pids.current", field: "pidsStat", absent: noPIDsController, parse: func(data []byte, sample *api.Sample) (err error) {
		pidsOf(sample).Current, err = parseSingle(data)
		return err
	}},
	{file: "pids.peak", atEnd: true, field: "pidsStat.peak", absent: "the kernel is older than 6.1", parse: func(data []byte, sample *api.Sample) (err error) {
		pidsOf(sample).Peak, err = parseSingle(data)
		return err
	}},
	{file: "pids.events", atEnd: true, field: "pidsStat.maxEvents", absent: "the kernel is older than 4.8", parse: parsePIDsEvents},
}

func pidsOf(sample *api.Sample) *api.PIDsStat {
	if sample.PIDsStat == nil {
		sample.PIDsStat = new(api.PIDsStat)
	}
	return sample.PIDsStat
}

func parsePIDsEvents(data []byte, sample *api.Sample) error {
	stat := pidsOf(sample)
	return flatKeyed(data, func(key []byte) **uint64 {
		if string(key) == "max" {
			return &stat.MaxEvents
		}
		return nil
	})
}
