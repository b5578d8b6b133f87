package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"midge/api"
	"midge/hijack"
	"midge/server"
	"midge/server/servertest"
)

func TestHijackIsInTheBuildsEvents(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build, _ := someone.finish(someone.build(script("exit 1")).ID)
	var containers []api.Container
	decode(t, someone.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/main/containers?build_id=%d", build.ID), ""), &containers)
	if len(containers) != 1 {
		t.Fatalf("got containers %+v, want that of the failed task", containers)
	}
	path := fmt.Sprintf("/api/v1/teams/main/containers/%s/hijack", containers[0].ID)
	frames := exchangeFrames(t, someone, path, []string{`{"path":"/bin/sh","args":["-c","exit 7"]}`, `{"closed":true}`})
	if len(frames) != 1 || frames[0] != `{"exit_status":7}` {
		t.Fatalf("got frames %q", frames)
	}
	// They come after the end of the build, and are written when the client has gone.
	var began, ended api.HijackEvent
	for ended.Began == 0 {
		for _, event := range hijackEvents(t, someone, build.ID) {
			if event.Began == 0 {
				began = event
			} else {
				ended = event
			}
		}
	}
	if began.User != "local:test" || !strings.HasPrefix(began.From, "127.0.0.1:") || began.Container != containers[0].ID || began.Command[0] != "/bin/sh" {
		t.Errorf("the session began with %+v", began)
	}
	if ended.Session != began.Session || ended.ExitStatus == nil || *ended.ExitStatus != 7 {
		t.Errorf("the session ended with %+v", ended)
	}
}

// hijackEvents gives the events of sessions that are in a build's log now.
func hijackEvents(t *testing.T, u *user, build int) []api.HijackEvent {
	t.Helper()
	response := u.open("GET", fmt.Sprintf("/api/v1/builds/%d/events", build), map[string]string{api.EventsHeader: "1"}, nil)
	defer response.Body.Close()
	var events []api.HijackEvent
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var envelope api.Event
		decode(t, data, &envelope)
		if envelope.Event == api.EventHijack {
			var event api.HijackEvent
			decode(t, string(envelope.Data), &event)
			events = append(events, event)
		}
	}
	return events
}

func TestHijackOfNoContainer(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	if body := someone.want(http.StatusNotFound, "GET", "/api/v1/teams/main/containers/none/hijack", ""); !strings.Contains(body, "container none not found") {
		t.Errorf("got %q", body)
	}
}

// Sessions that are idle, or that nobody is attached to, end by the server's settings, and
// the build's events say why.
func TestHijackTimeouts(t *testing.T) {
	const idle, alone = "the session was idle for 300ms, and is ended", "nobody was attached to the session for 200ms, and it is ended"
	for _, test := range []struct {
		name string
		set  func(*server.Config)
		want string
	}{
		{"idle", func(c *server.Config) { c.InterceptIdleTimeout = 300 * time.Millisecond }, idle},
		{"alone", func(c *server.Config) { c.SessionTimeout = 200 * time.Millisecond }, alone},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startServer(t, servertest.Options{Configure: test.set})
			someone := testUser(t, s)
			build, _ := someone.finish(someone.build(script("exit 1")).ID)
			var containers []api.Container
			decode(t, someone.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/main/containers?build_id=%d", build.ID), ""), &containers)
			ctx, detach := context.WithCancel(t.Context())
			defer detach()
			_, err := hijack.Run(ctx, hijack.Options{
				Endpoint: hijack.Endpoint{
					URL:    s.URL + "/api/v1/teams/main/containers/" + containers[0].ID + "/hijack",
					Header: http.Header{"Authorization": {"Bearer " + someone.token}},
				},
				Processes: []api.HijackProcess{{Path: "/bin/sh", Args: []string{"-c", "exec sleep 100000"}}},
				Stdout:    io.Discard,
				Stderr:    io.Discard,
				Began: func(string, []string) {
					if test.want == alone {
						detach()
					}
				},
			})
			if test.want == idle && (err == nil || err.Error() != idle) {
				t.Errorf("the client is told %v, want %s", err, idle)
			}
			var ended api.HijackEvent
			for ended.Began == 0 {
				for _, event := range hijackEvents(t, someone, build.ID) {
					ended = event
				}
			}
			if ended.Message != test.want {
				t.Errorf("the session ended by %q, want %q", ended.Message, test.want)
			}
		})
	}
}

// A container of another team is not there: what is answered is what is for one that
// never was.
func TestHijackOfAnotherTeamsContainer(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	member, stranger := logIn(t, s, "member", "secret"), logIn(t, s, "stranger", "secret")
	var build api.Build
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/builds", script("exit 1")), &build)
	member.finish(build.ID)
	var containers []api.Container
	decode(t, member.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/ci/containers?build_id=%d", build.ID), ""), &containers)
	for _, team := range []string{"ci", "other"} {
		path := "/api/v1/teams/" + team + "/containers/%s/hijack"
		real := stranger.want(http.StatusNotFound, "GET", fmt.Sprintf(path, containers[0].ID), "")
		none := stranger.want(http.StatusNotFound, "GET", fmt.Sprintf(path, "b9-0123456789ab"), "")
		if strings.ReplaceAll(real, containers[0].ID, "b9-0123456789ab") != none {
			t.Errorf("as %s: of a container that is there it says %q, of none %q", team, real, none)
		}
	}
}
