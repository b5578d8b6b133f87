package server_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"midge/api"
	"midge/server"
	"midge/server/servertest"
)

// wantTooMuch checks that a request is refused for a while.
func wantTooMuch(t *testing.T, u *user, method, path, body, reason string) {
	t.Helper()
	response := u.open(method, path, nil, strings.NewReader(body))
	text := readAll(t, response)
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if response.StatusCode != http.StatusTooManyRequests || err != nil || seconds < 1 || !strings.Contains(text, reason) {
		t.Errorf("%s %s: status %d, Retry-After %q: %q; want 429, some seconds and %q",
			method, path, response.StatusCode, response.Header.Get("Retry-After"), text, reason)
	}
}

// firstRefused sends requests until one is refused, and says which.
func firstRefused(t *testing.T, u *user, path string) int {
	t.Helper()
	for i := range 10_000 {
		if status, _ := u.do("GET", path, ""); status == http.StatusTooManyRequests {
			return i
		}
	}
	t.Fatalf("%s: no request was refused", path)
	return 0
}

func TestRateLimits(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		withTeams(config)
		// While it stands still, nobody is granted another request.
		at := time.Now()
		config.Now = func() time.Time { return at }
		config.UserLimits.Requests, config.TeamLimits.Requests = 5, 3
	}})
	member, owner, stranger := logIn(t, s, "member", "secret"), logIn(t, s, "owner", "secret"), logIn(t, s, "stranger", "secret")
	if n := firstRefused(t, member, "/api/v1/teams/ci/builds"); n != 6 {
		t.Errorf("request %d of a team was refused, and six may come at once", n)
	}
	wantTooMuch(t, owner, "GET", "/api/v1/teams/ci/builds", "", `team "ci" sends more than 3 requests a second`)
	stranger.want(http.StatusOK, "GET", "/api/v1/teams/other/builds", "")
	if n := firstRefused(t, stranger, "/api/v1/user"); n != 9 {
		t.Errorf("request %d of a user was refused, and ten may come at once, of which one was sent", n)
	}
	wantTooMuch(t, stranger, "GET", "/api/v1/user", "", "local:stranger sends more than 5 requests a second")
}

func TestBuildLimits(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		withTeams(config)
		config.UserLimits.Builds, config.TeamLimits.Builds = 1, 2
	}})
	member, owner, stranger := logIn(t, s, "member", "secret"), logIn(t, s, "owner", "secret"), logIn(t, s, "stranger", "secret")
	create := func(u *user, team string) api.Build {
		t.Helper()
		var build api.Build
		decode(t, u.want(http.StatusCreated, "POST", "/api/v1/teams/"+team+"/builds", script("sleep 1000")), &build)
		return build
	}
	first := create(member, "ci")
	wantTooMuch(t, member, "POST", "/api/v1/teams/ci/builds", script("true"), "local:member has 1 builds")
	second := create(owner, "ci")
	wantTooMuch(t, logIn(t, s, "admin", "secret"), "POST", "/api/v1/teams/ci/builds", script("true"), `team "ci" has 2 builds`)
	third := create(stranger, "other")
	member.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", first.ID), "")
	member.finish(first.ID)
	fourth := create(member, "ci")
	for _, build := range []api.Build{second, third, fourth} {
		u := map[int]*user{second.ID: owner, third.ID: stranger, fourth.ID: member}[build.ID]
		u.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
		u.finish(build.ID)
	}
}

func TestUploadLimits(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		withTeams(config)
		at := time.Now()
		config.Now = func() time.Time { return at }
		config.UserLimits.Upload, config.TeamLimits.Upload = 4000, 8000
	}})
	member, owner, stranger := logIn(t, s, "member", "secret"), logIn(t, s, "owner", "secret"), logIn(t, s, "stranger", "secret")
	archive := string(tarOf(t, map[string]string{"a": strings.Repeat("x", 5000)}))
	member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/artifacts", archive)
	wantTooMuch(t, member, "POST", "/api/v1/teams/ci/artifacts", archive, `user "local:member" has uploaded more than`)
	owner.want(http.StatusCreated, "POST", "/api/v1/teams/ci/artifacts", archive)
	wantTooMuch(t, logIn(t, s, "admin", "secret"), "POST", "/api/v1/teams/ci/artifacts", archive, `team "ci" has uploaded more than`)
	stranger.want(http.StatusCreated, "POST", "/api/v1/teams/other/artifacts", archive)
	// What is no upload is not affected.
	member.want(http.StatusOK, "GET", "/api/v1/teams/ci/artifacts", "")
}
