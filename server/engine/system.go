package engine

import (
	"midge/api"
	"midge/usage"
)

// watchSystem samples the workers' machine until the function that it gives is called,
// which puts the samples into the build's log. The next engine samples for itself.
func (b *build) watchSystem() (done func() error) {
	system := b.engine.options.System
	if system == nil {
		return func() error { return nil }
	}
	recording := usage.Record(b.engine.hard, usage.SystemSamples, system.Recent)
	return func() error {
		samples, err := recording.Finish()
		if b.engine.hard.Err() != nil {
			return nil
		}
		if err != nil {
			b.logger.Warn("what the machine did is not known", "error", err)
		}
		if len(samples) == 0 {
			return nil
		}
		return b.say(logEvent(api.SystemUsage{Time: now(), SysUsage: samples}))
	}
}
