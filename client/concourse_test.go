package client

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"midge/api"
	"midge/client/clienttest"
)

// replayed gives a client of a server that replays a section of a recording.
func replayed(t *testing.T, file, section string) *Client {
	t.Helper()
	server := clienttest.Replay(t, clienttest.Read(t, file, section))
	return testClient(t, server.URL, func(o *Options) { o.Token = clienttest.Token })
}

func TestLoginToConcourse(t *testing.T) {
	c := replayed(t, "login.txt", "login -c URL -u USER -p PASSWORD")
	ctx := t.Context()
	info, err := c.Info(ctx)
	if err != nil || info.Version != "8.0.0" || info.Midge != nil {
		t.Errorf("Info() = %+v, %v", info, err)
	}
	token, err := c.Login(ctx, "test", "test")
	if err != nil || token.Value != "<opaque-token>" || token.Expires.IsZero() {
		t.Errorf("Login() = %+v, %v", token, err)
	}
	user, err := c.User(ctx)
	if err != nil || user.Name != "test" || !slices.Equal(user.Teams["main"], []string{"owner"}) {
		t.Errorf("User() = %+v, %v", user, err)
	}
	teams, err := c.Teams(ctx)
	if err != nil || len(teams) != 1 || teams[0].Name != "main" {
		t.Errorf("Teams() = %+v, %v", teams, err)
	}
}

func TestExecuteOnConcourse(t *testing.T) {
	const section = "input uploaded, task succeeds, output downloaded (config has params, caches, container_limits, run.dir; extra args after --)"
	c := replayed(t, "execute.txt", section)
	ctx := t.Context()
	artifact, err := c.UploadArtifact(ctx, strings.NewReader("archive"), UploadOptions{Platform: "linux"})
	if err != nil || artifact.ID != 33 {
		t.Fatalf("UploadArtifact() = %+v, %v", artifact, err)
	}
	var plan api.Plan
	if err := json.Unmarshal([]byte(clienttest.Read(t, "execute.txt", section)[1].RequestBody), &plan); err != nil {
		t.Fatal(err)
	}
	build, err := c.CreateBuild(ctx, plan, "")
	if err != nil || build.ID != 24 || build.Status != api.StatusStarted {
		t.Fatalf("CreateBuild() = %+v, %v", build, err)
	}
	var kinds []string
	for event, err := range c.Events(ctx, build.ID, "") {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, event.Event)
	}
	want := []string{"status", "initialize-task", "selected-worker", "start-task", "log", "finish-task", "status"}
	if !slices.Equal(kinds, want) {
		t.Errorf("events are %q, want %q", kinds, want)
	}
	artifacts, err := c.BuildArtifacts(ctx, build.ID)
	if err != nil || len(artifacts) != 1 || artifacts[0].Name != "out" {
		t.Fatalf("BuildArtifacts() = %+v, %v", artifacts, err)
	}
	archive, err := c.DownloadArtifact(ctx, artifacts[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if content, err := io.ReadAll(archive); err != nil || strings.TrimSpace(string(content)) != "<132 bytes of gzip>" {
		t.Errorf("the archive is %q, %v", content, err)
	}
}

// The recorded stream of a failed build stops without an end after its final status.
func TestEventsWithoutEnd(t *testing.T) {
	exchanges := clienttest.Read(t, "execute.txt", "task exits 3; its output is still collected")
	server := clienttest.Replay(t, exchanges[1:2])
	c := testClient(t, server.URL, func(o *Options) { o.Token = clienttest.Token })
	last := api.Event{}
	for event, err := range c.Events(t.Context(), 25, "") {
		if err != nil {
			t.Fatal(err)
		}
		last = event
	}
	if last.Event != api.EventStatus || last.ID != "5" {
		t.Errorf("the last event is %+v", last)
	}
}

func TestAbortOnConcourse(t *testing.T) {
	c := replayed(t, "execute.txt", "abort")
	ctx := t.Context()
	if build, err := c.Build(ctx, 29); err != nil || build.Status != api.StatusStarted {
		t.Errorf("Build() = %+v, %v", build, err)
	}
	if err := c.AbortBuild(ctx, 29); err != nil {
		t.Errorf("AbortBuild() = %v", err)
	}
	for _, err := range c.Events(ctx, 29, "") {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestMissingBuildOnConcourse(t *testing.T) {
	c := replayed(t, "execute.txt", "events of a build that does not exist")
	for event, err := range c.Events(t.Context(), 9999, "") {
		missing, ok := err.(*NotFoundError)
		if !ok || missing.What != "build 9999" {
			t.Errorf("got %+v, %v", event, err)
		}
	}
}

func TestListsOfConcourse(t *testing.T) {
	ctx := t.Context()
	t.Run("workers", func(t *testing.T) {
		workers, err := replayed(t, "lists.txt", "workers").Workers(ctx)
		if err != nil || len(workers) != 1 || workers[0].Name != "peer" {
			t.Errorf("Workers() = %+v, %v", workers, err)
		}
	})
	t.Run("builds", func(t *testing.T) {
		builds, err := replayed(t, "lists.txt", "builds").Builds(ctx, BuildFilter{Limit: 50})
		if err != nil || len(builds) != 28 || builds[0].ID != 28 {
			t.Errorf("Builds() = %+v, %v", builds, err)
		}
	})
	t.Run("containers", func(t *testing.T) {
		containers, err := replayed(t, "lists.txt", "containers").Containers(ctx, ContainerFilter{})
		if err != nil || len(containers) != 10 || containers[0].StepName != "one-off" {
			t.Errorf("Containers() = %+v, %v", containers, err)
		}
	})
}
