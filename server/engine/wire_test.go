package engine

import (
	"regexp"
	"strings"
	"testing"

	"midge/api"
	"midge/server/eventlog"
)

// What a Concourse 8.0.0 sent for these plans of fly, less the times. Its selected
// worker was called peer.
var recordings = []struct {
	name, plan, events string
}{
	{
		name: "a task that succeeds",
		plan: `{"id":"6b020932","do":[{"id":"6b020931","in_parallel":{"steps":null}},{"id":"6b020930","task":{"name":"one-off","privileged":false,"hermetic":false,"config":{"platform":"linux","rootfs_uri":"raw:///images/busybox/rootfs","container_limits":{"cpu":512,"memory":104857600},"params":{"EMPTY":"","GREETING":"hello"},"run":{"path":"/bin/sh","args":["-ec","echo out; echo err \u003e\u00262; echo $GREETING; mkdir d; echo x \u003e ../out/f; echo \"$@\"","--","extra","args"],"dir":"proj"},"inputs":[{"name":"proj","optional":true}],"outputs":[{"name":"proj"},{"name":"out"}],"caches":[{"path":"cache"}]}}}]}`,
		events: `
{"data":{"status":"started","time":0},"event":"status","version":"1.0","event_id":"0"}
{"data":{"time":0,"origin":{"id":"6b020930"},"config":{"platform":"","image":"","run":{"path":"","args":null,"dir":""},"inputs":null}},"event":"initialize-task","version":"4.0","event_id":"1"}
{"data":{"time":0,"origin":{"id":"6b020930"},"selected_worker":"memory"},"event":"selected-worker","version":"1.0","event_id":"2"}
{"data":{"time":0,"origin":{"id":"6b020930"},"config":{"platform":"linux","image":"raw:///images/busybox/rootfs","run":{"path":"/bin/sh","args":["-ec","echo out; echo err \u003e\u00262; echo $GREETING; mkdir d; echo x \u003e ../out/f; echo \"$@\"","--","extra","args"],"dir":"proj"},"inputs":[{"name":"proj","path":""}]}},"event":"start-task","version":"5.0","event_id":"3"}
{"data":{"time":0,"origin":{"id":"6b020930","source":"stdout"},"payload":"out\r\nerr\r\nhello\r\nextra args\r\n"},"event":"log","version":"5.1","event_id":"4"}
{"data":{"time":0,"exit_status":0,"origin":{"id":"6b020930"}},"event":"finish-task","version":"4.0","event_id":"5"}
{"data":{"status":"succeeded","time":0},"event":"status","version":"1.0","event_id":"6"}`,
	},
	{
		name: "a task that fails",
		plan: `{"id":"6b020935","ensure":{"step":{"id":"6b020933","do":[{"id":"6b020932","in_parallel":{"steps":null}},{"id":"6b020931","task":{"name":"one-off","privileged":false,"hermetic":false,"config":{"platform":"linux","rootfs_uri":"raw:///images/busybox/rootfs","run":{"path":"/bin/sh","args":["-c","echo partial \u003e out/f; exit 3"]},"outputs":[{"name":"out"}]}}}]},"ensure":{"id":"6b020934","in_parallel":{"steps":[{"id":"6b020930","artifact_output":{"name":"out"}}]}}}}`,
		events: `
{"data":{"status":"started","time":0},"event":"status","version":"1.0","event_id":"0"}
{"data":{"time":0,"origin":{"id":"6b020931"},"config":{"platform":"","image":"","run":{"path":"","args":null,"dir":""},"inputs":null}},"event":"initialize-task","version":"4.0","event_id":"1"}
{"data":{"time":0,"origin":{"id":"6b020931"},"selected_worker":"memory"},"event":"selected-worker","version":"1.0","event_id":"2"}
{"data":{"time":0,"origin":{"id":"6b020931"},"config":{"platform":"linux","image":"raw:///images/busybox/rootfs","run":{"path":"/bin/sh","args":["-c","echo partial \u003e out/f; exit 3"],"dir":""},"inputs":null}},"event":"start-task","version":"5.0","event_id":"3"}
{"data":{"time":0,"exit_status":3,"origin":{"id":"6b020931"}},"event":"finish-task","version":"4.0","event_id":"4"}
{"data":{"status":"failed","time":0},"event":"status","version":"1.0","event_id":"5"}`,
	},
	{
		name: "an executable that does not exist",
		plan: `{"id":"6b020934","do":[{"id":"6b020933","in_parallel":{"steps":null}},{"id":"6b020932","task":{"name":"one-off","privileged":false,"hermetic":false,"config":{"platform":"linux","rootfs_uri":"raw:///images/busybox/rootfs","run":{"path":"/no/such"}}}}]}`,
		events: `
{"data":{"status":"started","time":0},"event":"status","version":"1.0","event_id":"0"}
{"data":{"time":0,"origin":{"id":"6b020932"},"config":{"platform":"","image":"","run":{"path":"","args":null,"dir":""},"inputs":null}},"event":"initialize-task","version":"4.0","event_id":"1"}
{"data":{"time":0,"origin":{"id":"6b020932"},"selected_worker":"memory"},"event":"selected-worker","version":"1.0","event_id":"2"}
{"data":{"time":0,"origin":{"id":"6b020932"},"config":{"platform":"linux","image":"raw:///images/busybox/rootfs","run":{"path":"/no/such","args":null,"dir":""},"inputs":null}},"event":"start-task","version":"5.0","event_id":"3"}
{"data":{"message":"MESSAGE","origin":{"id":"6b020932"},"time":0},"event":"error","version":"4.1","event_id":"4"}
{"data":{"status":"errored","time":0},"event":"status","version":"1.0","event_id":"5"}`,
	},
	{
		name: "no worker for the platform",
		plan: `{"id":"6b020936","do":[{"id":"6b020935","in_parallel":{"steps":null}},{"id":"6b020934","task":{"name":"one-off","privileged":false,"hermetic":false,"config":{"platform":"windows","run":{"path":"cmd"}}}}]}`,
		events: `
{"data":{"status":"started","time":0},"event":"status","version":"1.0","event_id":"0"}
{"data":{"time":0,"origin":{"id":"6b020934"},"config":{"platform":"","image":"","run":{"path":"","args":null,"dir":""},"inputs":null}},"event":"initialize-task","version":"4.0","event_id":"1"}
{"data":{"message":"MESSAGE","origin":{"id":"6b020934"},"time":0},"event":"error","version":"4.1","event_id":"2"}
{"data":{"status":"errored","time":0},"event":"status","version":"1.0","event_id":"3"}`,
	},
}

