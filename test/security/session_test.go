package security

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"midge/api"
	"midge/hijack"
	"midge/test/realserver"
)

// The id of another team's session is of no use, neither in a container of one's own
// nor in theirs; of another user of the team's it is.
func TestSessionsByID(t *testing.T) {
	s := start(t)
	task := s.Script("task", "exit 1", "")
	for _, team := range []string{"red", "blue"} {
		s.Midge("--team", team, "execute", "-c", task).Want(t, 1)
	}
	red, blue := logIn(t, s, "red"), logIn(t, s, "blue")
	containerOf := func(u *user, team string) string {
		var containers []api.Container
		decode(t, u.want(http.StatusOK, "GET", "/api/v1/teams/"+team+"/containers", ""), &containers)
		if len(containers) != 1 {
			t.Fatalf("%s has the containers %+v", team, containers)
		}
		return containers[0].ID
	}
	redContainer, blueContainer := containerOf(red, "red"), containerOf(blue, "blue")

	victim := s.Command(t.Context(), "--team", "blue", "hijack", "-b", "2", "--", "sh", "-c", "echo blue says; sleep 100000")
	var printed realserver.Output
	victim.Stdout = &printed
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		victim.Process.Kill()
		victim.Wait()
	})
	realserver.Eventually(t, "blue's session runs", func() error {
		if !strings.Contains(printed.String(), "blue says") {
			return fmt.Errorf("it has printed %q", printed.String())
		}
		return nil
	})
	var sessions []api.HijackSession
	decode(t, blue.want(http.StatusOK, "GET", "/api/v1/teams/blue/sessions", ""), &sessions)
	if len(sessions) != 1 {
		t.Fatalf("blue has the sessions %+v", sessions)
	}

	if body := strings.TrimSpace(red.want(http.StatusOK, "GET", "/api/v1/teams/red/sessions", "")); body != "[]" {
		t.Errorf("red, who has none, sees the sessions %s", body)
	}

	attach := func(u *user, team, container string) (string, error) {
		var stdout realserver.Output
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := hijack.Run(ctx, hijack.Options{
			Endpoint: hijack.Endpoint{
				URL:    u.url + "/api/v1/teams/" + team + "/containers/" + container + "/hijack",
				Header: http.Header{"Authorization": {"Bearer " + u.token}},
			},
			Session: sessions[0].ID, ReadOnly: true, Quiet: true,
			Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stdout,
			Began: func(string, []string) { cancel() },
		})
		return stdout.String(), err
	}
	var refused *hijack.Error
	if output, err := attach(red, "red", redContainer); !errors.As(err, &refused) || refused.Code != hijack.CodeNoSession || output != "" {
		t.Errorf("red attaches to blue's session in a container of red's: %q, %v", output, err)
	}
	for _, team := range []string{"red", "blue"} {
		var answer *hijack.ResponseError
		if output, err := attach(red, team, blueContainer); !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound || output != "" {
			t.Errorf("red attaches to blue's session in team %s: %q, %v", team, output, err)
		}
	}
	if _, err := attach(blue, "blue", blueContainer); errors.As(err, &refused) {
		t.Errorf("blue does not attach to blue's session: %v", err)
	}
}

// Names that are paths, wherever a client may say one, make nothing outside of where
// the server keeps things of that kind.
func TestNamesFromClients(t *testing.T) {
	s := start(t)
	ann := logIn(t, s, "ann")
	const evil = "../../../../../../../../../../evil"
	name, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	s.Midge("execute", "-c", s.Script("task", "exit 1", "")).Want(t, 1)
	var containers []api.Container
	decode(t, ann.want(http.StatusOK, "GET", "/api/v1/teams/main/containers", ""), &containers)
	if len(containers) != 1 {
		t.Fatalf("there are the containers %+v", containers)
	}
	escaped := strings.ReplaceAll(evil, "/", "%2f")
	container := "/api/v1/teams/main/containers/" + containers[0].ID
	for _, request := range []struct{ method, path, body string }{
		{"POST", "/api/v1/teams/main/builds", `{"id":` + string(name) + `,"task":{"name":` + string(name) + `,"config":{"platform":"linux","run":{"path":"true"}}}}`},
		{"POST", "/api/v1/teams/main/builds", `{"id":"1","task":{"name":"t","image":` + string(name) + `,"config":{"platform":"linux","run":{"path":"true"}}}}`},
		{"POST", "/api/v1/teams/main/builds", `{"id":"1","do":[{"id":"2","task":{"name":"t","config":{"platform":"linux","outputs":[{"name":` + string(name) +
			`}],"run":{"path":"true"}}}},{"id":"3","artifact_output":{"name":` + string(name) + `}}]}`},
		{"POST", "/api/v1/tokens", `{"name":` + string(name) + `,"lasts_seconds":60}`},
		{"GET", "/api/v1/traces/" + escaped, ""},
		{"GET", "/api/v1/builds/" + escaped + "/events", ""},
		{"PUT", "/api/v1/workers/" + escaped + "/prune", ""},
		{"DELETE", "/api/v1/teams/main/tasks/" + escaped + "/cache?cache_path=" + escaped, ""},
		{"GET", "/api/v1/teams/main/containers/" + escaped, ""},
		{"GET", "/api/v1/teams/main/containers/" + escaped + "/files?path=/", ""},
		{"POST", "/api/v1/teams/main/artifacts/trees/" + escaped, ""},
		{"POST", "/api/v1/teams/main/artifacts/objects?tree=" + escaped, ""},
		{"GET", container + "/files/content?path=" + escaped, ""},
		{"GET", container + "/files/content?path=%2fproc%2f1%2froot%2f" + escaped, ""},
	} {
		status, answer := ann.do(request.method, request.path, request.body)
		if status/100 == 5 {
			t.Errorf("%s %s %s: status %d: %s", request.method, request.path, request.body, status, answer)
		}
	}
	realserver.Eventually(t, "the builds have ended", func() error {
		var builds []api.Build
		decode(t, ann.want(http.StatusOK, "GET", "/api/v1/builds", ""), &builds)
		for _, build := range builds {
			if !build.Status.Finished() {
				return fmt.Errorf("build %d is %s", build.ID, build.Status)
			}
		}
		return nil
	})
	wantNoneNamed(t, "evil", "/", s.Dir, s.DataDir, "/tmp", "/var", "/run")
}
