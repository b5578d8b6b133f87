package engine

import (
	"context"

	"midge/api"
)

// ensure runs its second step whatever became of the first. An abort does not
// interrupt that; asked for again it does.
func (b *build) ensure(ctx context.Context, plan *api.EnsurePlan, attempt int) outcome {
	first := b.step(ctx, &plan.Step, attempt)
	hook, done := b.hookContext(ctx)
	defer done()
	if first >= errored {
		hook = context.WithValue(hook, afterError{}, true)
	}
	return max(first, b.step(hook, &plan.Next, attempt))
}

// afterError is the key of a context's value, which tells a step that one before it, of
// which it is to take what there is, has errored.
type afterError struct{}

func (b *build) onSuccess(ctx context.Context, plan *api.OnSuccessPlan, attempt int) outcome {
	first := b.step(ctx, &plan.Step, attempt)
	if first != succeeded {
		return first
	}
	return b.step(ctx, &plan.Next, attempt)
}

func (b *build) onFailure(ctx context.Context, plan *api.OnFailurePlan, attempt int) outcome {
	first := b.step(ctx, &plan.Step, attempt)
	if first != failed {
		return first
	}
	return max(first, b.step(ctx, &plan.Next, attempt))
}

// onAbort runs its second step in a context of its own, or it would be interrupted
// before it began.
func (b *build) onAbort(ctx context.Context, plan *api.OnAbortPlan, attempt int) outcome {
	first := b.step(ctx, &plan.Step, attempt)
	if first != aborted {
		return first
	}
	hook, done := b.hookContext(ctx)
	defer done()
	return max(first, b.step(hook, &plan.Next, attempt))
}

// onError runs its second step when the first errored, a timeout around both included.
func (b *build) onError(ctx context.Context, plan *api.OnErrorPlan, attempt int) outcome {
	first := b.step(ctx, &plan.Step, attempt)
	if first != errored && first != timedOut {
		return first
	}
	hook, done := b.hookContext(ctx)
	defer done()
	return max(first, b.step(hook, &plan.Next, attempt))
}

// hookContext gives the context for a step that is to run although the one before
// it was interrupted, and what the caller calls when the step has ended. When ctx
// is done already, only a second abort ends it. Otherwise what interrupts ctx
// interrupts the step too, but for an abort.
func (b *build) hookContext(ctx context.Context) (context.Context, func()) {
	hook, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	if b.force.Err() != nil { // at once, so that the step does not begin
		cancel(context.Cause(b.force))
	}
	stopForce := context.AfterFunc(b.force, func() { cancel(context.Cause(b.force)) })
	stopOuter := func() bool { return true }
	if ctx.Err() == nil {
		stopOuter = context.AfterFunc(ctx, func() {
			if b.steps.Err() == nil {
				cancel(context.Cause(ctx))
			}
		})
	}
	return hook, func() {
		stopForce()
		stopOuter()
		cancel(nil)
	}
}
