package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"midge/api"
	"midge/server"
	"midge/server/servertest"
)

func TestEventsResume(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build, all := someone.finish(someone.build(script("echo one; echo two")).ID)
	events := parseStream(t, all)
	path := fmt.Sprintf("/api/v1/builds/%d/events", build.ID)
	for i, event := range events[:len(events)-1] {
		response := someone.open("GET", path, map[string]string{"Last-Event-ID": event.id}, nil)
		rest := parseStream(t, readAll(t, response))
		if fmt.Sprint(rest) != fmt.Sprint(events[i+1:]) {
			t.Errorf("after event %s: got %v, want %v", event.id, rest, events[i+1:])
		}
	}
	for _, last := range []string{"x", "-1", "1.5", "99999999999999999999"} {
		response := someone.open("GET", path, map[string]string{"Last-Event-ID": last}, nil)
		if body := readAll(t, response); response.StatusCode != http.StatusBadRequest {
			t.Errorf("after event %q: got %d, %s; want 400", last, response.StatusCode, body)
		}
	}
	if response := someone.open("GET", path, map[string]string{"Last-Event-ID": "1000"}, nil); !strings.Contains(readAll(t, response), "event: end") {
		t.Error("a follower that is ahead of a log that has ended is not told of the end")
	}
}

func TestMidgesOwnEvents(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) { config.MaxActiveBuilds = 1 }})
	someone := testUser(t, s)
	first := someone.build(script("echo up; sleep 1000"))
	waitForEvent(t, someone, first.ID, api.EventLog)
	second := someone.build(script("true"))
	if second.Status != api.StatusPending {
		t.Fatalf("the second of two builds is %s, with one at a time", second.Status)
	}
	someone.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", first.ID), "")
	build, events := someone.finish(second.ID)
	if strings.Contains(events, `"event":"waiting"`) {
		t.Errorf("fly is sent an event that it does not know:\n%s", events)
	}
	response := someone.open("GET", fmt.Sprintf("/api/v1/builds/%d/events", build.ID), map[string]string{api.EventsHeader: "1"}, nil)
	own := readAll(t, response)
	if !strings.Contains(own, `"event":"waiting"`) {
		t.Errorf("midge is not sent the event waiting:\n%s", own)
	}
	// The events that both get have the same numbers.
	known := map[streamed]bool{}
	for _, event := range parseStream(t, own) {
		known[event] = true
	}
	for _, event := range parseStream(t, events) {
		if !known[event] {
			t.Errorf("midge is not sent %v", event)
		}
	}
}

// follow opens a build's events and reads until a line with the text.
func (u *user) follow(build int, text string) (*http.Response, *bufio.Reader) {
	u.t.Helper()
	response := u.open("GET", fmt.Sprintf("/api/v1/builds/%d/events", build), nil, nil)
	u.t.Cleanup(func() { response.Body.Close() })
	reader := bufio.NewReader(response.Body)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			u.t.Fatalf("the events ended before %q: %v", text, err)
		}
		if strings.Contains(line, text) {
			return response, reader
		}
	}
}

func TestServerThatEndsLetsFollowersGo(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build := someone.build(script("echo up; read line; echo $line"))
	_, reader := someone.follow(build.ID, "up")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(reader)
	if err != nil || strings.Contains(string(rest), "event: end") {
		t.Errorf("the stream ended with %v and %q; want a clean end, but not that of the build", err, rest)
	}
}

func TestBuildGoesOnAfterRestart(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build := someone.build(script("echo before; sleep 1000"))
	someone.follow(build.ID, "before")
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	var after api.Build
	decode(t, someone.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/builds/%d", build.ID), ""), &after)
	if after.Status != api.StatusStarted {
		t.Errorf("the build is %s after a restart, want started", after.Status)
	}
	someone.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
	after, events := someone.finish(build.ID)
	if after.Status != api.StatusAborted || strings.Count(events, `"payload":"before`) != 1 {
		t.Errorf("the build is %s; events:\n%s", after.Status, events)
	}
}
