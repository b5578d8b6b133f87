package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"midge/api"
	"midge/server"
	"midge/server/servertest"
)

// withTeams configures a user of each role in the team ci, and others.
func withTeams(config *server.Config) {
	config.Users = nil
	for _, name := range []string{"admin", "owner", "member", "operator", "viewer", "stranger", "nobody"} {
		config.Users = append(config.Users, server.LocalUser{Name: name, Password: "secret"})
	}
	config.Teams = map[string]server.TeamRoles{
		"main": {"owner": {Users: []string{"local:admin"}}},
		"ci": {
			"owner":             {Users: []string{"local:owner"}},
			"member":            {Users: []string{"local:member"}},
			"pipeline-operator": {Users: []string{"local:operator"}},
			"viewer":            {Users: []string{"local:viewer", "local:owner"}},
		},
		"other": {"member": {Users: []string{"local:stranger"}}},
	}
}

func TestRoles(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	member := logIn(t, s, "member", "secret")
	status, body := member.do("POST", "/api/v1/teams/ci/artifacts", string(tarOf(t, map[string]string{"a": "b"})))
	if status != http.StatusCreated {
		t.Fatalf("got status %d: %s", status, body)
	}
	var artifact api.Artifact
	decode(t, body, &artifact)
	var build api.Build
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/builds", script("exit 1")), &build)
	member.finish(build.ID)
	var containers []api.Container
	decode(t, member.want(http.StatusOK, "GET", "/api/v1/teams/ci/containers", ""), &containers)
	if len(containers) != 1 {
		t.Fatalf("got containers %+v, want that of the failed task", containers)
	}
	replace := strings.NewReplacer("BUILD", fmt.Sprint(build.ID), "ARTIFACT", fmt.Sprint(artifact.ID), "CONTAINER", containers[0].ID)

	// What each user of the team gets; strangers get that nothing is there.
	type allowed struct{ viewer, operator, member int }
	tests := []struct {
		request string
		want    allowed
	}{
		{"GET /api/v1/builds/BUILD", allowed{200, 200, 200}},
		{"GET /api/v1/builds/BUILD/plan", allowed{200, 200, 200}},
		{"GET /api/v1/builds/BUILD/events", allowed{200, 200, 200}},
		{"GET /api/v1/builds/BUILD/artifacts", allowed{200, 200, 200}},
		{"GET /api/v1/builds/BUILD/resources", allowed{200, 200, 200}},
		{"PUT /api/v1/builds/BUILD/abort", allowed{403, 204, 204}},
		{"GET /api/v1/teams/ci", allowed{200, 200, 200}},
		{"GET /api/v1/teams/ci/builds", allowed{200, 200, 200}},
		{"POST /api/v1/teams/ci/builds", allowed{403, 403, 400}},
		{"POST /api/v1/teams/ci/artifacts", allowed{403, 403, 400}},
		{"GET /api/v1/teams/ci/artifacts", allowed{200, 200, 200}},
		{"GET /api/v1/teams/ci/artifacts/ARTIFACT", allowed{403, 403, 200}},
		{"GET /api/v1/teams/ci/containers", allowed{200, 200, 200}},
		{"GET /api/v1/teams/ci/containers/CONTAINER", allowed{200, 200, 200}},
		{"GET /api/v1/teams/ci/containers/CONTAINER/hijack", allowed{403, 403, 426}},
		{"GET /api/v1/teams/ci/volumes", allowed{200, 200, 200}},
		{"GET /api/v1/teams/ci/pipelines", allowed{200, 200, 200}},
		{"GET /api/v1/teams/ci/pipelines/p", allowed{404, 404, 404}},
		{"PUT /api/v1/teams/ci/pipelines/p/config", allowed{404, 404, 404}},
		{"DELETE /api/v1/teams/ci/tasks/one-off/cache", allowed{403, 200, 200}},
		{"DELETE /api/v1/teams/ci/pipelines/p/jobs/j/tasks/one-off/cache", allowed{403, 200, 200}},
	}
	users := map[string]*user{}
	for _, name := range []string{"admin", "owner", "member", "operator", "viewer", "stranger", "nobody"} {
		users[name] = logIn(t, s, name, "secret")
	}
	for _, test := range tests {
		t.Run(test.request, func(t *testing.T) {
			method, path, _ := strings.Cut(replace.Replace(test.request), " ")
			for name, want := range map[string]int{
				"viewer": test.want.viewer, "operator": test.want.operator, "member": test.want.member,
				"owner": test.want.member, "admin": test.want.member, "stranger": 404, "nobody": 404,
			} {
				if got, body := users[name].do(method, path, ""); got != want {
					t.Errorf("%s got status %d, want %d: %s", name, got, want, body)
				}
			}
		})
	}
}

