package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"midge/api"
	"midge/server/servertest"
)

// filesPath is the endpoint about the files of a container of the team ci.
func filesPath(team, handle, what, path string) string {
	return fmt.Sprintf("/api/v1/teams/%s/containers/%s/files%s?path=%s", team, handle, what, url.QueryEscape(path))
}

func TestFilesOfAContainer(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	member, stranger, viewer := logIn(t, s, "member", "secret"), logIn(t, s, "stranger", "secret"), logIn(t, s, "viewer", "secret")
	var build api.Build
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/builds", script("printf 0123456789 >file; mkdir dir; exit 1")), &build)
	member.finish(build.ID)
	var containers []api.Container
	decode(t, member.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/ci/containers?build_id=%d", build.ID), ""), &containers)
	handle := containers[0].ID

	for _, what := range []string{"", "/stat", "/content", "/changes"} {
		viewer.want(http.StatusForbidden, "GET", filesPath("ci", handle, what, "file"), "")
		stranger.want(http.StatusNotFound, "GET", filesPath("ci", handle, what, "file"), "")
		stranger.want(http.StatusNotFound, "GET", filesPath("other", handle, what, "file"), "")
	}
	stranger.want(http.StatusNotFound, "POST", filesPath("other", handle, "", "file"), "")

	for _, what := range []string{"", "/stat", "/content"} {
		for _, path := range []string{"nosuch", "file/below", "../../../../nosuch", "a\x00b"} {
			if body := member.want(http.StatusNotFound, "GET", filesPath("ci", handle, what, path), ""); !strings.Contains(body, "there is no file or directory") {
				t.Errorf("%s %q: got %q", what, path, body)
			}
		}
	}
	if body := member.want(http.StatusBadRequest, "GET", filesPath("ci", handle, "/content", "dir"), ""); !strings.Contains(body, "no file but a directory") {
		t.Errorf("got %q", body)
	}
	var taken api.Artifact
	decode(t, member.want(http.StatusOK, "POST", filesPath("ci", handle, "", "."), ""), &taken)
	if taken.ID != 0 || taken.Digest == "" || taken.Files != 1 || taken.Bytes != 10 {
		t.Errorf("got %+v, want a tree that is no artifact", taken)
	}
	var artifacts []api.Artifact
	decode(t, member.want(http.StatusOK, "GET", "/api/v1/teams/ci/artifacts", ""), &artifacts)
	if len(artifacts) != 0 {
		t.Errorf("there are the artifacts %+v", artifacts)
	}
}

// A file goes on from a byte where the connection was lost, unless it has changed.
func TestContentFromAByteOn(t *testing.T) {
	s := startServer(t, servertest.Options{})
	u := testUser(t, s)
	build, _ := u.finish(u.build(script("printf 0123456789 >file; exit 1")).ID)
	var containers []api.Container
	decode(t, u.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/teams/main/containers?build_id=%d", build.ID), ""), &containers)
	path := filesPath("main", containers[0].ID, "/content", "file")

	first := u.open("GET", path, nil, nil)
	tag := first.Header.Get("ETag")
	if body := readAll(t, first); body != "0123456789" || tag == "" || first.StatusCode != http.StatusOK {
		t.Fatalf("got %d %q with tag %q", first.StatusCode, body, tag)
	}
	for _, test := range []struct {
		span, tag string
		status    int
		want      string
	}{
		{"bytes=4-", tag, http.StatusPartialContent, "456789"},
		{"bytes=9-", tag, http.StatusPartialContent, "9"},
		{"bytes=4-", `"another"`, http.StatusOK, "0123456789"},
		{"bytes=4-", "", http.StatusOK, "0123456789"},
		{"bytes=0-", tag, http.StatusOK, "0123456789"},
		{"bytes=10-", tag, http.StatusOK, "0123456789"},
		{"bytes=2-4", tag, http.StatusOK, "0123456789"},
		{"bytes=-4", tag, http.StatusOK, "0123456789"},
		{"bytes=x-", tag, http.StatusOK, "0123456789"},
		{"lines=4-", tag, http.StatusOK, "0123456789"},
	} {
		response := u.open("GET", path, map[string]string{"Range": test.span, "If-Range": test.tag}, nil)
		if body := readAll(t, response); response.StatusCode != test.status || body != test.want {
			t.Errorf("%s of %s: got %d %q, want %d %q", test.span, test.tag, response.StatusCode, body, test.status, test.want)
		}
	}
}
