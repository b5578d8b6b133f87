package security

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"midge/api"
)

// Who has one team's rights has none in another's, whatever ids are guessed.
func TestOtherTeamsIDs(t *testing.T) {
	s := start(t)
	s.Write("src/secret.txt", "blue's secret\n")
	task := s.Script("task", "cp src/secret.txt out; echo blue says; exit 3", "inputs: [{name: src}]\noutputs: [{name: out}]\n")
	s.Midge("--team", "blue", "execute", "-c", task, "-i", "src="+s.Path("src"), "-o", "out="+s.Path("out")).Want(t, 3)
	red, blue := logIn(t, s, "red"), logIn(t, s, "blue")

	var build api.Build
	decode(t, blue.want(http.StatusOK, "GET", "/api/v1/builds/1", ""), &build)
	var containers []api.Container
	decode(t, blue.want(http.StatusOK, "GET", "/api/v1/teams/blue/containers", ""), &containers)
	var artifacts []api.Artifact
	decode(t, blue.want(http.StatusOK, "GET", "/api/v1/teams/blue/artifacts", ""), &artifacts)
	if len(containers) != 1 || len(artifacts) != 2 || build.TraceID == "" {
		t.Fatalf("blue has the containers %+v, the artifacts %+v and the build %+v", containers, artifacts, build)
	}
	container := containers[0].ID
	for _, request := range []string{
		"GET /api/v1/builds/1", "GET /api/v1/builds/1/plan", "GET /api/v1/builds/1/events", "GET /api/v1/builds/1/usage",
		"GET /api/v1/builds/1/artifacts", "GET /api/v1/builds/1/resources", "PUT /api/v1/builds/1/abort",
		"PUT /api/v1/builds/1/hold?for=1h", "DELETE /api/v1/builds/1/hold",
		"GET /api/v1/teams/blue", "GET /api/v1/teams/blue/builds", "POST /api/v1/teams/blue/builds",
		"GET /api/v1/teams/blue/artifacts", "POST /api/v1/teams/blue/artifacts",
		"GET /api/v1/teams/blue/artifacts/1", "GET /api/v1/teams/red/artifacts/1", "GET /api/v1/teams/red/artifacts/2",
		"GET /api/v1/teams/blue/containers/" + container, "GET /api/v1/teams/red/containers/" + container,
		"GET /api/v1/teams/red/containers/" + container + "/hijack", "GET /api/v1/teams/blue/containers/" + container + "/hijack",
		"GET /api/v1/teams/red/containers/" + container + "/files?path=/", "GET /api/v1/teams/red/containers/" + container + "/files/changes",
		"GET /api/v1/teams/red/containers/" + container + "/files/stat?path=/etc", "POST /api/v1/teams/red/containers/" + container + "/files?path=/",
		"GET /api/v1/teams/red/containers/" + container + "/files/content?path=src/secret.txt",
		"GET /api/v1/teams/red/artifacts/1?file=secret.txt",
		"GET /api/v1/teams/blue/sessions", "GET /api/v1/teams/blue/volumes", "DELETE /api/v1/teams/blue/tasks/task/cache",
	} {
		method, path, _ := strings.Cut(request, " ")
		red.want(http.StatusNotFound, method, path, "")
	}
	// What is not there and what is another's are not told apart.
	if there, none := red.want(http.StatusNotFound, "GET", "/api/v1/builds/1", ""), red.want(http.StatusNotFound, "GET", "/api/v1/builds/2", ""); strings.ReplaceAll(there, "1", "2") != none {
		t.Errorf("of another team's build it says %q, of none %q", there, none)
	}
	// Neither by a plan nor by a digest may contents be had that another has sent.
	plan := fmt.Sprintf(`{"id":"1","artifact_input":{"artifact_id":%d,"name":"in"}}`, artifacts[0].ID)
	red.want(http.StatusBadRequest, "POST", "/api/v1/teams/red/builds", plan)
	blue.want(http.StatusOK, "GET", "/api/v1/traces/"+build.TraceID, "")
	red.want(http.StatusNotFound, "GET", "/api/v1/traces/"+build.TraceID, "")
	for _, list := range []string{
		"/api/v1/builds", "/api/v1/teams/red/builds", "/api/v1/teams/red/containers", "/api/v1/teams/red/containers?state=gone",
		"/api/v1/teams/red/volumes", "/api/v1/teams/red/artifacts", "/api/v1/teams/red/sessions",
	} {
		if body := strings.TrimSpace(red.want(http.StatusOK, "GET", list, "")); body != "[]" {
			t.Errorf("%s: red, who has nothing, sees %s", list, body)
		}
	}
	if body := red.want(http.StatusOK, "GET", "/api/v1/teams", ""); strings.Contains(body, "blue") {
		t.Errorf("red sees the team blue: %s", body)
	}
}

