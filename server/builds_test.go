package server_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"midge/api"
	"midge/server/servertest"
	"midge/server/state"
)

// script is the plan of a build that runs a shell script.
func script(text string) string {
	return fmt.Sprintf(`{"task":{"name":"one-off","config":{"platform":"linux","run":{"path":"/bin/sh","args":["-c",%q]}}}}`, text)
}

// build starts a build of a plan.
func (u *user) build(plan string) api.Build {
	u.t.Helper()
	var build api.Build
	decode(u.t, u.want(http.StatusCreated, "POST", "/api/v1/teams/main/builds", plan), &build)
	return build
}

// finish waits until a build is finished, and gives it and its events.
func (u *user) finish(id int) (api.Build, string) {
	u.t.Helper()
	events := u.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/builds/%d/events", id), "")
	var build api.Build
	decode(u.t, u.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/builds/%d", id), ""), &build)
	return build, events
}

func TestBadPlans(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	tests := []struct {
		name, plan string
		status     int
		message    string
	}{
		{"no JSON", "platform: linux", 400, "is not the JSON it should be"},
		{"half of it", script("true")[:40], 400, "is not the JSON it should be"},
		{"a list", "[]", 400, "is not the JSON it should be"},
		{"nothing", "", 400, "is not the JSON it should be"},
		{"no step", "{}", 400, "says nothing to do"},
		{"get", `{"get":{"type":"git"}}`, 400, `"get" steps are not run here`},
		{"nested put", `{"do":[{"try":{"step":{"put":{}}}}]}`, 400, `"put" steps are not run here`},
		{"set_pipeline", `{"set_pipeline":{}}`, 400, `"set_pipeline" steps are not run here`},
		{"two steps", `{"task":{"name":"a"},"do":[]}`, 400, "both"},
		{"path with ..", `{"task":{"name":"a","config":{"platform":"linux","run":{"path":"true"},"outputs":[{"name":"o","path":"../o"}]}}}`, 400, ".."},
		{"unknown artifact", `{"artifact_input":{"artifact_id":7,"name":"in"}}`, 400, `the input "in" is artifact 7`},
		{"10 MB", script("# " + strings.Repeat("x", 10_000_000)), 413, "larger than"},
		{"10 MB of no JSON", strings.Repeat(" ", 10_000_000), 413, "larger than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := someone.want(test.status, "POST", "/api/v1/teams/main/builds", test.plan)
			if !strings.Contains(body, test.message) {
				t.Errorf("got %q, want something with %q", body, test.message)
			}
		})
	}
	if body := someone.want(http.StatusOK, "GET", "/api/v1/builds", ""); strings.TrimSpace(body) != "[]" {
		t.Errorf("builds were made: %s", body)
	}
}

// A request that is repeated under its name gives the build that it made, to its team.
func TestARequestWithAName(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	request := func(key string) (int, string) {
		response := someone.open("POST", "/api/v1/teams/main/builds", map[string]string{"Idempotency-Key": key}, strings.NewReader(script("true")))
		return response.StatusCode, readAll(t, response)
	}
	status, first := request("once")
	if status != http.StatusCreated {
		t.Fatalf("got status %d: %s", status, first)
	}
	var builds [2]api.Build
	decode(t, first, &builds[0])
	someone.finish(builds[0].ID)
	status, again := request("once")
	if decode(t, again, &builds[1]); status != http.StatusCreated || builds[0].ID != builds[1].ID {
		t.Errorf("repeated, it gives status %d and build %d, first was build %d", status, builds[1].ID, builds[0].ID)
	}
	if status, body := request(strings.Repeat("k", 129)); status != http.StatusBadRequest || !strings.Contains(body, "has 129 bytes") {
		t.Errorf("got status %d: %s", status, body)
	}
}

