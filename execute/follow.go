package execute

import (
	"context"
	"errors"
	"fmt"

	"midge/api"
	"midge/client"
	"midge/trace"
)

// Outcome is what became of a build.
type Outcome struct {
	BuildID int
	Status  api.BuildStatus
	// TaskStatus is the exit status of the last task that ended; -1 when none did.
	TaskStatus int
	// Messages are why steps errored, in the order in which they did.
	Messages []string
	// Cause is why a step did not succeed, if the server knows more than the exit status.
	Cause *api.CauseEvent
	// LastLines are the end of what the tasks wrote.
	LastLines []string

	tail tail
}

// ExitStatus gives the status to exit with: the task's own, 1 for a build that failed
// without one, 2 for one that errored, 3 for one that was aborted.
func (o Outcome) ExitStatus() int {
	if o.Status == api.StatusSucceeded {
		return 0
	}
	if o.TaskStatus > 0 {
		return o.TaskStatus
	}
	switch o.Status {
	case api.StatusErrored:
		return 2
	case api.StatusAborted:
		return 3
	}
	return 1
}

// Follow tells all events of a build, from its first, until the build has ended. Events
// of kinds that are not known are passed over. When ctx is done its cause is the error.
func Follow(ctx context.Context, c *client.Client, build int, observe func(Happened)) (outcome Outcome, err error) {
	// It takes as long as the build, whose own spans tell more.
	ctx, span := trace.StartSpan(ctx, "watch", trace.Debug)
	defer func() { span.End(err) }()
	outcome = Outcome{BuildID: build, TaskStatus: -1}
	for event, err := range c.Events(ctx, build, "") {
		if err != nil {
			return outcome, err
		}
		data, err := event.Decode()
		var unknown *api.UnknownEventError
		if errors.As(err, &unknown) {
			continue
		}
		if err != nil {
			return outcome, fmt.Errorf("read event %s of build %d: %w", event.ID, build, err)
		}
		outcome.note(data)
		observe(Happened{Event: event, Data: data})
	}
	outcome.LastLines = outcome.tail.lines()
	if !outcome.Status.Finished() {
		return outcome, fmt.Errorf("the log of build %d ends before the build does; ask for its status with: midge builds", build)
	}
	return outcome, nil
}

// note takes in what an event says of the outcome.
func (o *Outcome) note(data api.EventData) {
	switch data := data.(type) {
	case api.StatusEvent:
		o.Status = data.Status
	case api.FinishTaskEvent:
		o.TaskStatus = data.ExitStatus
	case api.LogEvent:
		o.tail.add(data.Output())
	case api.CauseEvent:
		o.Cause = &data
	case api.ErrorEvent:
		o.Messages = append(o.Messages, data.Message)
	}
}
