package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"midge/api"
	"midge/server/eventlog"
	"midge/usage"
)

// usageOf gives the usage of the only task in a log, and the causes.
func usageOf(t *testing.T, events []eventlog.Event) (api.StepUsage, []api.CauseEvent) {
	t.Helper()
	var used []api.StepUsage
	var causes []api.CauseEvent
	for _, event := range events {
		switch data := decode(t, event).(type) {
		case api.StepUsage:
			used = append(used, data)
		case api.CauseEvent:
			causes = append(causes, data)
		}
	}
	if len(used) != 1 {
		t.Fatalf("there are %d events of usage", len(used))
	}
	return used[0], causes
}

func TestUsageOfATask(t *testing.T) {
	s := newServer(t)
	s.options.System = usage.OpenSystem()
	s.start()
	_, events := s.run(script("a", "exit 3", `"container_limits":{"memory":"8MB"}`))
	used, causes := usageOf(t, events)
	if used.Name != "task one-off" || used.Worker != "memory" || used.Origin.ID != "a" {
		t.Errorf("the usage is of %q on %q, of the step %q", used.Name, used.Worker, used.Origin.ID)
	}
	if used.Started.IsZero() || used.Ended.Before(used.Started) {
		t.Errorf("the step went from %v to %v", used.Started, used.Ended)
	}
	if limits := used.ResourceUsage.Limits; limits == nil || *limits.MemoryBytes != 8<<20 {
		t.Errorf("the limits are %+v", limits)
	}
	if len(causes) > 0 {
		t.Errorf("a task of which nothing was killed has causes: %+v", causes)
	}
	var system api.SystemUsage
	for _, event := range events {
		if data, ok := decode(t, event).(api.SystemUsage); ok {
			system = data
		}
	}
	if len(system.SysUsage) == 0 || system.SysUsage[0].CPUStat == nil {
		t.Errorf("the machine was not sampled: %+v", system)
	}
}

// The samples of the machine that an engine has taken outlive it.
func TestSystemUsageOfABuildThatIsResumed(t *testing.T) {
	s := newServer(t)
	s.options.System = usage.OpenSystem()
	s.start()
	id := s.create(script("a", "while [ ! -e /done ]; do sleep 0.01; done")).ID
	isSystem := func(event eventlog.Event) bool { return event.Kind == api.EventSystem }
	before := len(s.await(id, isSystem))
	s.stop()
	s.start()
	s.inContainer(id, "a", "touch /done")
	_, events := s.finished(id)
	if !isSystem(events[before-1]) || !slices.ContainsFunc(events[before:], isSystem) {
		t.Errorf("the samples of one of two engines are not in the log:\n%s", tell(t, events))
	}
}

func TestWhatInterruptsATaskIsTold(t *testing.T) {
	s := newServer(t)
	s.start()
	build := s.create(forever("a"))
	s.await(build.ID, func(event eventlog.Event) bool { return event.Kind == api.EventStartTask })
	s.abort(build.ID)
	_, events := s.finished(build.ID)
	_, causes := usageOf(t, events)
	if len(causes) != 1 || causes[0].Code != api.CauseAborted || !strings.Contains(causes[0].Message, "aborted the build") {
		t.Errorf("the causes of an aborted task are %+v", causes)
	}

	const limit = 5 * time.Second
	_, events = s.run(`{"timeout":{"duration":"` + limit.String() + `","step":` + forever("b") + `}}`)
	_, causes = usageOf(t, events)
	if len(causes) != 1 || causes[0].Code != api.CauseTimeout || !strings.Contains(causes[0].Message, limit.String()) {
		t.Errorf("the causes of a task that took too long are %+v", causes)
	}
}
