package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"midge/api"
	"midge/server"
	"midge/server/servertest"
)

func holdPath(build int, query string) string {
	return fmt.Sprintf("/api/v1/builds/%d/hold%s", build, query)
}

func TestHold(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(c *server.Config) {
		withTeams(c)
		c.MaxHold = 3 * time.Hour
	}})
	member, stranger, viewer := logIn(t, s, "member", "secret"), logIn(t, s, "stranger", "secret"), logIn(t, s, "viewer", "secret")
	var build api.Build
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/builds", script("exit 1")), &build)
	member.finish(build.ID)

	// Only the team may, and those in it who may hijack.
	stranger.want(http.StatusNotFound, "PUT", holdPath(build.ID, "?for=2h"), "")
	stranger.want(http.StatusNotFound, "DELETE", holdPath(build.ID, ""), "")
	viewer.want(http.StatusForbidden, "PUT", holdPath(build.ID, "?for=2h"), "")

	for _, query := range []string{"", "?for=", "?for=soon", "?for=-1h", "?for=0", "?for=4h"} {
		if body := member.want(http.StatusBadRequest, "PUT", holdPath(build.ID, query), ""); !strings.Contains(body, "a time up to 3h0m0s") {
			t.Errorf("%q: got %q", query, body)
		}
	}
	var held []api.Container
	decode(t, member.want(http.StatusOK, "PUT", holdPath(build.ID, "?for=2h"), ""), &held)
	if len(held) != 1 || held[0].HeldBy != "local:member" || !strings.HasPrefix(held[0].ExpiresIn, "1h59m") && held[0].ExpiresIn != "2h0m0s" {
		t.Errorf("got %+v", held)
	}
	held = nil
	decode(t, member.want(http.StatusOK, "DELETE", holdPath(build.ID, ""), ""), &held)
	if len(held) != 1 || held[0].HeldBy != "" {
		t.Errorf("got %+v", held)
	}
	plan := strings.Replace(script("exit 1"), `"name":`, `"hold":"4h","name":`, 1)
	if body := member.want(http.StatusBadRequest, "POST", "/api/v1/teams/ci/builds", plan); !strings.Contains(body, "for 3h0m0s at most") {
		t.Errorf("got %q", body)
	}
}

// Who comes too late is told when the container went and why, and how to keep the next.
func TestAContainerThatHasGone(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(c *server.Config) {
		withTeams(c)
		c.CollectGrace, c.CollectInterval = 0, 10*time.Millisecond
	}})
	member, stranger := logIn(t, s, "member", "secret"), logIn(t, s, "stranger", "secret")
	var build api.Build
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/builds", script("exit 1")), &build)
	member.finish(build.ID)
	list := fmt.Sprintf("/api/v1/teams/%%s/containers?build_id=%d", build.ID)
	var containers []api.Container
	decode(t, member.want(http.StatusOK, "GET", fmt.Sprintf(list, "ci"), ""), &containers)
	member.want(http.StatusOK, "DELETE", holdPath(build.ID, ""), "")
	for left := containers; len(left) > 0; {
		decode(t, member.want(http.StatusOK, "GET", fmt.Sprintf(list, "ci"), ""), &left)
	}

	hijack := "/api/v1/teams/%s/containers/" + containers[0].ID + "/hijack"
	body := member.want(http.StatusNotFound, "GET", fmt.Sprintf(hijack, "ci"), "")
	for _, want := range []string{"was removed at 20", "local:member let it go", "midge hold BUILD", "--hold 2h"} {
		if !strings.Contains(body, want) {
			t.Errorf("got %q, want it to say %q", body, want)
		}
	}
	// Of another team's it is as if it had never been there.
	if body := stranger.want(http.StatusNotFound, "GET", fmt.Sprintf(hijack, "other"), ""); strings.Contains(body, "removed") {
		t.Errorf("a stranger got %q", body)
	}
	containers = nil
	decode(t, member.want(http.StatusOK, "GET", fmt.Sprintf(list, "ci")+"&state=gone", ""), &containers)
	if len(containers) != 1 || containers[0].State != "gone" || containers[0].GoneAt == 0 || containers[0].GoneReason != "local:member let it go" {
		t.Errorf("got %+v", containers)
	}
	decode(t, stranger.want(http.StatusOK, "GET", fmt.Sprintf(list, "other")+"&state=gone", ""), &containers)
	if len(containers) != 0 {
		t.Errorf("a stranger got %+v", containers)
	}
	if body := member.want(http.StatusConflict, "PUT", holdPath(build.ID, "?for=1h"), ""); !strings.Contains(body, "local:member let it go") {
		t.Errorf("got %q", body)
	}
}
