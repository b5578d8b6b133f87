package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"

	"midge/api"
	"midge/runtime"
	"midge/server/eventlog"
	"midge/server/state"
	"midge/trace"
	"midge/usage"
)

// Stages of a task, as the mark of its step has them. After stageEnded comes the
// outcome: stageEnded + failed and so on.
const (
	stageInitialized = 1
	stageSelected    = 2
	stageStarted     = 3
	stageEnded       = 16
)

// task runs a task's command in a container.
type task struct {
	*build
	plan   *api.Plan
	config api.TaskConfig // with what the plan overrides
	origin api.Origin
	handle string // the container's
	dir    string // the working directory
	unmade bool   // the container could not be made
	lost   bool   // the worker no longer has the container
	used   api.StepUsage
}

func newTask(b *build, plan *api.Plan, attempt int) *task {
	t := &task{
		build:  b,
		plan:   plan,
		config: effectiveConfig(plan.Task),
		origin: api.Origin{ID: plan.ID},
	}
	// The time keeps it from being that of a build of the same number whose state was thrown away.
	t.handle = fmt.Sprintf("b%d-%s", b.record.ID, digest(12, b.record.CreateTime, plan.ID, attempt))
	// The same for each run of the task, because caches may have paths in them.
	t.dir = "/tmp/build/" + digest(8, b.record.TeamName, plan.Task.Name)
	return t
}

// digest gives the first n hexadecimal digits of a digest of values.
func digest(n int, values ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", values))
	return hex.EncodeToString(sum[:])[:n]
}

func (t *task) run(ctx context.Context, row *state.Step) (out outcome, err error) {
	ctx, span := trace.StartSpan(ctx, "task "+t.plan.Task.Name, trace.Step(t.plan.Task.Name))
	defer func() {
		if row.Worker != "" {
			span.Set(trace.Worker(row.Worker))
		}
		if row.ExitStatus >= 0 {
			span.Set(trace.ExitStatus(row.ExitStatus))
		}
		span.End(err)
	}()
	if err := t.reach(stageInitialized, api.InitializeTaskEvent{Time: now(), Origin: t.origin}); err != nil {
		return errored, err
	}
	spec, err := t.containerSpec(ctx)
	if err != nil {
		return errored, err
	}
	worker, err := t.worker(ctx, row, spec)
	if err != nil {
		return errored, err
	}
	defer worker.Release()
	container, err := t.container(ctx, worker, spec)
	if err != nil {
		t.unmade = !t.reached(stageStarted)
		return errored, err
	}
	status, err := t.process(ctx, container, row)
	return t.end(ctx, container, row, status, err)
}

// restore makes the outputs of a task that has ended known again, and when its row does
// not say yet that it has, whether its container was made.
func (t *task) restore(ctx context.Context, row state.Step) error {
	if row.Container == "" {
		return nil
	}
	if _, exited := t.log.Mark(markExit(t.plan.ID)); row.State == state.StepStarted && !exited {
		_, started := t.loggedError(t.plan.ID)
		t.unmade = !started
	}
	if t.unmade {
		return nil
	}
	worker, ok := t.engine.options.Workers.Worker(row.Worker)
	if !ok {
		return fmt.Errorf("the worker %s is gone, and with it the outputs of the task %s", row.Worker, t.plan.Task.Name)
	}
	container, err := worker.LookupContainer(ctx, row.Container)
	if err != nil {
		var missing *runtime.NotFoundError
		t.lost = errors.As(err, &missing)
		return err
	}
	return t.registerOutputs(ctx, container)
}

// reach says in the log that the task has come to a stage, unless an engine before
// this one has said it.
func (t *task) reach(stage int64, event api.EventData) error {
	if t.reached(stage) {
		return nil
	}
	return t.say(logEvent(event, eventlog.Mark{Name: markStage(t.plan.ID), Value: stage}))
}

func (t *task) reached(stage int64) bool {
	reached, _ := t.log.Mark(markStage(t.plan.ID))
	return reached >= stage
}

// container gives the task's container.
func (t *task) container(ctx context.Context, worker runtime.Worker, spec runtime.ContainerSpec) (runtime.Container, error) {
	if t.reached(stageStarted) {
		container, err := worker.LookupContainer(t.engaged, t.handle)
		var missing *runtime.NotFoundError
		if t.lost = errors.As(err, &missing); t.lost {
			return nil, fmt.Errorf("the worker %s has lost the container in which the task ran, and with it how the task ended: run it again", worker.Name())
		}
		return container, err
	}
	ctx, span := trace.StartSpan(ctx, "create", trace.Container(t.handle))
	container, err := t.create(ctx, worker, spec)
	span.End(err)
	if err != nil {
		return nil, fmt.Errorf("create the container: %w", err)
	}
	return container, nil
}

func (t *task) create(ctx context.Context, worker runtime.Worker, spec runtime.ContainerSpec) (runtime.Container, error) {
	release, err := t.stream(ctx, worker, &spec)
	if err != nil {
		return nil, err
	}
	defer release()
	spec.Progress = t.sayProgress
	var container runtime.Container
	err = t.engine.operate(worker.Name(), CreateContainer, func() (err error) {
		container, err = worker.FindOrCreateContainer(ctx, spec)
		return err
	})
	return container, err
}

