package state

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"midge/api"
)

func TestTeams(t *testing.T) {
	db := openTest(t)
	again, err := db.EnsureTeam(t.Context(), "main")
	if err != nil || again.ID != 1 || again.Name != "main" {
		t.Errorf("got %+v, %v; want team 1, main", again, err)
	}
	teams, err := db.Teams(t.Context())
	want := []api.Team{{ID: 1, Name: "main"}, {ID: 2, Name: "other"}}
	if err != nil || !reflect.DeepEqual(teams, want) {
		t.Errorf("got %+v, %v; want %+v", teams, err, want)
	}
}

func TestSteps(t *testing.T) {
	db := openTest(t)
	build := createBuild(t, db, "main")
	step := Step{BuildID: build.ID, PlanID: "b", Attempt: 1, State: StepStarted, ExitStatus: -1,
		Container: "build-1-b-1", Worker: "w", StartedAt: time.Unix(5, 6)}
	retried := Step{BuildID: build.ID, PlanID: "b", Attempt: 2, State: StepErrored, ExitStatus: -1, Message: "no disk",
		StartedAt: time.Unix(6, 0), EndedAt: time.Unix(7, 1)}
	earlier := Step{BuildID: build.ID, PlanID: "a", Attempt: 1, State: StepSucceeded, ExitStatus: -1}
	for _, s := range []Step{step, retried, earlier} {
		if err := db.SaveStep(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	step.State, step.ExitStatus, step.EndedAt = StepFailed, 3, time.Unix(9, 0)
	if err := db.SaveStep(t.Context(), step); err != nil {
		t.Fatal(err)
	}
	got, err := db.Steps(t.Context(), build.ID)
	if want := []Step{earlier, step, retried}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if err := db.SaveStep(t.Context(), Step{BuildID: 99, PlanID: "a", Attempt: 1}); err == nil {
		t.Error("a step of no build was saved")
	}
}

func TestArtifacts(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	upload := api.Artifact{CreatedAt: 12, Digest: "d1", Files: 3, Bytes: 1 << 40}
	output := api.Artifact{Name: "out", BuildID: 4, CreatedAt: 13, Digest: "d2"}
	same := api.Artifact{Name: "out2", BuildID: 4, CreatedAt: 13, Digest: "d1"}
	for i, artifact := range []*api.Artifact{&upload, &output, &same} {
		made, err := db.CreateArtifact(ctx, "other", *artifact)
		if err != nil {
			t.Fatal(err)
		}
		artifact.ID = i + 1
		if made != *artifact {
			t.Errorf("got %+v, want %+v", made, *artifact)
		}
	}
	if got, err := db.Artifact(ctx, 1); err != nil || got.Artifact != upload || got.Team != "other" {
		t.Errorf("got %+v, %v; want %+v of team other", got, err, upload)
	}
	if got, err := db.BuildArtifacts(ctx, 4); err != nil || !slices.Equal(got, []api.Artifact{output, same}) {
		t.Errorf("got %+v, %v; want %+v and %+v", got, err, output, same)
	}
	if got, err := db.ArtifactDigests(ctx); err != nil || !slices.Equal(got, []string{"d1", "d2"}) {
		t.Errorf("got %v, %v; want d1 and d2", got, err)
	}
	for range 2 {
		if err := db.DeleteArtifact(ctx, same.ID); err != nil {
			t.Error(err)
		}
	}
	_, err := db.Artifact(ctx, same.ID)
	wantNotFound(t, err, "artifact")
	_, err = db.CreateArtifact(ctx, "none", api.Artifact{})
	wantNotFound(t, err, "team")
	if next, err := db.CreateArtifact(ctx, "main", api.Artifact{}); err != nil || next.ID != 4 {
		t.Errorf("got artifact %d, %v; want 4: an id is not given twice", next.ID, err)
	}
}

func TestContainers(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	first := Container{Handle: "z", Worker: "w1", Team: "main", BuildID: 1, PlanID: "p", StepName: "one-off", Type: "task",
		Dir: "/tmp/build/1", User: "me", State: "creating", CreatedAt: time.Unix(1, 2)}
	second := Container{Handle: "a", Worker: "w2", Team: "other", BuildID: 2, StepName: "unit", Type: "task",
		State: "created", CreatedAt: time.Unix(3, 0), HeldUntil: time.Unix(8, 0), HeldBy: "local:me"}
	for _, c := range []Container{second, first} {
		if err := db.SaveContainer(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	first.State, first.FinishedAt = "created", time.Unix(4, 0)
	if err := db.SaveContainer(ctx, first); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		filter ContainerFilter
		want   []Container
	}{
		{ContainerFilter{}, []Container{first, second}},
		{ContainerFilter{Teams: []string{"other"}}, []Container{second}},
		{ContainerFilter{Teams: []string{"main", "other"}}, []Container{first, second}},
		{ContainerFilter{Teams: []string{}}, []Container{}},
		{ContainerFilter{BuildID: 1}, []Container{first}},
		{ContainerFilter{StepName: "unit", Type: "task", Worker: "w2"}, []Container{second}},
		{ContainerFilter{StepName: "unit", Worker: "w1"}, []Container{}},
		{ContainerFilter{Type: "check"}, []Container{}},
	}
	for _, test := range tests {
		if got, err := db.Containers(ctx, test.filter); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v: got %+v, %v; want %+v", test.filter, got, err, test.want)
		}
	}
	for range 2 {
		if err := db.RemoveContainer(ctx, "z", "nobody held it"); err != nil {
			t.Error(err)
		}
	}
	_, err := db.Container(ctx, "z")
	wantNotFound(t, err, "container")
	wantNotFound(t, db.SaveContainer(ctx, Container{Handle: "n", Team: "none"}), "team")
}

func TestGoneContainers(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	for _, c := range []Container{
		{Handle: "z", Team: "main", BuildID: 1, StepName: "one-off", Type: "task"},
		{Handle: "a", Team: "main", BuildID: 1, StepName: "unit", Type: "task"},
		{Handle: "o", Team: "other", BuildID: 2},
	} {
		if err := db.SaveContainer(ctx, c); err != nil {
			t.Fatal(err)
		}
		if err := db.RemoveContainer(ctx, c.Handle, "reason of "+c.Handle); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.RemoveContainer(ctx, "z", "another reason"); err != nil {
		t.Error(err)
	}
	gone, err := db.GoneContainers(ctx, "main", 1)
	if err != nil || len(gone) != 2 || gone[0].Handle != "z" || gone[1].Handle != "a" {
		t.Fatalf("got %+v, %v; want z and a in the order in which they went", gone, err)
	}
	if got := gone[0]; got.Reason != "reason of z" || got.StepName != "one-off" || got.Type != "task" || got.BuildID != 1 || time.Since(got.At) > time.Hour {
		t.Errorf("got %+v", got)
	}
	if gone, err := db.GoneContainers(ctx, "other", 1); err != nil || len(gone) != 0 {
		t.Errorf("another team has %+v, %v", gone, err)
	}
	if got, err := db.GoneContainer(ctx, "o"); err != nil || got.Team != "other" || got.BuildID != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = db.GoneContainer(ctx, "none")
	wantNotFound(t, err, "container")
}

func TestHoldBuild(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	record, _, err := db.CreateBuild(ctx, NewBuild{Team: "main"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []BuildHold{{}, {For: 2 * time.Hour, By: "local:a"}, {}} {
		if want != (BuildHold{}) {
			if err := db.HoldBuild(ctx, record.ID, want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := db.BuildHold(ctx, record.ID); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		if err := db.HoldBuild(ctx, record.ID, BuildHold{}); err != nil {
			t.Fatal(err)
		}
	}
	wantNotFound(t, db.HoldBuild(ctx, 99, BuildHold{}), "build")
	_, err = db.BuildHold(ctx, 99)
	wantNotFound(t, err, "build")
}

func TestTokens(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	token, err := db.CreateToken(ctx, Token{Hash: []byte{1, 2}, User: "local:a", Groups: []string{"x", "y z"}, Name: "ci", CreatedAt: time.Unix(1, 0), ExpiresAt: time.Unix(9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateToken(ctx, Token{Hash: []byte{1, 2}, User: "local:b"}); err == nil {
		t.Error("two tokens have the same hash")
	}
	if err := db.UseToken(ctx, token.ID, time.Unix(5, 0)); err != nil {
		t.Fatal(err)
	}
	token.UsedAt = time.Unix(5, 0)
	if got, err := db.TokenByHash(ctx, []byte{1, 2}); err != nil || !reflect.DeepEqual(got, token) {
		t.Errorf("got %+v, %v; want %+v", got, err, token)
	}
	if got, err := db.Token(ctx, token.ID); err != nil || !reflect.DeepEqual(got, token) {
		t.Errorf("got %+v, %v; want %+v", got, err, token)
	}
	if got, err := db.Tokens(ctx, "local:a"); err != nil || !reflect.DeepEqual(got, []Token{token}) {
		t.Errorf("got %+v, %v; want %+v", got, err, token)
	}
	if got, err := db.Tokens(ctx, "local:b"); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v; want none", got, err)
	}
	if err := db.DeleteExpiredTokens(ctx, time.Unix(9, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.TokenByHash(ctx, []byte{1, 2}); err != nil {
		t.Errorf("a token that expires at that time was deleted: %v", err)
	}
	if err := db.DeleteExpiredTokens(ctx, time.Unix(10, 0)); err != nil {
		t.Fatal(err)
	}
	_, err = db.TokenByHash(ctx, []byte{1, 2})
	wantNotFound(t, err, "token")
	if err := db.DeleteToken(ctx, token.ID); err != nil {
		t.Error(err)
	}
}

func TestWall(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	_, err := db.Wall(ctx)
	wantNotFound(t, err, "wall")
	for _, wall := range []Wall{{Message: "hello"}, {Message: "bye", ExpiresAt: time.Unix(7, 0)}} {
		if err := db.SetWall(ctx, wall); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Wall(ctx); err != nil || got != wall {
			t.Errorf("got %+v, %v; want %+v", got, err, wall)
		}
	}
	if err := db.ClearWall(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = db.Wall(ctx)
	wantNotFound(t, err, "wall")
}