func TestNoSuchBuild(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	for _, id := range []string{"1", "0", "-1", "x", "99999999999999999999"} {
		for _, request := range []string{"GET /%s", "GET /%s/plan", "GET /%s/events", "GET /%s/artifacts", "GET /%s/resources", "PUT /%s/abort"} {
			method, path, _ := strings.Cut(fmt.Sprintf(request, id), " ")
			if body := someone.want(http.StatusNotFound, method, "/api/v1/builds"+path, ""); !strings.Contains(body, "not found") {
				t.Errorf("%s %s: got %q", method, path, body)
			}
		}
	}
}

// Params may be secret. Who may repeat the build needs them to.
func TestParamsOfAPlan(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: withTeams})
	member := logIn(t, s, "member", "secret")
	var build api.Build
	decode(t, member.want(http.StatusCreated, "POST", "/api/v1/teams/ci/builds",
		`{"task":{"name":"one-off","params":{"B":"hidden2"},"config":{"platform":"linux","params":{"A":"hidden1"},"run":{"path":"true"}}}}`), &build)
	member.finish(build.ID)
	for name, shown := range map[string]bool{"member": true, "owner": true, "operator": false, "viewer": false} {
		plan := logIn(t, s, name, "secret").want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/builds/%d/plan", build.ID), "")
		if strings.Contains(plan, "hidden1") != shown || strings.Contains(plan, "hidden2") != shown {
			t.Errorf("%s got %s", name, plan)
		}
		if !strings.Contains(plan, `"schema":"exec.v2"`) || !strings.Contains(plan, `"path":"true"`) {
			t.Errorf("%s got %s", name, plan)
		}
	}
}

func TestAbort(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build := someone.build(script("echo up; sleep 1000"))
	waitForEvent(t, someone, build.ID, api.EventLog)
	abort := fmt.Sprintf("/api/v1/builds/%d/abort", build.ID)
	someone.want(http.StatusNoContent, "PUT", abort, "")
	if after, _ := someone.finish(build.ID); after.Status != api.StatusAborted {
		t.Errorf("the build is %s, want aborted", after.Status)
	}
	// As for fly, to abort a build that is finished is no error.
	someone.want(http.StatusNoContent, "PUT", abort, "")
}

