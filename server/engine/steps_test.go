package engine

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"midge/api"
	"midge/server/eventlog"
	"midge/server/state"
)

// anAbort is a request that is no other one's repetition.
func anAbort() state.Abort {
	return state.Abort{By: "tester", Key: rand.Text(), At: time.Now()}
}

func (s *server) abort(id int) {
	s.t.Helper()
	if noted, err := s.engine.Abort(s.t.Context(), id, anAbort()); err != nil || !noted {
		s.t.Fatalf("abort: %v, %v", noted, err)
	}
}

// joinLogs puts events of consecutive output of a stream together, whose number
// depends on time.
func joinLogs(t *testing.T, events []eventlog.Event) []eventlog.Event {
	t.Helper()
	var joined []eventlog.Event
	var last api.LogEvent
	for _, event := range events {
		log, isLog := decode(t, event).(api.LogEvent)
		if isLog && last.Origin == log.Origin {
			log.Payload = last.Payload + log.Payload
			joined = joined[:len(joined)-1]
		}
		if isLog {
			event = logEvent(log)
		}
		last = log
		event.ID = int64(len(joined))
		joined = append(joined, event)
	}
	return joined
}

// Plans of steps with a known outcome.
var (
	good = script("good", "echo good")
	bad  = script("bad", "exit 1")
	ugly = `{"id":"ugly","task":{"name":"ugly","config":{"platform":"none","run":{"path":"x"}}}}`
)

