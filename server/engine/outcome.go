package engine

import (
	"context"
	"errors"

	"midge/api"
	"midge/server/state"
)

// outcome is what became of a step, the worse the greater: that of several steps
// together is their maximum.
type outcome int

const (
	succeeded outcome = iota
	failed
	errored
	// timedOut is that of a step interrupted by a timeout around it.
	timedOut
	aborted
	// suspended is no outcome: the engine ends, and the next one goes on with the step.
	suspended
)

// Why a context is done; the text is the error event of a step it has interrupted.
var (
	errInterrupted = errors.New("interrupted")
	errTimeout     = errors.New("timeout exceeded")
)

// interruption gives the outcome of a step that was interrupted by its context.
func (b *build) interruption(ctx context.Context) outcome {
	switch {
	case b.engine.hard.Err() != nil:
		return suspended
	case context.Cause(ctx) == errTimeout:
		return timedOut
	case isForRoom(context.Cause(ctx)):
		return errored
	default:
		return aborted
	}
}

// outcomeOf gives the outcome of a step that gave an error, and the error that says why.
func (b *build) outcomeOf(ctx context.Context, err error) (outcome, error) {
	if ctx.Err() == nil && b.engine.hard.Err() == nil {
		return errored, err
	}
	out := b.interruption(ctx)
	switch out {
	case timedOut:
		return out, errTimeout
	case aborted:
		return out, errInterrupted
	case errored:
		return out, context.Cause(ctx)
	}
	return out, err
}

func (o outcome) status() api.BuildStatus {
	switch o {
	case succeeded:
		return api.StatusSucceeded
	case failed:
		return api.StatusFailed
	case aborted:
		return api.StatusAborted
	default:
		return api.StatusErrored
	}
}

func (o outcome) state() state.StepState {
	switch o {
	case succeeded:
		return state.StepSucceeded
	case failed:
		return state.StepFailed
	case aborted:
		return state.StepAborted
	default:
		return state.StepErrored
	}
}

// outcomeOfStep is the inverse of state, for a step that has ended.
func outcomeOfStep(step state.Step) outcome {
	switch step.State {
	case state.StepSucceeded:
		return succeeded
	case state.StepFailed:
		return failed
	case state.StepAborted:
		return aborted
	}
	if step.Message == errTimeout.Error() {
		return timedOut
	}
	return errored
}
