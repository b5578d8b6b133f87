package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"midge/api"
	"midge/server"
	"midge/server/servertest"
)

// contract replays what fly sent to a Concourse to a server of ours, and compares
// the answers with those of the Concourse.
type contract struct {
	*user
	ids map[string]string // of builds and artifacts, as recorded: as they are here
}

func newContract(t *testing.T) *contract {
	t.Helper()
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		config.ConcourseVersion, config.ClusterName = "8.0.0", "example"
	}})
	return &contract{testUser(t, s), map[string]string{}}
}

// replay sends the recorded requests and checks the answers.
func (c *contract) replay(exchanges []exchange) {
	c.t.Helper()
	for _, e := range exchanges {
		method, path := e.request.methodAndPath()
		if !c.t.Run(fmt.Sprintf("%s %s", method, path), func(t *testing.T) { c.exchange(t, e) }) {
			return
		}
	}
}

var (
	buildPath    = regexp.MustCompile(`/builds/(\d+)`)
	artifactPath = regexp.MustCompile(`/artifacts/(\d+)`)
	artifactID   = regexp.MustCompile(`"artifact_id":(\d+)`)
	ownID        = regexp.MustCompile(`^\{"id":(\d+)`)
)

// here puts the ids of this server in the place of recorded ones.
func (c *contract) here(kind string, pattern *regexp.Regexp, text string) string {
	return pattern.ReplaceAllStringFunc(text, func(match string) string {
		id := pattern.FindStringSubmatch(match)[1]
		if own, ok := c.ids[kind+id]; ok {
			return strings.Replace(match, id, own, 1)
		}
		return match
	})
}

func (c *contract) exchange(t *testing.T, e exchange) {
	method, path := e.request.methodAndPath()
	path = c.here("artifact", artifactPath, c.here("build", buildPath, path))
	body := c.here("artifact", artifactID, e.request.body)
	if strings.HasSuffix(body, "bytes of gzip>") {
		body = string(gzipped(t, tarOf(t, map[string]string{"README": "hello\n"})))
	}
	header := map[string]string{}
	for name, value := range e.request.header {
		if name != "Authorization" || !strings.HasPrefix(value, "Bearer") {
			header[name] = value
		}
	}
	if strings.HasPrefix(body, "grant_type=") {
		body = strings.Replace(body, "password=test", "password="+servertest.Password, 1)
	}
	response := c.open(method, path, header, strings.NewReader(body))
	got := readAll(t, response)
	if want := e.response.status(t); response.StatusCode != want {
		t.Fatalf("got status %d, recorded was %d: %s", response.StatusCode, want, got)
	}
	for name, want := range e.response.header {
		if value := response.Header.Get(name); value != want {
			t.Errorf("got %s: %q, recorded was %q", name, value, want)
		}
	}
	c.checkBody(t, response.Header.Get("Content-Type"), got, e.response.body)
	c.remember(path, got, e.response.body)
}

// remember learns which id here is which in the recording.
func (c *contract) remember(path, got, want string) {
	own, recorded := ownID.FindStringSubmatch(got), ownID.FindStringSubmatch(want)
	if own == nil || recorded == nil {
		own, recorded = ownID.FindStringSubmatch(strings.TrimPrefix(got, "[")), ownID.FindStringSubmatch(strings.TrimPrefix(want, "["))
	}
	if own == nil || recorded == nil {
		return
	}
	kind := "build"
	if strings.Contains(path, "artifacts") {
		kind = "artifact"
	}
	c.ids[kind+recorded[1]] = own[1]
}

func (c *contract) checkBody(t *testing.T, contentType, got, want string) {
	t.Helper()
	switch {
	case want == "":
	case strings.HasPrefix(contentType, "text/event-stream"):
		checkEvents(t, got, want)
	case strings.HasSuffix(want, "bytes of gzip>"):
		if !strings.HasPrefix(got, "\x1f\x8b") {
			t.Errorf("the body begins with %q, recorded was gzip", got[:min(len(got), 10)])
		}
	default:
		for _, line := range jsonDifferences(got, want) {
			t.Error(line)
		}
	}
}

