package engine

import (
	"context"
	"slices"
	"sync"

	"midge/api"
)

// inParallel runs steps at once, in their order as far as the limit makes them
// wait. With FailFast the first that does not succeed interrupts the others, which
// then count as failed.
func (b *build) inParallel(ctx context.Context, plan *api.InParallelPlan, attempt int) outcome {
	running, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	limit := len(plan.Steps)
	if plan.Limit > 0 {
		limit = min(limit, plan.Limit)
	}
	slots := make(chan struct{}, limit)
	outcomes := make([]outcome, len(plan.Steps))
	var group sync.WaitGroup
	for i := range plan.Steps {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			outcomes[i] = b.step(running, &plan.Steps[i], attempt)
			if plan.FailFast && outcomes[i] != succeeded {
				interrupt(errInterrupted)
			}
		})
	}
	group.Wait()
	worst := succeeded
	for _, out := range outcomes {
		if out != aborted {
			worst = max(worst, out)
		}
	}
	if slices.Contains(outcomes, aborted) && !(plan.FailFast && worst != succeeded) {
		worst = max(worst, aborted)
	}
	return worst
}
