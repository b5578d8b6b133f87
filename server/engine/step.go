package engine

import (
	"context"
	"fmt"
	"time"

	"midge/api"
	"midge/server/eventlog"
	"midge/server/state"
	"midge/trace"
)

// step runs the step of a plan, whatever its kind, and gives what became of it.
// attempt is that of the retry around it, from 1.
//
// Steps that hold others always walk them in the same order and leave it to those
// at the leaves to see that they were interrupted. So an engine that goes on with
// an aborted build comes by all steps that have ended, and knows their artifacts.
func (b *build) step(ctx context.Context, plan *api.Plan, attempt int) outcome {
	switch plan.Kind() {
	case api.PlanTask:
		return b.leaf(ctx, plan, attempt, newTask(b, plan, attempt))
	case api.PlanArtifactInput:
		return b.leaf(ctx, plan, attempt, &artifactInput{b, plan.ArtifactInput})
	case api.PlanArtifactOutput:
		return b.leaf(ctx, plan, attempt, &artifactOutput{build: b, plan: plan.ArtifactOutput})
	}
	ctx, span := trace.StartSpan(ctx, string(plan.Kind()), trace.Debug)
	defer span.End(nil) // what failed is below it
	return b.branch(ctx, plan, attempt)
}

// branch is step for those that hold others.
func (b *build) branch(ctx context.Context, plan *api.Plan, attempt int) outcome {
	switch plan.Kind() {
	case api.PlanDo:
		return b.do(ctx, plan.Do, attempt)
	case api.PlanInParallel:
		return b.inParallel(ctx, plan.InParallel, attempt)
	case api.PlanEnsure:
		return b.ensure(ctx, plan.Ensure, attempt)
	case api.PlanOnSuccess:
		return b.onSuccess(ctx, plan.OnSuccess, attempt)
	case api.PlanOnFailure:
		return b.onFailure(ctx, plan.OnFailure, attempt)
	case api.PlanOnAbort:
		return b.onAbort(ctx, plan.OnAbort, attempt)
	case api.PlanOnError:
		return b.onError(ctx, plan.OnError, attempt)
	case api.PlanTry:
		return b.try(ctx, plan.Try, attempt)
	case api.PlanTimeout:
		return b.timeout(ctx, plan, attempt)
	case api.PlanRetry:
		return b.retry(ctx, plan.Retry)
	}
	return b.refuse(plan, fmt.Errorf("the plan %q has no step that this server can run", plan.ID))
}

// refuse tells why a step cannot be run at all.
func (b *build) refuse(plan *api.Plan, why error) outcome {
	if err := b.report(api.Origin{ID: plan.ID}, why); err != nil {
		return b.unwritten(errored, err)
	}
	return errored
}

// leaf is a step that does something itself.
type leaf interface {
	// run does it, or goes on with what an earlier engine began. The row is written
	// once run has returned; run writes it before if the next engine needs it. An
	// error tells why the step did not end by itself.
	run(ctx context.Context, row *state.Step) (outcome, error)
	// restore makes known what a step that has ended left to the others.
	restore(ctx context.Context, row state.Step) error
	// save writes the row of the step, which has ended, and what belongs to it.
	save(row state.Step) error
}

// leaf runs a leaf, unless it has ended before or was interrupted before it began.
func (b *build) leaf(ctx context.Context, plan *api.Plan, attempt int, leaf leaf) outcome {
	defer b.engine.places.found(b.record.ID, plan.ID) // it may never ask for one
	row, begun := b.before[plan.ID]
	if !begun {
		if ctx.Err() != nil {
			return b.interruption(ctx)
		}
		row = state.Step{
			BuildID: b.record.ID, PlanID: plan.ID, Attempt: attempt,
			State: state.StepStarted, ExitStatus: -1, StartedAt: time.Now(),
		}
	}
	if out, ended := b.ended(&row); ended {
		if err := leaf.restore(b.engaged, row); err != nil {
			b.logger.Warn("what a step left is no longer there", "step", plan.ID, "error", err)
		}
		return b.endStep(row, out, leaf.save)
	}
	out, err := leaf.run(ctx, &row)
	if err == nil {
		return b.endStep(row, out, leaf.save)
	}
	out, err = b.outcomeOf(ctx, err)
	if out == suspended {
		return suspended
	}
	row.Message = err.Error()
	origin, mark := api.Origin{ID: plan.ID}, eventlog.Mark{Name: markStage(plan.ID), Value: stageEnded + int64(out)}
	if err := b.report(origin, err, mark); err != nil {
		out = b.unwritten(out, err)
	}
	return b.endStep(row, out, leaf.save)
}

// ended tells what became of a step that has ended as the log or the state has it.
func (b *build) ended(row *state.Step) (outcome, bool) {
	if row.State != state.StepStarted {
		return outcomeOfStep(*row), true
	}
	stage, _ := b.log.Mark(markStage(row.PlanID))
	if stage < stageEnded {
		return suspended, false
	}
	if code, exited := b.log.Mark(markExit(row.PlanID)); exited {
		row.ExitStatus = int(code)
	} else {
		row.Message, _ = b.loggedError(row.PlanID)
	}
	return outcome(stage - stageEnded), true
}

// endStep writes how a step has ended by save, unless that is written.
func (b *build) endStep(row state.Step, out outcome, save func(state.Step) error) outcome {
	if row.State != state.StepStarted {
		return out
	}
	row.State, row.EndedAt = out.state(), time.Now()
	if err := b.engine.write(func() error { return save(row) }); err != nil {
		return b.unwritten(out, err)
	}
	return out
}

// save writes the row of a step to which nothing else belongs.
func (b *build) save(row state.Step) error {
	return b.engine.options.State.SaveStep(b.writing, row)
}

// unwritten gives the outcome of a step whose outcome could not be written.
func (b *build) unwritten(out outcome, err error) outcome {
	if b.engine.hard.Err() != nil {
		return suspended
	}
	b.logger.Error("the end of a step cannot be written", "error", err)
	return max(out, errored)
}
