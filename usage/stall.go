package usage

import "midge/api"

// Stalls gives when a step waited for its disk, memory or a cpu, between one sample
// and the next, in the order of time. Parts of less than a hundredth are left out, and
// all of a step that is too short for shares.
func Stalls(step api.StepUsage) []api.Stall {
	if step.Ended.Sub(step.Started) < leastWall {
		return nil
	}
	usage := step.ResourceUsage
	before := api.Sample{Timestamp: step.Started}
	if usage.Baseline != nil {
		before = *usage.Baseline
	}
	var stalls []api.Stall
	for _, sample := range usage.Samples {
		for _, resource := range []string{"cpu", "memory", "io"} {
			stalls = appendStall(stalls, resource, before, sample)
		}
		before = sample
	}
	return stalls
}

func appendStall(stalls []api.Stall, resource string, from, to api.Sample) []api.Stall {
	const least = 0.01
	wait := waited(pressureOf(to, resource), pressureOf(from, resource))
	passed := to.Timestamp.Sub(from.Timestamp)
	if wait == nil || passed <= 0 {
		return stalls
	}
	share := min(1, wait.Seconds()/passed.Seconds())
	if share < least {
		return stalls
	}
	return append(stalls, api.Stall{Resource: resource, From: from.Timestamp, To: to.Timestamp, Share: share})
}

func pressureOf(sample api.Sample, resource string) *api.Pressure {
	switch {
	case resource == "cpu" && sample.CPUStat != nil:
		return sample.CPUStat.Pressure
	case resource == "memory" && sample.MemoryStat != nil:
		return sample.MemoryStat.Pressure
	case resource == "io" && sample.IOStat != nil:
		return sample.IOStat.Pressure
	}
	return nil
}
