package server_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"midge/api"
	"midge/server"
	"midge/server/servertest"
)

// waitForStatus gives the status of a server once it is as wanted.
func waitForStatus(t *testing.T, u *user, wanted func(api.Status) bool) api.Status {
	t.Helper()
	var status api.Status
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		status = api.Status{}
		decode(t, u.want(http.StatusOK, "GET", "/api/v1/status", ""), &status)
		if wanted(status) {
			return status
		}
	}
	t.Fatalf("the status stays %+v", status)
	return status
}

func TestStatus(t *testing.T) {
	s := startServer(t, servertest.Options{})
	status := waitForStatus(t, testUser(t, s), func(status api.Status) bool {
		reported := 0
		for _, part := range status.Parts {
			if part.LastRun != 0 {
				reported++
			}
		}
		return reported >= 9 // all but the collections, which run later
	})
	var names []string
	for _, part := range status.Parts {
		names = append(names, part.Name)
		// How full the disk is that the tests run on is not theirs to say.
		if part.Name != "disk" && (part.Verdict != api.VerdictOK || part.Finding != "" || part.FailuresInRow != 0) {
			t.Errorf("of a server that is well it says %+v", part)
		}
		if part.PeriodSeconds <= 0 || part.NextDue == 0 {
			t.Errorf("it does not say when it is due: %+v", part)
		}
	}
	want := "artifact collection,artifact store,build collection,clock,container collection,database,disk,engine,event logs," +
		"leftover collection,machine,sessions,token collection,volume collection,worker memory"
	if got := strings.Join(names, ","); got != want {
		t.Errorf("got the parts %s, want %s", got, want)
	}
}

func TestStatusFindsWhatDoesNotWork(t *testing.T) {
	dir := ""
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) { dir = config.DataDir }})
	someone := testUser(t, s)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	moved := dir + ".moved"
	defer func() {
		if err := os.Rename(moved, dir); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	// Those that look by the path find nothing there at their next turn.
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	status := waitForStatus(t, someone, func(status api.Status) bool {
		for _, part := range status.Parts {
			if part.Name == "event logs" {
				return part.FailuresInRow > 0
			}
		}
		return false
	})
	if status.Verdict == api.VerdictOK {
		t.Errorf("all in all it is %s", status.Verdict)
	}
}

func TestStatusForOthers(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) {
		config.Users = append(config.Users, server.LocalUser{Name: "vic", Password: "v"})
		config.MainOwners = []string{servertest.User}
	}})
	vic := logIn(t, s, "vic", "v")
	var status api.Status
	decode(t, vic.want(http.StatusOK, "GET", "/api/v1/status", ""), &status)
	if status.Verdict == "" || status.Version == "" || status.Parts != nil {
		t.Errorf("who does not administer the server is told %+v", status)
	}
	vic.want(http.StatusForbidden, "GET", "/metrics", "")
	anybody := &user{t: t, url: s.URL}
	anybody.want(http.StatusUnauthorized, "GET", "/api/v1/status", "")
	anybody.want(http.StatusUnauthorized, "GET", "/metrics", "")
	for _, probe := range []string{"/healthz", "/readyz"} {
		if body := anybody.want(http.StatusOK, "GET", probe, ""); body != "ok\n" {
			t.Errorf("%s: got %q", probe, body)
		}
	}
}

func TestMetrics(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	archive := string(tarOf(t, map[string]string{"a": strings.Repeat("x", 1000)}))
	someone.want(http.StatusCreated, "POST", "/api/v1/teams/main/artifacts", archive)
	for _, text := range []string{"true", "true", "false"} {
		someone.finish(someone.build(script(text)).ID)
	}
	// The last of a build is that it is counted.
	wanted := []string{
		`midge_builds{status="succeeded",team="main"} 2`,
		`midge_builds{status="failed",team="main"} 1`,
		`midge_build_duration_seconds_count{status="failed",team="main"} 1`,
		`midge_build_wait_seconds_count 3`,
		`midge_waiting_builds 0`,
		`midge_hijack_sessions 0`,
		`midge_artifact_files_bytes_total 1000`,
		`midge_part_ok{part="database"} 1`,
		`midge_part_age_seconds{part="engine"} `,
		`midge_artifact_received_bytes_total `,
		`midge_runtime_operation_duration_seconds_count{operation="create container",result="ok",worker="memory"} 3`,
		`midge_runtime_operation_duration_seconds_count{operation="start task",result="ok",worker="memory"} 3`,
		`go_goroutines `,
	}
	missing, metrics := wanted, ""
	for deadline := time.Now().Add(2 * time.Minute); len(missing) > 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		metrics = someone.want(http.StatusOK, "GET", "/metrics", "")
		missing = nil
		for _, line := range wanted {
			if !strings.Contains(metrics, "\n"+line) {
				missing = append(missing, line)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("there are no metrics %q in\n%s", missing, metrics)
	}
	if strings.Contains(metrics, "midge_artifact_received_bytes_total 0\n") {
		t.Error("what was uploaded is not counted")
	}
}
