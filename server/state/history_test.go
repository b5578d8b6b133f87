package state

import (
	"context"
	"slices"
	"testing"
	"time"

	"midge/api"
)

// finishedBuild makes a build that has finished, of a plan that begins with those artifacts.
func finishedBuild(t *testing.T, db *Database, team string, inputs ...int) int {
	t.Helper()
	build, _, err := db.CreateBuild(t.Context(), NewBuild{Team: team, Plan: planWith(inputs...)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.FinishBuild(t.Context(), build.ID, api.StatusSucceeded, time.Now()); err != nil {
		t.Fatal(err)
	}
	return build.ID
}

func planWith(artifacts ...int) api.Plan {
	plan := api.Plan{ID: "0", Do: []api.Plan{taskPlan()}}
	for i, id := range artifacts {
		plan.Do = append(plan.Do, api.Plan{ID: string(rune('a' + i)), ArtifactInput: &api.ArtifactInputPlan{ArtifactID: id, Name: "in"}})
	}
	return plan
}

func createArtifact(t *testing.T, db *Database, artifact api.Artifact) int {
	t.Helper()
	made, err := db.CreateArtifact(t.Context(), "main", artifact)
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// wantArtifacts checks which artifacts of the team main there are.
func wantArtifacts(t *testing.T, db *Database, want ...int) {
	t.Helper()
	artifacts, err := db.TeamArtifacts(t.Context(), "main", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, artifact := range artifacts {
		got = append(got, artifact.ID)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("there are the artifacts %v, want %v", got, want)
	}
}

func wantBuilds(t *testing.T, db *Database, want ...int) {
	t.Helper()
	if got, err := db.BuildIDs(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("there are the builds %v (%v), want %v", got, err, want)
	}
}

func removeBuilds(t *testing.T, db *Database, keep, want int) {
	t.Helper()
	if got, err := db.RemoveBuilds(t.Context(), keep, time.Now()); err != nil || got != want {
		t.Errorf("it removed %d builds (%v), want %d", got, err, want)
	}
}

func TestRemoveBuildsKeepsTheNewestOfEachTeam(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	rare := finishedBuild(t, db, "other")
	running, _, err := db.CreateBuild(ctx, NewBuild{Team: "main", Plan: taskPlan()})
	if err != nil {
		t.Fatal(err)
	}
	held := finishedBuild(t, db, "main")
	if err := db.SaveContainer(ctx, Container{Handle: "held", Team: "main", BuildID: held}); err != nil {
		t.Fatal(err)
	}
	old := finishedBuild(t, db, "main")
	if err := db.SaveStep(ctx, Step{BuildID: old, PlanID: "1", Attempt: 1, State: StepSucceeded}); err != nil {
		t.Fatal(err)
	}
	first, second := finishedBuild(t, db, "main"), finishedBuild(t, db, "main")

	removeBuilds(t, db, 2, 1)
	wantBuilds(t, db, rare, running.ID, held, first, second)
	wantNotFound(t, func() error { _, err := db.Build(ctx, old); return err }(), "build")
	if steps, err := db.Steps(ctx, old); err != nil || len(steps) != 0 {
		t.Errorf("the steps %v of a build that is gone are left (%v)", steps, err)
	}
	removeBuilds(t, db, 2, 0)
	if err := db.RemoveContainer(ctx, "held", "it was let go"); err != nil {
		t.Fatal(err)
	}
	removeBuilds(t, db, 2, 1)
	wantBuilds(t, db, rare, running.ID, first, second)
	// The id of a build is never another's.
	if next := finishedBuild(t, db, "main"); next <= second {
		t.Errorf("the next build is %d", next)
	}
}

// Who is to bring home what a build has made has time for that.
func TestRemoveBuildsKeepsWhatHasJustFinished(t *testing.T) {
	db := openTest(t)
	ended := time.Unix(1000, 0)
	build := createBuild(t, db, "main")
	made := createArtifact(t, db, api.Artifact{Digest: "d", BuildID: build.ID, CreatedAt: 1})
	if _, err := db.FinishBuild(t.Context(), build.ID, api.StatusFailed, ended); err != nil {
		t.Fatal(err)
	}
	newest := finishedBuild(t, db, "main")
	for _, test := range []struct {
		finished time.Time
		want     int
	}{{ended.Add(-time.Second), 0}, {ended, 1}} {
		if got, err := db.ExpireArtifacts(t.Context(), ended, test.finished); err != nil || got != test.want {
			t.Errorf("of builds that have finished by %v, %d artifacts have expired (%v), want %d", test.finished, got, err, test.want)
		}
		if got, err := db.RemoveBuilds(t.Context(), 1, test.finished); err != nil || got != test.want {
			t.Errorf("of those that have finished by %v it removed %d builds (%v), want %d", test.finished, got, err, test.want)
		}
		if test.want == 0 {
			wantBuilds(t, db, build.ID, newest)
			wantArtifacts(t, db, made)
		}
	}
	wantBuilds(t, db, newest)
	wantArtifacts(t, db)
}

func TestRemoveBuildsInBatches(t *testing.T) {
	db := openTest(t)
	ctx := context.WithoutCancel(t.Context())
	const builds = 2*removalBatch + 3
	_, err := db.writer.ExecContext(ctx, `INSERT INTO builds (team_id, status, created_by, create_time, trace_parent)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT 1, 'failed', '', 0, '' FROM n`, builds)
	if err != nil {
		t.Fatal(err)
	}
	removeBuilds(t, db, 1, builds-1)
	wantBuilds(t, db, builds)
}

func TestRemoveBuildsRemovesArtifactsThatNothingElseNames(t *testing.T) {
	db := openTest(t)
	pushed := createArtifact(t, db, api.Artifact{Digest: "p"})
	maker := finishedBuild(t, db, "main", pushed)
	createArtifact(t, db, api.Artifact{Digest: "a", BuildID: maker})
	used := createArtifact(t, db, api.Artifact{Digest: "u", BuildID: maker})
	user := finishedBuild(t, db, "main", used)

	removeBuilds(t, db, 1, 1)
	wantBuilds(t, db, user)
	wantArtifacts(t, db, pushed, used)
	last := finishedBuild(t, db, "main")
	removeBuilds(t, db, 1, 1)
	wantBuilds(t, db, last)
	wantArtifacts(t, db, pushed)
}

func TestExpireArtifacts(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	fresh := createArtifact(t, db, api.Artifact{Digest: "d", CreatedAt: 100})
	old := createArtifact(t, db, api.Artifact{Digest: "d", CreatedAt: 99})
	finishedBuild(t, db, "main", old)
	ofRunning, ofHeld := createArtifact(t, db, api.Artifact{Digest: "d"}), createArtifact(t, db, api.Artifact{Digest: "d"})
	running, _, err := db.CreateBuild(ctx, NewBuild{Team: "main", Plan: planWith(ofRunning)})
	if err != nil {
		t.Fatal(err)
	}
	made := createArtifact(t, db, api.Artifact{Digest: "d", BuildID: running.ID})
	held := finishedBuild(t, db, "main", ofHeld)
	if err := db.SaveContainer(ctx, Container{Handle: "held", Team: "main", BuildID: held}); err != nil {
		t.Fatal(err)
	}
	expire := func(want int) {
		t.Helper()
		if got, err := db.ExpireArtifacts(ctx, time.Unix(100, 0), time.Now()); err != nil || got != want {
			t.Errorf("%d artifacts have expired (%v), want %d", got, err, want)
		}
	}
	expire(1)
	wantArtifacts(t, db, fresh, ofRunning, ofHeld, made)
	if _, err := db.FinishBuild(ctx, running.ID, api.StatusFailed, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := db.RemoveContainer(ctx, "held", "it was let go"); err != nil {
		t.Fatal(err)
	}
	expire(3)
	wantArtifacts(t, db, fresh)
}

func TestCountBuilds(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	check := func(want ...BuildCount) {
		t.Helper()
		if got, err := db.CountBuilds(ctx); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v (%v), want %v", got, err, want)
		}
	}
	check()
	build := createBuild(t, db, "main")
	finishedBuild(t, db, "other")
	check(BuildCount{"main", "pending", 1}, BuildCount{"other", "succeeded", 1})
	if _, err := db.StartBuild(ctx, build.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	finishedBuild(t, db, "main")
	finishedBuild(t, db, "main")
	check(BuildCount{"main", "started", 1}, BuildCount{"main", "succeeded", 2}, BuildCount{"other", "succeeded", 1})
	removeBuilds(t, db, 1, 1)
	check(BuildCount{"main", "started", 1}, BuildCount{"main", "succeeded", 1}, BuildCount{"other", "succeeded", 1})
}