func TestSteps(t *testing.T) {
	next := func(id string) string { return script(id, "true") }
	tests := []struct {
		name, plan string
		status     api.BuildStatus
		ran        string // ids of tasks, in their order, but slow: its time may be over before it begins
	}{
		{"do of nothing", `{"do":[]}`, "succeeded", ""},
		{"do", `{"do":[` + good + `,` + next("a") + `]}`, "succeeded", "good a"},
		{"do stops at a failure", `{"do":[` + bad + `,` + next("a") + `]}`, "failed", "bad"},
		{"do stops at an error", `{"do":[` + ugly + `,` + next("a") + `]}`, "errored", "ugly"},

		{"in_parallel of nothing", `{"in_parallel":{"steps":[]}}`, "succeeded", ""},
		{"in_parallel goes on after a failure", `{"in_parallel":{"limit":1,"steps":[` + bad + `,` + good + `]}}`, "failed", "bad good"},
		{"in_parallel errors before it fails", `{"in_parallel":{"limit":1,"steps":[` + bad + `,` + ugly + `]}}`, "errored", "bad ugly"},
		{"in_parallel with fail_fast begins nothing after a failure", `{"in_parallel":{"limit":1,"fail_fast":true,"steps":[` + bad + `,` + good + `]}}`, "failed", "bad"},

		{"ensure after success", `{"ensure":{"step":` + good + `,"ensure":` + next("a") + `}}`, "succeeded", "good a"},
		{"ensure after failure", `{"ensure":{"step":` + bad + `,"ensure":` + next("a") + `}}`, "failed", "bad a"},
		{"ensure after error", `{"ensure":{"step":` + ugly + `,"ensure":` + next("a") + `}}`, "errored", "ugly a"},
		{"ensure that fails", `{"ensure":{"step":` + good + `,"ensure":` + bad + `}}`, "failed", "good bad"},
		{"ensure that errors", `{"ensure":{"step":` + bad + `,"ensure":` + ugly + `}}`, "errored", "bad ugly"},

		{"on_success after success", `{"on_success":{"step":` + good + `,"on_success":` + bad + `}}`, "failed", "good bad"},
		{"on_success after failure", `{"on_success":{"step":` + bad + `,"on_success":` + good + `}}`, "failed", "bad"},
		{"on_success after error", `{"on_success":{"step":` + ugly + `,"on_success":` + good + `}}`, "errored", "ugly"},

		{"on_failure after success", `{"on_failure":{"step":` + good + `,"on_failure":` + bad + `}}`, "succeeded", "good"},
		{"on_failure after failure", `{"on_failure":{"step":` + bad + `,"on_failure":` + good + `}}`, "failed", "bad good"},
		{"on_failure after error", `{"on_failure":{"step":` + ugly + `,"on_failure":` + good + `}}`, "errored", "ugly"},
		{"on_failure that errors", `{"on_failure":{"step":` + bad + `,"on_failure":` + ugly + `}}`, "errored", "bad ugly"},

		{"on_error after success", `{"on_error":{"step":` + good + `,"on_error":` + bad + `}}`, "succeeded", "good"},
		{"on_error after failure", `{"on_error":{"step":` + bad + `,"on_error":` + good + `}}`, "failed", "bad"},
		{"on_error after error", `{"on_error":{"step":` + ugly + `,"on_error":` + good + `}}`, "errored", "ugly good"},

		{"on_abort after success", `{"on_abort":{"step":` + good + `,"on_abort":` + bad + `}}`, "succeeded", "good"},
		{"on_abort after failure", `{"on_abort":{"step":` + bad + `,"on_abort":` + good + `}}`, "failed", "bad"},

		{"try of success", `{"try":{"step":` + good + `}}`, "succeeded", "good"},
		{"try of failure", `{"do":[{"try":{"step":` + bad + `}},` + next("a") + `]}`, "succeeded", "bad a"},
		{"try of error", `{"do":[{"try":{"step":` + ugly + `}},` + next("a") + `]}`, "succeeded", "ugly a"},

		{"retry up to success", `{"retry":[` + bad + `,` + good + `,` + next("a") + `]}`, "succeeded", "bad good"},
		{"retry after error", `{"retry":[` + ugly + `,` + good + `]}`, "succeeded", "ugly good"},
		{"retry in vain", `{"retry":[` + ugly + `,` + bad + `]}`, "failed", "ugly bad"},

		{"timeout that is not reached", `{"timeout":{"duration":"1h","step":` + good + `}}`, "succeeded", "good"},
		{"timeout of what fails", `{"timeout":{"duration":"1h","step":` + bad + `}}`, "failed", "bad"},
		{"timeout that is over", `{"timeout":{"duration":"1ms","step":` + script("slow", "sleep 1000000") + `}}`, "failed", ""},
		{"try in a timeout that is over", `{"timeout":{"duration":"1ms","step":{"try":{"step":` + script("slow", "sleep 1000000") + `}}}}`, "succeeded", ""},
		{"on_error in a timeout that is over", `{"timeout":{"duration":"1ms","step":{"on_error":{"step":` + script("slow", "sleep 1000000") + `,"on_error":` + good + `}}}}`, "failed", "good"},
		{"on_failure of a timeout that is over", `{"on_failure":{"step":{"timeout":{"duration":"1ms","step":` + script("slow", "sleep 1000000") + `}},"on_failure":` + good + `}}`, "failed", "good"},
		{"retry of a timeout that is over", `{"retry":[{"timeout":{"duration":"1ms","step":` + script("slow", "sleep 1000000") + `}},` + good + `]}`, "succeeded", "good"},
	}
	s := newServer(t)
	s.start()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			build, events := s.run(test.plan)
			if build.Status != test.status {
				t.Errorf("the build has %s, want %s", build.Status, test.status)
			}
			checkBegan(t, events, test.ran)
		})
	}
}

// checkBegan checks the ids of the tasks that began, in their order, but for slow.
func checkBegan(t *testing.T, events []eventlog.Event, want string) {
	t.Helper()
	var ids []string
	for _, event := range events {
		if e, ok := decode(t, event).(api.InitializeTaskEvent); ok && e.Origin.ID != "slow" {
			ids = append(ids, e.Origin.ID)
		}
	}
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("what began is %q, want %q", got, want)
	}
}