// What a task leaves in its cache is its team's: another team's task of the same name
// neither finds nor removes it.
func TestOtherTeamsCaches(t *testing.T) {
	s := start(t)
	run := func(team, script string) {
		t.Helper()
		s.Midge("--team", team, "execute", "-c", s.Script("task", script, "caches: [{path: cache}]\n")).Want(t, 0)
	}
	run("blue", "echo secret >cache/blue")
	red := logIn(t, s, "red")
	if body := strings.TrimSpace(red.want(http.StatusOK, "GET", "/api/v1/teams/red/volumes", "")); body != "[]" {
		t.Errorf("red, who has nothing, sees the volumes %s", body)
	}
	run("red", `test -z "$(ls -A cache)"`)
	red.want(http.StatusOK, "DELETE", "/api/v1/teams/red/tasks/one-off/cache", "")
	for _, step := range []string{"..%2fblue%2fone-off", "%2fblue%2fone-off%2f"} {
		red.want(http.StatusOK, "DELETE", "/api/v1/teams/red/tasks/"+step+"/cache", "")
	}
	run("blue", "test -e cache/blue")
}

// That another team has sent the same is not told to who has only a digest: its
// contents are asked for, and what was sent of it before is this team's own.
func TestContentsByDigest(t *testing.T) {
	s := start(t)
	s.Write("src/file", strings.Repeat("the same in both teams\n", 10_000))
	push := func(team string) string {
		t.Helper()
		r := s.Midge("--team", team, "artifacts", "push", s.Path("src"))
		r.Want(t, 0)
		return r.Stderr
	}
	first, again, other := push("blue"), push("blue"), push("red")
	if first == again {
		t.Fatalf("what is there already is sent again: %q, %q", first, again)
	}
	if other != first {
		t.Errorf("who sends what another team has sees %q, and the first saw %q", other, first)
	}
}

// Who owns a team does not administer the server.
func TestMembersDoNotAdminister(t *testing.T) {
	s := start(t)
	red := logIn(t, s, "red")
	for _, request := range []string{"GET /metrics", "PUT /api/v1/wall", "DELETE /api/v1/wall", "GET /api/v1/backup"} {
		method, path, _ := strings.Cut(request, " ")
		red.want(http.StatusForbidden, method, path, `{"message":"x"}`)
	}
	workers := red.want(http.StatusOK, "GET", "/api/v1/workers", "")
	name := regexp.MustCompile(`"name":"([^"]+)"`).FindStringSubmatch(workers)
	if name == nil {
		t.Fatalf("there is no worker in %s", workers)
	}
	red.want(http.StatusForbidden, "PUT", "/api/v1/workers/"+name[1]+"/land", "")
	red.want(http.StatusForbidden, "PUT", "/api/v1/workers/"+name[1]+"/prune", "")
	if status := red.want(http.StatusOK, "GET", "/api/v1/status", ""); strings.Contains(status, "parts") {
		t.Errorf("red is told of the server's parts: %s", status)
	}
}

// Tokens are their user's alone.
func TestOtherUsersTokens(t *testing.T) {
	s := start(t)
	red, blue := logIn(t, s, "red"), logIn(t, s, "blue")
	body := blue.want(http.StatusCreated, "POST", "/api/v1/tokens", `{"name":"nightly","lasts_seconds":3600}`)
	id := regexp.MustCompile(`"id":(\d+)`).FindStringSubmatch(body)
	if id == nil {
		t.Fatalf("there is no id in %s", body)
	}
	red.want(http.StatusNotFound, "DELETE", "/api/v1/tokens/"+id[1], "")
	red.want(http.StatusForbidden, "GET", "/api/v1/tokens?user=local:blue", "")
	red.want(http.StatusForbidden, "POST", "/api/v1/tokens", `{"name":"mine","user":"local:blue","lasts_seconds":3600}`)
	if list := red.want(http.StatusOK, "GET", "/api/v1/tokens", ""); strings.Contains(list, "nightly") {
		t.Errorf("red sees blue's tokens: %s", list)
	}
	if list := blue.want(http.StatusOK, "GET", "/api/v1/tokens", ""); !strings.Contains(list, "nightly") {
		t.Errorf("blue's token is gone: %s", list)
	}
}

func decode(t *testing.T, body string, value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), value); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
}
