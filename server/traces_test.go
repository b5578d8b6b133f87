package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"midge/api"
	"midge/server"
	"midge/server/servertest"
	"midge/trace"
	"midge/trace/otlp"
)

// traced configures a server that keeps the spans of this process.
func traced(config *server.Config) {
	config.Record = func(begin, keep func(otlp.Span)) (func(context.Context) error, error) {
		return trace.Record(trace.Options{Service: "midge-server", Begin: begin, Keep: keep})
	}
}

// A trace and what a build used are for those who may see the build, and the spans of
// a request for who has sent it. To others they are not there.
func TestWhoSeesTracesAndUsage(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		withTeams(config)
		traced(config)
	}})
	member := logIn(t, s, "member", "secret")
	var build api.Build
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/builds", script("exit 1")), &build)
	member.finish(build.ID)
	decode(t, member.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/builds/%d", build.ID), ""), &build)
	if build.TraceID == "" {
		t.Fatal("the build has no trace")
	}
	path, usage := "/api/v1/traces/"+build.TraceID, fmt.Sprintf("/api/v1/builds/%d/usage", build.ID)
	for name, want := range map[string]int{
		"viewer": 200, "operator": 200, "member": 200, "owner": 200, "admin": 200, "stranger": 404, "nobody": 404,
	} {
		u := logIn(t, s, name, "secret")
		status, body := u.do("GET", path, "")
		if status != want {
			t.Errorf("%s got status %d for the trace, want %d: %s", name, status, want, body)
		}
		if want == http.StatusOK && !strings.Contains(body, `"task one-off"`) {
			t.Errorf("%s got no span of the task: %s", name, body)
		}
		// The request that made the build is in the same trace, and is its sender's.
		if sees, should := strings.Contains(body, `"POST /api/v1/teams/{team}/builds"`), name == "member" || name == "admin"; sees != should {
			t.Errorf("whether %s got the span of the request is %v: %s", name, sees, body)
		}
		if status, body := u.do("GET", usage, ""); status != want {
			t.Errorf("%s got status %d for the usage, want %d: %s", name, status, want, body)
		}
	}
	nobody := &user{t: t, url: s.URL}
	nobody.want(http.StatusUnauthorized, "GET", path, "")
	nobody.want(http.StatusUnauthorized, "GET", usage, "")
	member.want(http.StatusNotFound, "GET", "/api/v1/traces/"+strings.Repeat("0a", 16), "")
	member.want(http.StatusBadRequest, "GET", "/api/v1/traces/12", "")
}

// A request that is of no build is in its own trace, with its statements.
func TestTraceOfARequest(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: traced})
	u := testUser(t, s)
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	response := u.open("GET", "/api/v1/builds", map[string]string{"Traceparent": "00-" + id + "-00f067aa0ba902b7-01"}, nil)
	readAll(t, response)
	body := u.want(http.StatusOK, "GET", "/api/v1/traces/"+id, "")
	for _, want := range []string{`"GET /api/v1/builds"`, `"00f067aa0ba902b7"`, `"SELECT builds"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the trace lacks %s: %s", want, body)
		}
	}
}

// A server that records nothing has no traces, and says so.
func TestNoTraces(t *testing.T) {
	s := startServer(t, servertest.Options{})
	u := testUser(t, s)
	u.want(http.StatusNotFound, "GET", "/api/v1/traces/"+strings.Repeat("0a", 16), "")
	if body := u.want(http.StatusOK, "GET", "/api/v1/info", ""); strings.Contains(body, api.FeatureTraces) {
		t.Errorf("it says that it has them: %s", body)
	}
}