// streamed is one event of a stream of events.
type streamed struct{ id, name, data string }

func parseStream(t *testing.T, text string) []streamed {
	t.Helper()
	var events []streamed
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		var event streamed
		for line := range strings.SplitSeq(block, "\n") {
			switch name, value, _ := strings.Cut(line, ":"); name {
			case "id":
				event.id = strings.TrimPrefix(value, " ")
			case "event":
				event.name = strings.TrimPrefix(value, " ")
			case "data":
				event.data = strings.TrimPrefix(value, " ")
			}
		}
		events = append(events, event)
	}
	return events
}

// checkEvents compares streams of events. The numbers of ours may have gaps, where
// events are that only midge knows.
func checkEvents(t *testing.T, got, want string) {
	t.Helper()
	gotEvents, wantEvents := joinLogs(t, parseStream(t, got)), parseStream(t, want)
	// Some recordings end when fly has seen the last status.
	if wantEvents[len(wantEvents)-1].name != "end" {
		wantEvents = append(wantEvents, streamed{name: "end"})
	}
	if len(gotEvents) != len(wantEvents) {
		t.Fatalf("got %d events, recorded were %d:\n%s", len(gotEvents), len(wantEvents), got)
	}
	for i, event := range gotEvents {
		if event.name != wantEvents[i].name {
			t.Errorf("event %d is %q, recorded was %q", i, event.name, wantEvents[i].name)
		}
		if event.name == "end" {
			continue
		}
		checkEnvelope(t, event, wantEvents[i].data)
	}
}

// joinLogs makes one event of log events that follow each other: output may come in
// any number of pieces.
func joinLogs(t *testing.T, events []streamed) []streamed {
	t.Helper()
	var joined []streamed
	var last *api.LogEvent
	for _, event := range events {
		var envelope api.Event
		var log api.LogEvent
		if event.name == "event" {
			decode(t, event.data, &envelope)
		}
		if envelope.Event != api.EventLog {
			joined, last = append(joined, event), nil
			continue
		}
		decode(t, string(envelope.Data), &log)
		if last == nil {
			last = &log
			joined = append(joined, event)
			continue
		}
		last.Payload += log.Payload
		joined[len(joined)-1].data = encode(t, api.Event{
			Data: json.RawMessage(encode(t, last)), Event: api.EventLog, Version: envelope.Version, ID: joined[len(joined)-1].id,
		})
	}
	return joined
}

