//go:build linux

package usage

import (
	"context"
	"errors"
	"fmt"

	"midge/api"
)

// Watch follows what a step uses from its start to its end.
type Watch struct {
	cgroup    *Cgroup
	system    *System
	recording *Recording[api.Sample]
	before    api.SysSample
	baseline  *api.Sample
}

// StartWatch begins to watch the control group at location, until Finish is called
// or ctx ends. Of a group that had worked before, what it used until now is kept as
// the baseline when since is true.
func StartWatch(ctx context.Context, location Location, system *System, since bool) (*Watch, error) {
	cgroup, err := Open(location)
	if err != nil {
		return nil, fmt.Errorf("open the control group: %w", err)
	}
	w := &Watch{cgroup: cgroup, system: system}
	if w.before, err = system.Sample(ctx); err != nil {
		return nil, errors.Join(err, cgroup.Close())
	}
	if since {
		sample, err := cgroup.Sample(ctx)
		if err != nil {
			return nil, errors.Join(err, cgroup.Close())
		}
		w.baseline = &sample
	}
	w.recording = Record(ctx, StepSamples, func(ctx context.Context, last bool) (api.Sample, error) {
		if last {
			return cgroup.Sample(ctx)
		}
		return cgroup.Brief(ctx)
	})
	return w, nil
}

// Finish takes the last sample and gives all there is. It is to be called once, when
// the step has ended and before its control group is removed. What could be sampled
// is given beside an error too.
func (w *Watch) Finish(ctx context.Context) (api.ResourceUsage, error) {
	samples, sampleErr := w.recording.Finish()
	usage := api.ResourceUsage{Samples: samples, Baseline: w.baseline, Missing: w.cgroup.Missing()}
	limits, limitErr := w.cgroup.Limits()
	usage.Limits = &limits
	after, systemErr := w.system.Sample(ctx)
	if systemErr == nil {
		usage.SysCPUStat = Elapsed(w.before, after)
	}
	return usage, errors.Join(sampleErr, limitErr, systemErr, w.cgroup.Close())
}