// An abort that comes again under its name, or at once without one, does not interrupt
// what follows the first; another does.
func TestAnAbortThatIsRepeated(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	step := func(name string) string { return script("echo " + name + " runs; sleep 1000") }
	for name, keys := range map[string][3]string{"named": {"first", "first", "second"}, "unnamed": {"", "", "second"}} {
		t.Run(name, func(t *testing.T) {
			build := someone.build(`{"ensure":{"step":` + step("step") + `,"ensure":` + step("hook") + `}}`)
			abort := func(key string) {
				t.Helper()
				response := someone.open("PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), map[string]string{"Idempotency-Key": key}, nil)
				if body := readAll(t, response); response.StatusCode != http.StatusNoContent {
					t.Fatalf("got status %d: %s", response.StatusCode, body)
				}
			}
			waitForEvents(t, someone, build.ID, `"payload":"step runs`)
			abort(keys[0])
			waitForEvents(t, someone, build.ID, `"payload":"hook runs`)
			abort(keys[1])
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			checkInterrupted(t, s, build.ID, state.StepsInterrupted)
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			abort(keys[2])
			if after, events := someone.finish(build.ID); after.Status != api.StatusAborted || strings.Count(events, "interrupted") != 2 {
				t.Errorf("the build is %s, want aborted with both steps interrupted: %s", after.Status, events)
			}
		})
	}
}

// checkInterrupted checks what a server that is stopped knows of the aborts of a build.
func checkInterrupted(t *testing.T, s *servertest.Server, id int, want state.Interruption) {
	t.Helper()
	database, err := state.Open(t.Context(), filepath.Join(s.DataDir, "midge.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	if record, err := database.Build(t.Context(), id); err != nil || record.Interrupted != want {
		t.Errorf("build %d is %+v (%v), want %d", id, record, err, want)
	}
}

func TestBuildPages(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	for range 5 {
		someone.finish(someone.build(script("true")).ID)
	}
	tests := []struct {
		query string
		want  string // ids
		links []string
	}{
		{"", "5 4 3 2 1", nil},
		{"?limit=2", "5 4", []string{`<URL/api/v1/builds?limit=2&to=3>; rel="next"`}},
		{"?limit=2&to=3", "3 2", []string{`<URL/api/v1/builds?limit=2&to=1>; rel="next"`, `<URL/api/v1/builds?from=4&limit=2>; rel="previous"`}},
		{"?limit=2&from=2", "3 2", []string{`<URL/api/v1/builds?limit=2&to=1>; rel="next"`, `<URL/api/v1/builds?from=4&limit=2>; rel="previous"`}},
		{"?limit=2&to=1", "1", []string{`<URL/api/v1/builds?from=2&limit=2>; rel="previous"`}},
		{"?limit=2&since=3", "2 1", []string{`<URL/api/v1/builds?from=3&limit=2>; rel="previous"`}},
		{"?limit=2&until=3", "5 4", []string{`<URL/api/v1/builds?limit=2&to=3>; rel="next"`}},
		{"?status=failed", "", nil},
		{"?status=failed&status=succeeded&limit=4", "5 4 3 2", []string{`<URL/api/v1/builds?limit=4&status=failed&status=succeeded&to=1>; rel="next"`}},
		{"?timestamps=true&from=1", "5 4 3 2 1", nil},
		{"?timestamps=true&to=1", "", nil},
		{"?from=6", "", nil},
	}
	for _, test := range tests {
		for _, path := range []string{"/api/v1/builds", "/api/v1/teams/main/builds"} {
			t.Run(path+test.query, func(t *testing.T) {
				response := someone.open("GET", path+test.query, nil, nil)
				var builds []api.Build
				decode(t, readAll(t, response), &builds)
				var ids []string
				for _, build := range builds {
					ids = append(ids, build.Name)
				}
				if got := strings.Join(ids, " "); got != test.want {
					t.Errorf("got builds %s, want %s", got, test.want)
				}
				links := strings.Join(response.Header.Values("Link"), "\n")
				want := strings.ReplaceAll(strings.Join(test.links, "\n"), "URL/api/v1/builds", s.URL+path)
				if links != want {
					t.Errorf("got links\n%s\nwant\n%s", links, want)
				}
			})
		}
	}
	for _, query := range []string{"limit=x", "from=-1", "to=1.5", "since=", "until=99999999999999999999"} {
		if status, body := someone.do("GET", "/api/v1/builds?"+query, ""); status == http.StatusInternalServerError {
			t.Errorf("%s: got %s", query, body)
		}
	}
	someone.want(http.StatusBadRequest, "GET", "/api/v1/builds?limit=x", "")
}

func TestOutputsBecomeInputs(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	artifact := someone.mustUpload(gzipped(t, tarOf(t, map[string]string{"word": "hello"})))
	plan := `{"do":[{"artifact_input":{"artifact_id":%d,"name":"in"}},
		{"task":{"name":"one-off","config":{"platform":"linux","inputs":[{"name":"in"}],"outputs":[{"name":"out"}],
			"run":{"path":"/bin/sh","args":["-c","cat in/word > out/copy"]}}}},
		{"artifact_output":{"name":"out"}}]}`
	build, events := someone.finish(someone.build(fmt.Sprintf(plan, artifact.ID)).ID)
	if build.Status != api.StatusSucceeded {
		t.Fatalf("the build %s: %s", build.Status, events)
	}
	var artifacts []api.Artifact
	decode(t, someone.want(http.StatusOK, "GET", fmt.Sprintf("/api/v1/builds/%d/artifacts", build.ID), ""), &artifacts)
	if len(artifacts) != 1 || artifacts[0].Name != "out" || artifacts[0].BuildID != build.ID || artifacts[0].Files != 1 {
		t.Errorf("got artifacts %+v", artifacts)
	}
}