func TestEventsAreAsRecorded(t *testing.T) {
	for _, recording := range recordings {
		t.Run(recording.name, func(t *testing.T) {
			s := newServer(t)
			s.start()
			_, events := s.run(recording.plan)
			checkText(t, onWire(joinLogs(t, events)), recording.events)
		})
	}
}

func TestEventsOfAnAbort(t *testing.T) {
	s := newServer(t)
	s.start()
	build := s.create(`{"id":"6b020945","task":{"name":"one-off","privileged":false,"hermetic":false,"config":{"platform":"linux","rootfs_uri":"raw:///images/busybox/rootfs","run":{"path":"/bin/sh","args":["-c","sleep 1000000"]}}}}`)
	s.await(build.ID, func(event eventlog.Event) bool { return event.Kind == "start-task" })
	s.abort(build.ID)
	_, events := s.finished(build.ID)
	checkText(t, onWire(events[4:]), `
{"data":{"message":"interrupted","origin":{"id":"6b020945"},"time":0},"event":"error","version":"4.1","event_id":"4"}
{"data":{"status":"aborted","time":0},"event":"status","version":"1.0","event_id":"5"}`)
}

var (
	timePattern    = regexp.MustCompile(`"time":[0-9]+`)
	messagePattern = regexp.MustCompile(`"message":"([^"\\]|\\.)*"`)
)

// onWire gives events as a follower gets them, a line each, less times and the
// wording of errors, which is ours, and less the events that only midge has.
func onWire(events []eventlog.Event) string {
	var lines []string
	hidden := int64(0)
	for _, event := range events {
		if event.Kind == api.EventUsage || event.Kind == api.EventCause {
			hidden++
			continue
		}
		event.ID -= hidden
		line := timePattern.ReplaceAllString(string(event.AppendEnvelope(nil)), `"time":0`)
		if !strings.Contains(line, `"message":"interrupted"`) {
			line = messagePattern.ReplaceAllString(line, `"message":"MESSAGE"`)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
