package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/server/eventlog"
	"midge/server/state"
	"midge/trace"
)

// build is a build that is not finished.
type build struct {
	engine    *Engine
	logger    *slog.Logger
	log       *eventlog.Log
	artifacts repository
	// resumed tells that an earlier engine may have run a part of it.
	resumed bool
	// claims are of the workers of tasks that an earlier engine has left, by the
	// handles of the tasks' containers.
	claims map[string]*runtime.Claim
	// before has the steps as an earlier engine left them, by plan id.
	before map[string]state.Step

	// steps is done when the build is aborted, force when it was aborted again, and
	// engaged only with the engine: what runs has to be found to be stopped.
	steps, force, engaged context.Context
	abortSteps, abortAll  context.CancelCauseFunc

	// writing is for what must be written whatever becomes of the steps: it ends with the
	// engine, and carries the build's span.
	writing context.Context

	// settled is closed once the build was started, waits its turn, or is finished.
	settled chan struct{}
	settle  func()
	// gone is closed once the engine has nothing more to do with the build.
	gone chan struct{}

	mu     sync.Mutex
	record state.BuildRecord
}

func newBuild(e *Engine, record state.BuildRecord) *build {
	b := &build{
		engine:  e,
		logger:  e.options.Logger.With("build", record.ID, "team", record.TeamName),
		record:  record,
		writing: e.hard,
		settled: make(chan struct{}),
		gone:    make(chan struct{}),
	}
	b.settle = sync.OnceFunc(func() { close(b.settled) })
	b.engaged = trace.WithBuild(trace.WithParent(e.hard, record.TraceParent), record.ID)
	b.force, b.abortAll = context.WithCancelCause(b.engaged)
	b.steps, b.abortSteps = context.WithCancelCause(b.force)
	b.interrupt(record.Interrupted)
	return b
}

// current gives the build as the API shows it.
func (b *build) current() api.Build {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record.Build
}

func (b *build) change(change func(*api.Build)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.record.Build)
}

// interrupt aborts as much of the build as was asked for: its steps, or also what runs
// in spite of that.
func (b *build) interrupt(what state.Interruption) {
	switch what {
	case state.AllInterrupted:
		b.abortAll(errInterrupted)
	case state.StepsInterrupted:
		b.abortSteps(errInterrupted)
	}
}

// live takes the build from where it is to its end, or to that of the engine.
func (b *build) live(turn *turn) {
	defer b.settle()
	defer b.abortAll(nil)
	defer func() {
		// Not every task goes on: some have ended without that being in the state.
		for _, claim := range b.claims {
			claim.Release()
		}
	}()
	ctx, span := trace.StartSpan(b.steps, "build", trace.Team(b.record.TeamName))
	b.writing = trace.WithSpanOf(b.engine.hard, ctx)
	out, err := b.run(ctx, turn)
	// Who has followed the build to its end finds its span.
	span.End(err)
	if out != suspended {
		b.giveRoom()
		b.finish(out)
	}
	if b.log != nil {
		if err := b.log.Close(); err != nil {
			b.logger.Error("the event log could not be closed", "error", err)
		}
	}
}

// run gives what became of the build's plan. An error is one that keeps the build
// itself from running; those of steps are in its log.
func (b *build) run(ctx context.Context, turn *turn) (outcome, error) {
	if err := b.open(); err != nil {
		b.logger.Error("the build cannot be run", "error", err)
		out, err := b.outcomeOf(ctx, err)
		return out, err
	}
	if b.log.Ended() {
		return b.loggedOutcome(), nil
	}
	if b.record.Status == api.StatusPending {
		if err := b.await(ctx, turn); err != nil {
			return b.outcomeOf(ctx, err)
		}
	}
	if err := b.start(); err != nil {
		out, err := b.outcomeOf(b.force, err)
		return out, errors.Join(err, b.report(api.Origin{}, err))
	}
	b.settle()
	// A log that is new takes the disk longer than one that has grown: beside the
	// steps that costs no time, at the end it would.
	synced := make(chan error, 1)
	go func() { synced <- b.log.Sync() }()
	watched := b.watchSystem()
	out := b.step(ctx, &b.record.Plan, 1)
	return out, errors.Join(<-synced, watched())
}