// process runs the task's command, or finds it running, to its end.
func (t *task) process(ctx context.Context, container runtime.Container, row *state.Step) (runtime.ExitStatus, error) {
	event := api.StartTaskEvent{Time: now(), Origin: t.origin, Config: eventConfig(t.config)}
	if err := t.reach(stageStarted, event); err != nil {
		return runtime.ExitStatus{}, err
	}
	listener, environment := t.listen(container)
	process, err := container.Attach(t.engaged, runtime.TaskProcessID)
	var missing *runtime.NotFoundError
	if errors.As(err, &missing) {
		process, err = t.start(ctx, container, row.Worker, environment)
	}
	if err != nil {
		return runtime.ExitStatus{}, errors.Join(err, closeListener(listener))
	}
	ctx, span := trace.StartSpan(ctx, "run")
	received := t.receiveSpans(ctx, span, listener)
	status, err := t.follow(ctx, container, process)
	received()
	if err == nil {
		span.Set(trace.ExitStatus(status.Code))
	}
	t.measure(process, row.Worker, status)
	span.AddStalls(usage.Stalls(t.used))
	span.End(err)
	return status, err
}

func (t *task) start(ctx context.Context, container runtime.Container, worker string, environment []string) (process runtime.Process, err error) {
	ctx, span := trace.StartSpan(ctx, "start")
	spec := t.processSpec()
	spec.Env = append(spec.Env, environment...)
	err = t.engine.operate(worker, StartTask, func() (err error) {
		process, err = container.Run(ctx, spec)
		return err
	})
	if err != nil && ctx.Err() != nil {
		// It may have come as far as to run.
		err = errors.Join(err, container.Stop(t.engaged, 0))
	}
	span.End(err)
	return process, err
}

// end keeps what the task has left, also when it did not end by itself, and says
// how it ended when it did.
func (t *task) end(ctx context.Context, container runtime.Container, row *state.Step, status runtime.ExitStatus, ran error) (outcome, error) {
	if t.engine.hard.Err() != nil {
		return suspended, context.Cause(t.engine.hard)
	}
	_, span := trace.StartSpan(ctx, "collect outputs")
	err := t.registerOutputs(t.force, container)
	if ran == nil {
		err = errors.Join(err, t.keepCaches(container))
	}
	span.End(err)
	out := succeeded
	if ran != nil || err != nil {
		out = errored
	} else if status.Code != 0 {
		out = failed
	}
	if err := errors.Join(ran, err); err != nil {
		return errored, errors.Join(err, t.sayUsage(context.Cause(ctx), status))
	}
	row.ExitStatus = status.Code
	return out, t.sayEnd(out, status)
}

func (t *task) sayEnd(out outcome, status runtime.ExitStatus) error {
	events := t.explain(nil, status)
	finish := api.FinishTaskEvent{Time: now(), ExitStatus: status.Code, Origin: t.origin}
	events = append(events, logEvent(finish,
		eventlog.Mark{Name: markStage(t.plan.ID), Value: stageEnded + int64(out)},
		eventlog.Mark{Name: markExit(t.plan.ID), Value: int64(status.Code)}))
	return t.say(append(events, t.usageEvents()...)...)
}

// remark is a line of midge's own in the task's output.
func (t *task) remark(message string) eventlog.Event {
	origin := api.Origin{ID: t.plan.ID, Source: api.SourceStderr}
	end := "\n"
	if t.hasTerminal() {
		end = "\r\n"
	}
	return logEvent(api.LogEvent{Time: now(), Origin: origin, Payload: "midge: " + message + end})
}

// sayProgress says in the output what takes its time before the command starts.
func (t *task) sayProgress(line string) {
	if err := t.say(t.remark(line)); err != nil && t.engine.hard.Err() == nil {
		t.logger.Error("progress cannot be written", "step", t.plan.ID, "error", err)
	}
}

// keepCaches says so when it cannot: a task does not fail for that.
func (t *task) keepCaches(container runtime.Container) error {
	if len(t.config.Caches) == 0 {
		return nil
	}
	if err := container.KeepCaches(t.force); err != nil && t.force.Err() == nil {
		return t.say(t.remark(fmt.Sprintf("the task's caches cannot be kept: %v", err)))
	}
	return nil
}

func (t *task) registerOutputs(ctx context.Context, container runtime.Container) error {
	for _, output := range t.config.Outputs {
		volume, err := container.Volume(ctx, outputPath(output))
		if err != nil {
			return fmt.Errorf("output %q: %w", output.Name, err)
		}
		name := output.Name
		if mapped, ok := t.plan.Task.OutputMapping[name]; ok {
			name = mapped
		}
		t.artifacts.add(name, volume)
	}
	return nil
}

// inputPath and outputPath give the path of a container's spec.
func inputPath(input api.TaskInput) string {
	if input.Path == "" {
		return path.Clean(input.Name)
	}
	return path.Clean(input.Path)
}

func outputPath(output api.TaskOutput) string {
	if output.Path == "" {
		return path.Clean(output.Name)
	}
	return path.Clean(output.Path)
}
