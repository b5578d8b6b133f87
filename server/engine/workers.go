package engine

import (
	"context"

	"midge/api"
	"midge/runtime"
	"midge/trace"
)

// WorkerRequest says what a step needs of a worker.
type WorkerRequest struct {
	Platform string
	Tags     []string
	Team     string
	Spec     runtime.ContainerSpec
}

// Workers are the workers that a server has.
type Workers interface {
	// Select gives a worker for a container. When none can ever fit the error says
	// what was asked and what there is. When all that fit are busy it waits, and
	// calls waiting with the reason and how many wait before.
	Select(ctx context.Context, request WorkerRequest, waiting func(reason string, ahead int)) (runtime.Worker, error)
	// Worker gives the worker of that name.
	Worker(name string) (runtime.Worker, bool)
	// Workers gives all, in no order.
	Workers() []runtime.Worker
}

func (t *task) selectWorker(ctx context.Context, spec runtime.ContainerSpec) (worker runtime.Worker, err error) {
	ctx, span := trace.StartSpan(ctx, "select worker")
	defer func() { span.End(err) }()
	request := WorkerRequest{
		Platform: t.config.Platform,
		Tags:     t.plan.Task.Tags,
		Team:     t.record.TeamName,
		Spec:     spec,
	}
	return t.engine.options.Workers.Select(ctx, request, func(reason string, ahead int) {
		span.Set(trace.Reason(reason))
		event := api.WaitingEvent{Time: now(), Origin: t.origin, Reason: reason, Ahead: ahead}
		if err := t.say(logEvent(event)); err != nil && t.engine.hard.Err() == nil {
			t.logger.Error("an event cannot be written", "event", api.EventWaiting, "error", err)
		}
	})
}