// By no path may an id of another team's be used, not even below the own team.
func TestIdsOfOtherTeams(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	member, stranger := logIn(t, s, "member", "secret"), logIn(t, s, "stranger", "secret")
	var artifact api.Artifact
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/artifacts", string(tarOf(t, map[string]string{"a": "b"}))), &artifact)
	var build api.Build
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/builds", script("exit 1")), &build)
	member.finish(build.ID)
	var containers []api.Container
	decode(t, member.want(http.StatusOK, "GET", "/api/v1/teams/ci/containers", ""), &containers)

	stranger.want(http.StatusNotFound, "GET", fmt.Sprintf("/api/v1/teams/other/artifacts/%d", artifact.ID), "")
	stranger.want(http.StatusNotFound, "GET", "/api/v1/teams/other/containers/"+containers[0].ID, "")
	stranger.want(http.StatusNotFound, "GET", "/api/v1/teams/other/containers/"+containers[0].ID+"/hijack", "")
	plan := fmt.Sprintf(`{"artifact_input":{"artifact_id":%d,"name":"in"}}`, artifact.ID)
	if body := stranger.want(http.StatusBadRequest, "POST", "/api/v1/teams/other/builds", plan); !strings.Contains(body, `team "other" has none of that id`) {
		t.Errorf("got %q", body)
	}
	for path, want := range map[string]string{
		"/api/v1/builds": "[]", "/api/v1/teams/other/containers": "[]", "/api/v1/teams/other/volumes": "[]",
		"/api/v1/teams/other/artifacts": "[]",
	} {
		if got := strings.TrimSpace(stranger.want(http.StatusOK, "GET", path, "")); got != want {
			t.Errorf("%s: a stranger is shown %s", path, got)
		}
	}
}

func TestTeamsThatOneSees(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	for name, want := range map[string]string{"admin": "main ci other", "viewer": "ci", "stranger": "other", "nobody": ""} {
		var teams []api.Team
		decode(t, logIn(t, s, name, "secret").want(http.StatusOK, "GET", "/api/v1/teams", ""), &teams)
		var names []string
		for _, team := range teams {
			names = append(names, team.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s sees %q, want %q", name, got, want)
		}
	}
	var who api.User
	decode(t, logIn(t, s, "owner", "secret").want(http.StatusOK, "GET", "/api/v1/user", ""), &who)
	if who.IsAdmin || len(who.Teams) != 1 || strings.Join(who.Teams["ci"], " ") != "owner" {
		t.Errorf("got %+v, want an owner of ci, with the highest of two roles", who)
	}
}

func TestWorkersAndWallAreTheAdministrators(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	admin, owner := logIn(t, s, "admin", "secret"), logIn(t, s, "owner", "secret")
	for _, request := range []string{"PUT /api/v1/workers/memory/land", "PUT /api/v1/workers/memory/prune", "PUT /api/v1/wall", "DELETE /api/v1/wall"} {
		method, path, _ := strings.Cut(request, " ")
		owner.want(http.StatusForbidden, method, path, `{"message":"hello"}`)
	}
	admin.want(http.StatusNotFound, "PUT", "/api/v1/workers/none/land", "")

	admin.want(http.StatusBadRequest, "PUT", "/api/v1/wall", `{}`)
	admin.want(http.StatusOK, "PUT", "/api/v1/wall", `{"message":"hello","TTL":3600000000000}`)
	if wall := owner.want(http.StatusOK, "GET", "/api/v1/wall", ""); !strings.Contains(wall, `"message":"hello","TTL":`) {
		t.Errorf("got wall %s", wall)
	}
	admin.want(http.StatusOK, "DELETE", "/api/v1/wall", "")
	if wall := owner.want(http.StatusOK, "GET", "/api/v1/wall", ""); strings.TrimSpace(wall) != "{}" {
		t.Errorf("got wall %s", wall)
	}

	if body := admin.want(http.StatusBadRequest, "PUT", "/api/v1/workers/memory/prune", ""); !strings.Contains(body, `{"stderr":"cannot prune: worker \"memory\" is running: land it first`) {
		t.Errorf("got %s", body)
	}
	admin.want(http.StatusOK, "PUT", "/api/v1/workers/memory/land", "")
	if workers := owner.want(http.StatusOK, "GET", "/api/v1/workers", ""); !strings.Contains(workers, `"state":"landed"`) {
		t.Errorf("got workers %s", workers)
	}
	if body := admin.want(http.StatusOK, "GET", "/api/v1/status", ""); !strings.Contains(body, `"worker memory"`) {
		t.Errorf("the status lacks the worker: %s", body)
	}
	admin.want(http.StatusOK, "PUT", "/api/v1/workers/memory/prune", "")
	if body := admin.want(http.StatusOK, "GET", "/api/v1/status", ""); strings.Contains(body, `"worker memory"`) {
		t.Errorf("the status has a worker that was pruned: %s", body)
	}
	if workers := owner.want(http.StatusOK, "GET", "/api/v1/workers", ""); strings.TrimSpace(workers) != "[]" {
		t.Errorf("got workers %s", workers)
	}
}
