package server_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"midge/api"
	"midge/artifacts/transfer"
	"midge/server/servertest"
)

// Do lets the transfer of trees send requests as the user.
func (u *user) Do(request *http.Request) (*http.Response, error) {
	request.Header.Set("Authorization", "Bearer "+u.token)
	return http.DefaultClient.Do(request)
}

func TestTreesByContent(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	member, stranger, viewer := logIn(t, s, "member", "secret"), logIn(t, s, "stranger", "secret"), logIn(t, s, "viewer", "secret")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "word"), []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	remote := &transfer.Remote{Client: member, URL: s.URL + "/api/v1/teams/ci/artifacts"}
	_, created, err := transfer.Send(t.Context(), remote, dir, transfer.SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var artifact api.Artifact
	decode(t, string(created), &artifact)
	if artifact.ID == 0 || artifact.Digest == "" || artifact.Files != 1 || artifact.Bytes != 6 {
		t.Errorf("got artifact %+v", artifact)
	}
	// It is an artifact as any other.
	plan := `{"do":[{"artifact_input":{"artifact_id":%d,"name":"in"}},
		{"task":{"name":"one-off","config":{"platform":"linux","inputs":[{"name":"in"}],"run":{"path":"cat","args":["in/word"]}}}}]}`
	var build api.Build
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/builds", fmt.Sprintf(plan, artifact.ID)), &build)
	if build, events := member.finish(build.ID); build.Status != api.StatusSucceeded {
		t.Errorf("the build %s: %s", build.Status, events)
	}
	// To know a digest gives no other team what it names.
	stranger.want(http.StatusConflict, "POST", "/api/v1/teams/other/artifacts/trees/"+artifact.Digest, "")
	for _, path := range []string{"/trees/" + artifact.Digest, "/objects", "/have", "/fetch"} {
		viewer.want(http.StatusForbidden, "POST", "/api/v1/teams/ci/artifacts"+path, "")
		stranger.want(http.StatusNotFound, "POST", "/api/v1/teams/ci/artifacts"+path, "")
	}
}
