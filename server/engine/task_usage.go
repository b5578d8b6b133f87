package engine

import (
	"errors"
	"time"

	"midge/api"
	"midge/runtime"
	"midge/server/eventlog"
	"midge/usage"
)

// measure takes down what the process used. That it is not known is no reason for a
// task to fail.
func (t *task) measure(process runtime.Process, worker string, status runtime.ExitStatus) {
	if t.engine.hard.Err() != nil {
		return
	}
	used, err := process.Usage(t.engine.hard)
	if err != nil {
		t.logger.Warn("what a task used is not known", "step", t.plan.ID, "error", err)
	}
	if used == nil {
		return
	}
	t.used = api.StepUsage{
		Time: now(), Origin: t.origin, Name: "task " + t.plan.Task.Name, Worker: worker,
		Started: status.Started, Ended: status.Ended, ResourceUsage: *used,
	}
}

// usageEvents has what the task used, unless that is in the log or not known.
func (t *task) usageEvents() []eventlog.Event {
	if _, said := t.log.Mark(markUsage(t.plan.ID)); said || t.used.Time == 0 {
		return nil
	}
	return []eventlog.Event{logEvent(t.used, eventlog.Mark{Name: markUsage(t.plan.ID), Value: 1})}
}

// sayUsage says what a task used that was interrupted, and what killed it.
func (t *task) sayUsage(interruption error, status runtime.ExitStatus) error {
	events := t.usageEvents()
	if len(events) == 0 {
		return nil
	}
	return t.say(append(t.explain(interruption, status), events...)...)
}

// explain says why a task was killed: as a cause for programs, and, where nobody
// has asked for it, in the output for those who read that.
func (t *task) explain(interruption error, status runtime.ExitStatus) []eventlog.Event {
	ending := usage.Ending{ExitStatus: status.Code, OOMKilled: status.OOMKilled, Usage: t.used}
	if ending.Usage.ResourceUsage.Limits == nil {
		ending.Usage.ResourceUsage.Limits = t.usageLimits()
	}
	ending.DiskUsed, ending.DiskLimit = status.DiskUsed, t.limits().Disk
	code := api.CauseKilled
	switch {
	case status.DiskUsed > 0 && status.Code != 0:
		code = api.CauseDisk
	case status.OOMKilled:
		code = api.CauseMemory
	case isForRoom(interruption):
		return []eventlog.Event{logEvent(api.CauseEvent{Time: now(), Origin: t.origin, Code: api.CauseDisk, Message: interruption.Error()})}
	case errors.Is(interruption, errTimeout):
		code, ending.Timeout = api.CauseTimeout, t.timeLimit()
	case interruption != nil:
		code, ending.Aborted, ending.AbortedBy = api.CauseAborted, true, t.abortedBy()
	case status.Signal == "" && status.Code != 0:
		code = api.CauseProcesses
	}
	message := ending.Explain()
	if message == "" {
		return nil
	}
	cause := logEvent(api.CauseEvent{Time: now(), Origin: t.origin, Code: code, Message: message})
	if interruption != nil {
		return []eventlog.Event{cause}
	}
	return []eventlog.Event{t.remark(message), cause}
}

// usageLimits are the limits that the task was given, for when the worker does not
// tell under which it ran.
func (t *task) usageLimits() *api.UsageLimits {
	limits := &api.UsageLimits{}
	if memory := t.limits().Memory; memory > 0 {
		limits.MemoryBytes = &memory
	}
	return limits
}

// timeLimit is that of the innermost timeout around the task, which is the one that
// ran out, or another that is as short.
func (t *task) timeLimit() time.Duration {
	limit := time.Duration(0)
	for plan := range t.record.Plan.All() {
		if plan.Timeout == nil {
			continue
		}
		for inner := range plan.Timeout.Step.All() {
			if inner.ID != t.plan.ID {
				continue
			}
			if duration, err := time.ParseDuration(plan.Timeout.Duration); err == nil && (limit == 0 || duration < limit) {
				limit = duration
			}
		}
	}
	return limit
}

// abortedBy is who has asked for the build to be aborted, "" when that cannot be read.
func (t *task) abortedBy() string {
	record, err := t.engine.options.State.Build(t.writing, t.record.ID)
	if err != nil {
		t.logger.Warn("who has aborted the build is not known", "error", err)
	}
	return record.AbortedBy
}
