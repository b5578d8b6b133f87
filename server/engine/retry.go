package engine

import (
	"context"

	"midge/api"
)

// retry runs its attempts up to the first that succeeds or is interrupted.
func (b *build) retry(ctx context.Context, attempts []api.Plan) outcome {
	out := succeeded
	for i := range attempts {
		out = b.step(ctx, &attempts[i], i+1)
		if out == succeeded || out == aborted || out == suspended {
			break
		}
	}
	return out
}

// try succeeds whatever becomes of its step, unless that is aborted.
func (b *build) try(ctx context.Context, plan *api.TryPlan, attempt int) outcome {
	out := b.step(ctx, &plan.Step, attempt)
	if out == aborted || out == suspended {
		return out
	}
	return succeeded
}
