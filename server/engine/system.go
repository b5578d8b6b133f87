package engine

import (
	"context"

	"midge/api"
	"midge/usage"
)

// systemBatch is how many samples of the machine go into the log at once, and so may be
// lost with the server.
const systemBatch = 2

// watchSystem samples the workers' machine until the function that it gives is called,
// and puts the samples into the build's log, a few at a time: the next engine samples
// for itself from where this one has ended.
func (b *build) watchSystem() (done func() error) {
	system := b.engine.options.System
	if system == nil {
		return func() error { return nil }
	}
	// Only the recording's goroutine has it, until that has ended.
	var unsaid []api.SysSample
	recording := usage.Record(b.engine.hard, usage.SystemSamples, func(ctx context.Context, _ bool) (api.SysSample, error) {
		sample, err := system.Recent(ctx)
		if err != nil {
			return sample, err
		}
		if unsaid = append(unsaid, sample); len(unsaid) >= systemBatch && b.saySystem(unsaid) == nil {
			unsaid = nil
		}
		return sample, nil
	})
	return func() error {
		_, err := recording.Finish()
		if b.engine.hard.Err() != nil {
			return nil
		}
		if err != nil {
			b.logger.Warn("what the machine did is not known", "error", err)
		}
		if len(unsaid) == 0 {
			return nil
		}
		return b.saySystem(unsaid)
	}
}

func (b *build) saySystem(samples []api.SysSample) error {
	return b.say(logEvent(api.SystemUsage{Time: now(), SysUsage: samples}))
}