func decode(t *testing.T, text string, value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

func encode(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkEnvelope compares an event with the recorded one. Its two ids must be the same,
// not those of the recording.
func checkEnvelope(t *testing.T, event streamed, want string) {
	t.Helper()
	var envelope struct {
		ID string `json:"event_id"`
	}
	decode(t, event.data, &envelope)
	if envelope.ID != event.id {
		t.Errorf("event_id is %q in event %q", envelope.ID, event.id)
	}
	for _, line := range jsonDifferences(event.data, want) {
		if !strings.HasPrefix(line, ".event_id ") {
			t.Errorf("event %s: %s", event.id, line)
		}
	}
}

func TestContractLogin(t *testing.T) {
	newContract(t).replay(recorded(t, "login.txt", "login -c URL -u USER -p PASSWORD"))
}

func TestContractExecute(t *testing.T) {
	for _, section := range []string{
		"input uploaded, task succeeds, output downloaded (config has params, caches, container_limits, run.dir; extra args after --)",
		"task exits 3; its output is still collected",
		"executable not found",
		"no worker for the platform",
		"events of a build that does not exist",
	} {
		t.Run(section, func(t *testing.T) { newContract(t).replay(recorded(t, "execute.txt", section)) })
	}
}

func TestContractAbort(t *testing.T) {
	c := newContract(t)
	plan := `{"id":"6b020946","do":[{"id":"6b020945","task":{"name":"one-off","privileged":false,"hermetic":false,"config":{"platform":"linux","rootfs_uri":"raw:///images/busybox/rootfs","run":{"path":"/bin/sh","args":["-c","sleep 120"]}}}}]}`
	var build struct{ ID int }
	decode(t, c.want(http.StatusCreated, "POST", "/api/v1/teams/main/builds", plan), &build)
	c.ids["build29"] = fmt.Sprint(build.ID)
	waitForEvent(t, c.user, build.ID, "start-task")
	c.replay(recorded(t, "execute.txt", "abort"))
}

// waitForEvent reads a build's events until one of that kind comes.
func waitForEvent(t *testing.T, u *user, build int, kind string) {
	t.Helper()
	waitForEvents(t, u, build, `"event":"`+kind+`"`)
}

// waitForEvents waits until a build's events have a text in them.
func waitForEvents(t *testing.T, u *user, build int, text string) {
	t.Helper()
	response := u.open("GET", fmt.Sprintf("/api/v1/builds/%d/events", build), nil, nil)
	defer response.Body.Close()
	var seen bytes.Buffer
	for !bytes.Contains(seen.Bytes(), []byte(text)) {
		if _, err := io.CopyN(&seen, response.Body, 1); err != nil {
			t.Fatalf("the events ended before %s: %v: %s", text, err, &seen)
		}
	}
}

func TestContractContainers(t *testing.T) {
	c := newContract(t)
	plan := `{"id":"1","task":{"name":"one-off","privileged":false,"config":{"platform":"linux","rootfs_uri":"raw:///images/busybox/rootfs","run":{"path":"/bin/sh","args":["-c","echo up; sleep 120"]}}}}`
	var build struct{ ID int }
	decode(t, c.want(http.StatusCreated, "POST", "/api/v1/teams/main/builds", plan), &build)
	waitForEvent(t, c.user, build.ID, "log")
	for _, e := range recorded(t, "hijack.txt", "which containers") {
		e.request.first = strings.Replace(e.request.first, "build_id=29", fmt.Sprintf("build_id=%d", build.ID), 1)
		t.Run(e.request.first, func(t *testing.T) { c.exchange(t, e) })
	}
	c.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
}

func TestContractHijack(t *testing.T) {
	c := newContract(t)
	build := c.build(script("echo up; sleep 1000"))
	waitForEvent(t, c.user, build.ID, api.EventLog)
	var containers []api.Container
	decode(t, c.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/main/containers?build_id=%d", build.ID), ""), &containers)
	for _, section := range []string{"a command without a TTY, exit status 7", "stdin piped in"} {
		t.Run(section, func(t *testing.T) {
			sent, want := recordedFrames(t, "hijack.txt", section)
			for i := range sent {
				sent[i] = strings.ReplaceAll(sent[i], "/tmp/build/b1dda4c3", containers[0].WorkingDirectory)
			}
			path := fmt.Sprintf("/api/v1/teams/main/containers/%s/hijack", containers[0].ID)
			got := exchangeFrames(t, c.user, path, sent)
			if !slices.Equal(sorted(got), sorted(want)) {
				t.Errorf("got frames %q, recorded were %q", got, want)
			}
			if got[len(got)-1] != want[len(want)-1] {
				t.Errorf("the last frame is %q, recorded was %q", got[len(got)-1], want[len(want)-1])
			}
		})
	}
	c.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// recordedFrames gives what a client and a server said over a websocket.
func recordedFrames(t *testing.T, file, section string) (sent, answered []string) {
	t.Helper()
	for line := range strings.SplitSeq(sectionOf(t, file, section), "\n") {
		if frame, ok := strings.CutPrefix(line, "client> MessageText "); ok {
			sent = append(sent, frame)
		}
		if frame, ok := strings.CutPrefix(line, "server> MessageText "); ok {
			answered = append(answered, frame)
		}
	}
	return sent, answered
}

// exchangeFrames sends frames over a websocket, and gives those that come until it is closed.
func exchangeFrames(t *testing.T, u *user, path string, sent []string) []string {
	t.Helper()
	socket, _, err := websocket.Dial(t.Context(), u.url+path, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + u.token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	for _, frame := range sent {
		if err := socket.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	var frames []string
	for {
		_, frame, err := socket.Read(t.Context())
		if err != nil {
			return frames
		}
		frames = append(frames, strings.TrimSpace(string(frame)))
	}
}

// Lists are compared by their first element, as they have what happened before.
func TestContractLists(t *testing.T) {
	c := newContract(t)
	c.replay(recorded(t, "execute.txt", "task exits 3; its output is still collected"))
	for _, section := range []string{"builds", "containers", "workers", "userinfo"} {
		t.Run(section, func(t *testing.T) {
			for _, e := range recorded(t, "lists.txt", section) {
				_, path := e.request.methodAndPath()
				got := c.want(e.response.status(t), "GET", path, "")
				compareFirst(t, got, e.response.body)
			}
		})
	}
}

func TestContractBuild(t *testing.T) {
	c := newContract(t)
	build := c.build(script("echo up; sleep 1000"))
	waitForEvent(t, c.user, build.ID, api.EventLog)
	c.ids["build30"] = fmt.Sprint(build.ID)
	c.replay(recorded(t, "lists.txt", "a build"))
	c.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
}

// Of the recorded list, which is cut short, the first volume is that of an output.
func TestContractVolumes(t *testing.T) {
	c := newContract(t)
	c.replay(recorded(t, "execute.txt", "task exits 3; its output is still collected"))
	e := recorded(t, "lists.txt", "volumes")[0]
	_, path := e.request.methodAndPath()
	var volumes []map[string]any
	decode(t, c.want(e.response.status(t), "GET", path, ""), &volumes)
	i := slices.IndexFunc(volumes, func(volume map[string]any) bool { return strings.HasSuffix(fmt.Sprint(volume["path"]), "/out") })
	if i < 0 {
		t.Fatalf("there is no volume of the output among %v", volumes)
	}
	var want map[string]any
	first, _, _ := strings.Cut(strings.TrimPrefix(e.response.body, "["), "},")
	decode(t, first+"}", &want)
	var containers []api.Container
	decode(t, c.want(http.StatusOK, "GET", "/api/v1/teams/main/containers", ""), &containers)
	want["container_handle"] = containers[0].ID
	for _, line := range differences("", volumes[i], any(want)) {
		t.Error(line)
	}
}

// A shell on a terminal is sent what is typed, and sends what the terminal shows.
func TestContractHijackTerminal(t *testing.T) {
	c := newContract(t)
	build := c.build(script("echo up; sleep 1000"))
	waitForEvent(t, c.user, build.ID, api.EventLog)
	var containers []api.Container
	decode(t, c.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/main/containers?build_id=%d", build.ID), ""), &containers)
	sent, recorded := recordedFrames(t, "hijack.txt", "interactive shell with a TTY")
	for i := range sent {
		sent[i] = strings.ReplaceAll(sent[i], "/tmp/build/b1dda4c3", containers[0].WorkingDirectory)
	}
	got := exchangeFrames(t, c.user, fmt.Sprintf("/api/v1/teams/main/containers/%s/hijack", containers[0].ID), sent)
	last := len(got) - 1
	if got[last] != recorded[len(recorded)-1] {
		t.Errorf("the last frame is %s, recorded was %s", got[last], recorded[len(recorded)-1])
	}
	var shown strings.Builder
	for _, frame := range got[:last] {
		var output struct{ Stdout []byte }
		decode(t, frame, &output)
		if len(output.Stdout) == 0 {
			t.Errorf("a frame that is no output comes before the end: %s", frame)
		}
		shown.Write(output.Stdout)
	}
	// What is typed is echoed, and what is written comes with carriage returns.
	for _, want := range []string{"stty size; echo hi\r\n", "\r\nhi\r\n", "exit 4\r\n"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("the terminal shows %q, which lacks %q", shown.String(), want)
		}
	}
	c.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
}

// compareFirst compares the fields of the first elements of two lists, or of objects.
func compareFirst(t *testing.T, got, want string) {
	t.Helper()
	first := func(text string) any {
		var value any
		decode(t, text, &value)
		if list, ok := value.([]any); ok && len(list) > 0 {
			return list[0]
		}
		return value
	}
	for _, line := range differences("", first(got), first(want)) {
		// The first build failed here and succeeded there; the workers have their own names.
		if !strings.HasPrefix(line, ".status ") && !strings.HasPrefix(line, ".name ") {
			t.Error(line)
		}
	}
}
