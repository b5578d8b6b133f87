package engine

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"midge/api"
	"midge/server/eventlog"
)

// Names of marks in the log: of the build's status, and of a plan how far its step
// has come and up to which byte each stream of its output is logged.
const markStatus = "status"

func markStage(planID string) string { return "step " + planID }

func markExit(planID string) string { return "exit " + planID }

func markUsage(planID string) string { return "usage " + planID }

func markOutput(planID, source string) string { return source + " " + planID }

// statuses are numbered by their index in the mark of the status. It only ever grows.
var statuses = []api.BuildStatus{
	api.StatusPending, api.StatusStarted,
	api.StatusSucceeded, api.StatusFailed, api.StatusErrored, api.StatusAborted,
}

func now() int64 { return time.Now().Unix() }

// logEvent puts an event in the form that the log keeps.
func logEvent(data api.EventData, marks ...eventlog.Mark) eventlog.Event {
	event := api.NewEvent(data)
	return eventlog.Event{Kind: event.Event, Version: event.Version, Data: event.Data, Marks: marks}
}

func statusEvent(status api.BuildStatus, at int64) eventlog.Event {
	return logEvent(api.StatusEvent{Status: status, Time: at},
		eventlog.Mark{Name: markStatus, Value: int64(slices.Index(statuses, status))})
}

// say adds events to the build's log.
func (b *build) say(events ...eventlog.Event) error {
	return b.engine.write(func() error {
		_, err := b.log.Append(events...)
		return err
	})
}

// sayStarted says that the build was started, unless that is in the log.
func (b *build) sayStarted(at int64) error {
	if _, said := b.log.Mark(markStatus); said {
		return nil
	}
	return b.say(statusEvent(api.StatusStarted, at))
}

// loggedOutcome gives the outcome of a build whose log has ended.
func (b *build) loggedOutcome() outcome {
	index, _ := b.log.Mark(markStatus)
	for _, out := range []outcome{succeeded, failed, aborted} {
		if statuses[index] == out.status() {
			return out
		}
	}
	return errored
}

// loggedError gives the message of a step's error event, and whether a task was started
// before that.
func (b *build) loggedError(planID string) (message string, started bool) {
	reader := b.log.From(0)
	for {
		events, err := reader.Next(b.engine.hard)
		if err != nil {
			return err.Error(), started
		}
		for _, event := range events {
			var logged api.ErrorEvent // and what it has in common with the start
			if event.Kind != api.EventError && event.Kind != api.EventStartTask ||
				json.Unmarshal(event.Data, &logged) != nil || logged.Origin.ID != planID {
				continue
			}
			if event.Kind == api.EventError {
				return logged.Message, started
			}
			started = true
		}
	}
}

// report says why a step, or the build itself, did not end by itself.
func (b *build) report(origin api.Origin, err error, marks ...eventlog.Mark) error {
	message := strings.ReplaceAll(err.Error(), "\n", "; ")
	return b.say(logEvent(api.ErrorEvent{Message: message, Origin: origin, Time: now()}, marks...))
}
