package engine

import (
	"context"
	"time"

	"midge/api"
	"midge/server/state"
)

// timeout interrupts its step when its time is over, and then has failed. The time
// that passes while no engine runs counts.
func (b *build) timeout(ctx context.Context, plan *api.Plan, attempt int) outcome {
	row, begun := b.before[plan.ID]
	if !begun && ctx.Err() == nil {
		row = state.Step{
			BuildID: b.record.ID, PlanID: plan.ID, Attempt: attempt,
			State: state.StepStarted, ExitStatus: -1, StartedAt: time.Now(),
		}
		if err := b.engine.write(func() error { return b.save(row) }); err != nil {
			return b.unwritten(errored, err)
		}
	}
	duration, err := time.ParseDuration(plan.Timeout.Duration)
	if err != nil {
		return b.refuse(plan, err)
	}
	limited, cancel := context.WithDeadlineCause(ctx, row.StartedAt.Add(duration), errTimeout)
	defer cancel()
	out := b.step(limited, &plan.Timeout.Step, attempt)
	switch {
	case out == suspended:
		return suspended
	case begun && row.State != state.StepStarted:
		return outcomeOfStep(row)
	case out == timedOut:
		out = failed
	}
	return b.endStep(row, out, b.save)
}
