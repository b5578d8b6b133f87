package engine

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"midge/api"
	"midge/runtime"
	"midge/server/state"
	"midge/trace"
)

// worker gives the worker that the task is on, or selects one. The caller releases it.
func (t *task) worker(ctx context.Context, row *state.Step, spec runtime.ContainerSpec) (*runtime.Claim, error) {
	claim, err := t.claim(ctx, row, spec)
	if err != nil {
		return nil, err
	}
	err = t.reach(stageSelected, api.SelectedWorkerEvent{Time: now(), Origin: t.origin, Worker: claim.Name()})
	if err != nil {
		claim.Release()
		return nil, err
	}
	return claim, nil
}

func (t *task) claim(ctx context.Context, row *state.Step, spec runtime.ContainerSpec) (*runtime.Claim, error) {
	if row.Worker != "" {
		if claim, ok := t.claims[t.handle]; ok {
			return claim, nil
		}
		return nil, fmt.Errorf("the worker %s, on which the task was, is gone", row.Worker)
	}
	claim, err := t.selectWorker(ctx, row, spec)
	if err != nil {
		return nil, err
	}
	row.Worker, row.Container = claim.Name(), t.handle
	// The container's row is written first, so that there is never one that no row names.
	err = t.engine.write(func() error {
		return t.engine.options.State.SaveStep(t.writing, *row, t.containerRow(claim.Name()))
	})
	if err != nil {
		claim.Release()
		return nil, err
	}
	return claim, nil
}

func (t *task) selectWorker(ctx context.Context, row *state.Step, spec runtime.ContainerSpec) (claim *runtime.Claim, err error) {
	ctx, span := trace.StartSpan(ctx, "select worker")
	defer func() {
		if err == nil {
			span.Set(trace.Worker(claim.Name()))
		}
		span.End(err)
	}()
	request := runtime.WorkerRequest{
		Platform: t.config.Platform,
		Tags:     t.plan.Task.Tags,
		Team:     t.record.TeamName,
		Since:    row.StartedAt,
		Placed:   func() { t.engine.places.found(t.record.ID, t.plan.ID) },
	}
	for _, artifact := range artifactsOf(&spec) {
		request.Inputs = append(request.Inputs, *artifact)
	}
	kept := false
	return t.engine.options.Workers.Select(ctx, request, func(reason string, ahead int) {
		if !kept {
			kept = true
			t.keepPlace(*row)
		}
		span.Set(trace.Reason(reason))
		event := api.WaitingEvent{Time: now(), Origin: t.origin, Reason: reason, Ahead: ahead}
		if err := t.say(logEvent(event)); err != nil && t.engine.hard.Err() == nil {
			t.logger.Error("an event cannot be written", "event", api.EventWaiting, "error", err)
		}
	})
}

// keepPlace writes since when the step waits, for the next engine.
func (t *task) keepPlace(row state.Step) {
	err := t.engine.write(func() error { return t.engine.options.State.SaveStep(t.writing, row) })
	if err != nil && t.engine.hard.Err() == nil {
		t.logger.Error("a place in the queue for workers would not outlive the server", "step", t.plan.ID, "error", err)
	}
}

// claimAgain claims the workers of the tasks that an earlier engine has left, by
// the handles of their containers, before anybody else may have them. Those that
// are gone are left out.
func (e *Engine) claimAgain(ctx context.Context, buildID int) (map[string]*runtime.Claim, error) {
	rows, err := e.options.State.Containers(ctx, state.ContainerFilter{BuildID: buildID})
	if err != nil {
		return nil, err
	}
	claims := make(map[string]*runtime.Claim)
	for _, row := range rows {
		if !row.FinishedAt.IsZero() {
			continue
		}
		claim, err := e.options.Workers.Claim(row.Worker)
		if missing := (*runtime.NotFoundError)(nil); errors.As(err, &missing) {
			continue
		}
		if err != nil {
			return nil, err
		}
		claims[row.Handle] = claim
	}
	return claims, nil
}

// stream replaces the artifacts of a spec by what the worker has in their place,
// and sends there what it lacks. The copies stay at least until release is called.
func (t *task) stream(ctx context.Context, worker runtime.Worker, spec *runtime.ContainerSpec) (release func(), err error) {
	artifacts := artifactsOf(spec)
	releases := make([]func(), len(artifacts))
	release = func() {
		for _, release := range releases {
			if release != nil {
				release()
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, artifact := range artifacts {
		group.Go(func() (err error) {
			t.engine.copies.use((*artifact).Handle())
			*artifact, releases[i], err = t.engine.copies.streamer.On(ctx, worker, *artifact)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// artifactsOf gives where a spec has its artifacts.
func artifactsOf(spec *runtime.ContainerSpec) []*runtime.Artifact {
	var artifacts []*runtime.Artifact
	if spec.Image.Artifact != nil {
		artifacts = append(artifacts, &spec.Image.Artifact)
	}
	for i := range spec.Inputs {
		artifacts = append(artifacts, &spec.Inputs[i].Artifact)
	}
	return artifacts
}
