package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"midge/api"
	"midge/hijack"
	"midge/server/servertest"
)

func TestTokensForScripts(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	viewer := logIn(t, s, "viewer", "secret")
	var made api.Token
	decode(t, viewer.want(http.StatusCreated, "POST", "/api/v1/tokens", `{"name":"ci","lasts_seconds":3600}`), &made)
	if left := time.Until(time.Unix(made.ExpiresAt, 0)); made.User != "local:viewer" || made.Name != "ci" || left > time.Hour || left < 50*time.Minute {
		t.Errorf("got %+v", made)
	}
	byToken := &user{t, s.URL, made.Token}
	byToken.want(http.StatusOK, "GET", "/api/v1/teams/ci", "")
	byToken.want(http.StatusForbidden, "POST", "/api/v1/teams/ci/builds", "{}")

	var tokens []api.Token
	decode(t, byToken.want(http.StatusOK, "GET", "/api/v1/tokens", ""), &tokens)
	if len(tokens) != 2 || tokens[0].Name != "login" || tokens[1].Name != "ci" || tokens[0].Current || !tokens[1].Current || tokens[1].UsedAt == 0 {
		t.Errorf("got %+v, want that of the login and this one, which was used", tokens)
	}
	for _, token := range tokens {
		if token.Token != "" {
			t.Errorf("the list has a token itself in it: %+v", token)
		}
	}
	viewer.want(http.StatusNoContent, "DELETE", fmt.Sprintf("/api/v1/tokens/%d", made.ID), "")
	byToken.want(http.StatusUnauthorized, "GET", "/api/v1/user", "")
}

// Who was let in with a token that is revoked is in no longer.
func TestRevokedTokenEndsWhatGoesOnWithIt(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build := someone.build(script("echo up; sleep 100000"))
	someone.follow(build.ID, "up")
	var made api.Token
	decode(t, someone.want(http.StatusCreated, "POST", "/api/v1/tokens", `{"name":"ci"}`), &made)
	byToken := &user{t, s.URL, made.Token}
	_, reader := byToken.follow(build.ID, "up")
	var containers []api.Container
	decode(t, byToken.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/main/containers?build_id=%d", build.ID), ""), &containers)
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := hijack.Run(t.Context(), hijack.Options{
			Endpoint: hijack.Endpoint{
				URL:    s.URL + "/api/v1/teams/main/containers/" + containers[0].ID + "/hijack",
				Header: http.Header{"Authorization": {"Bearer " + made.Token}},
			},
			Processes: []api.HijackProcess{{Path: "/bin/sh", Args: []string{"-c", "exec sleep 100000"}}},
			Stdout:    io.Discard,
			Stderr:    io.Discard,
			Began:     func(string, []string) { close(began) },
		})
		ended <- err
	}()
	select {
	case <-began:
	case err := <-ended:
		t.Fatal(err)
	}
	someone.want(http.StatusNoContent, "DELETE", fmt.Sprintf("/api/v1/tokens/%d", made.ID), "")
	if rest, err := io.ReadAll(reader); err != nil || strings.Contains(string(rest), "event: end") {
		t.Errorf("the stream ended with %v and %q; want a clean end, but not that of the build", err, rest)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "not authorized") {
		t.Errorf("the session ended with %v, want that its client is not let in again", err)
	}
	// Others of the same user go on.
	someone.follow(build.ID, "up")
	someone.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
}

func TestTokensOfOthers(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	admin, member, viewer := logIn(t, s, "admin", "secret"), logIn(t, s, "member", "secret"), logIn(t, s, "viewer", "secret")
	var made api.Token
	decode(t, viewer.want(http.StatusCreated, "POST", "/api/v1/tokens", `{"name":"ci"}`), &made)
	path := fmt.Sprintf("/api/v1/tokens/%d", made.ID)

	member.want(http.StatusForbidden, "GET", "/api/v1/tokens?user=local:viewer", "")
	member.want(http.StatusForbidden, "POST", "/api/v1/tokens", `{"name":"x","user":"local:viewer"}`)
	member.want(http.StatusNotFound, "DELETE", path, "")

	if list := admin.want(http.StatusOK, "GET", "/api/v1/tokens?user=local:viewer", ""); !strings.Contains(list, `"name":"ci"`) {
		t.Errorf("an administrator is shown %s", list)
	}
	var forOther api.Token
	decode(t, admin.want(http.StatusCreated, "POST", "/api/v1/tokens", `{"name":"x","user":"local:member"}`), &forOther)
	var who api.User
	decode(t, (&user{t, s.URL, forOther.Token}).want(http.StatusOK, "GET", "/api/v1/user", ""), &who)
	if who.Name != "member" {
		t.Errorf("the token is %s's, want member's", who.Name)
	}
	admin.want(http.StatusNoContent, "DELETE", path, "")
	admin.want(http.StatusNotFound, "DELETE", path, "")
	admin.want(http.StatusNotFound, "DELETE", "/api/v1/tokens/x", "")
}

func TestBadTokenRequests(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	admin := logIn(t, s, "admin", "secret")
	for request, want := range map[string]string{
		`{}`:                              "a token needs a name",
		`{"name":"a\nb"}`:                 "a token needs a name",
		`{"name":"a","lasts_seconds":-1}`: "a token lasts from",
		`{"name":"a","lasts_seconds":1000000000000}`: "a token lasts from",
		`{"name":"a","user":"local:none"}`:           `there is no local user "local:none"`,
		`{"name":"a","user":"oidc:someone"}`:         `there is no local user "oidc:someone"`,
		`{"name":"a","user":"socket:local"}`:         `there is no local user "socket:local"`,
		`{"name":` + strings.Repeat(" ", 1000):       "is not the JSON",
	} {
		if body := admin.want(http.StatusBadRequest, "POST", "/api/v1/tokens", request); !strings.Contains(body, want) {
			t.Errorf("%s: got %q, want something with %q", request, body, want)
		}
	}
	response, err := bySocket(s).Post("http://midge/api/v1/tokens", "application/json", strings.NewReader(`{"name":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, response); response.StatusCode != http.StatusBadRequest || !strings.Contains(body, "for which user") {
		t.Errorf("got %d, %q", response.StatusCode, body)
	}
}