// open reads what an earlier engine has left of the build.
func (b *build) open() error {
	var err error
	if b.log, err = b.engine.options.Logs.Open(b.record.ID); err != nil {
		return err
	}
	if !b.resumed {
		return nil
	}
	steps, err := b.engine.options.State.Steps(b.writing, b.record.ID)
	if err != nil {
		return err
	}
	b.before = make(map[string]state.Step, len(steps))
	for _, step := range steps {
		b.before[step.PlanID] = step
	}
	return nil
}

// await waits for the build's turn and says in its log why, and how many are before it.
func (b *build) await(ctx context.Context, turn *turn) (err error) {
	if come, _, _ := turn.ahead(); come {
		return context.Cause(ctx)
	}
	ctx, span := trace.StartSpan(ctx, "wait for turn", trace.Reason(turn.reason()))
	defer func() { span.End(err) }()
	said, saidReason := -1, ""
	for {
		come, ahead, moved := turn.ahead()
		if come {
			return context.Cause(ctx)
		}
		reason := turn.reason()
		if said < 0 || reason != saidReason || ahead < said && (ahead < 10 || said-ahead >= 10) {
			said, saidReason = ahead, reason
			if err := b.say(logEvent(api.WaitingEvent{Time: now(), Reason: reason, Ahead: ahead})); err != nil {
				return err
			}
		}
		b.settle()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// start makes the build a started one.
func (b *build) start() error {
	if b.record.Status == api.StatusPending {
		at := time.Now()
		err := b.engine.write(func() error {
			_, err := b.engine.options.State.StartBuild(b.writing, b.record.ID, at)
			return err
		})
		if err != nil {
			return err
		}
		b.change(func(build *api.Build) {
			build.Status, build.StartTime = api.StatusStarted, at.Unix()
		})
	}
	return b.sayStarted(b.record.StartTime)
}

// finish gives the build its last status. It tries until that is done, because a
// build that never ends would keep its turn from others.
func (b *build) finish(out outcome) {
	status, at := out.status(), time.Now()
	pause, said := 100*time.Millisecond, false
	for {
		err := b.engine.write(func() error { return b.writeEnd(status, at) })
		if err == nil {
			b.change(func(build *api.Build) {
				build.Status, build.EndTime = status, at.Unix()
			})
			b.engine.options.Finished(b.current())
			return
		}
		if b.engine.hard.Err() != nil {
			return
		}
		b.engine.options.WriteFailed(err)
		b.logger.Error("the end of the build cannot be written; trying again", "status", status, "pause", pause, "error", err)
		if state.IsFull(err) {
			b.freeDisk()
			if out == errored && !said {
				// Why it errored could not be said when it did.
				said = b.report(api.Origin{}, errDiskFull) == nil
			}
		}
		select {
		case <-time.After(pause):
		case <-b.engine.hard.Done():
			return
		}
		pause = min(2*pause, 30*time.Second)
	}
}

var errDiskFull = errors.New("no space left on device: the server's disk is full, and what the build wrote last is lost")

// freeDisk destroys the containers of a build that has filled the disk so far that its
// end cannot be written: what they hold is what is missing.
func (b *build) freeDisk() {
	rows, err := b.engine.options.State.Containers(b.writing, state.ContainerFilter{BuildID: b.record.ID})
	if err != nil {
		b.logger.Error("the containers of a build that has filled the disk are not found", "error", err)
		return
	}
	for _, row := range rows {
		worker, ok := b.engine.options.Workers.Worker(row.Worker)
		if !ok {
			continue
		}
		if err := b.engine.destroyOn(b.engine.hard, worker, row.Handle); err != nil {
			b.logger.Error("a container of a build that has filled the disk cannot be removed", "error", err)
		}
	}
}

// writeEnd writes the end to the log and the state, before a follower sees it: who
// reads the build after the end of its log finds it finished.
func (b *build) writeEnd(status api.BuildStatus, at time.Time) error {
	commit := func() error {
		// Not hard, whose end would leave open whether the state has it: then the log must not lack it.
		_, err := b.engine.options.State.FinishBuild(context.WithoutCancel(b.writing), b.record.ID, status, at)
		return err
	}
	if b.log == nil || b.log.Ended() {
		return commit()
	}
	err := b.log.Finish(statusEvent(status, at.Unix()), commit)
	if errors.Is(err, eventlog.ErrRemoved) {
		return commit()
	}
	return err
}
