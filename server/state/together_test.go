package state

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"midge/api"
)

func TestCreateStartedBuild(t *testing.T) {
	db := openTest(t)
	build, _, err := db.CreateBuild(t.Context(), NewBuild{Team: "main", Plan: taskPlan(), StartedAt: time.Unix(100, 0)})
	if err != nil || build.Status != api.StatusStarted || build.StartTime != 100 {
		t.Errorf("got %+v, %v", build.Build, err)
	}
}

func TestAStepIsSavedWithItsContainersOrNotAtAll(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	step := Step{BuildID: createBuild(t, db, "main").ID, PlanID: "1", Attempt: 1, State: StepStarted}
	err := db.SaveStep(ctx, step, Container{Handle: "a", Team: "main"}, Container{Handle: "b", Team: "none"})
	wantNotFound(t, err, "team")
	if steps, err := db.Steps(ctx, step.BuildID); err != nil || len(steps) != 0 {
		t.Errorf("the step was saved: %v, %v", steps, err)
	}
	_, err = db.Container(ctx, "a")
	wantNotFound(t, err, "container")

	if err := db.SaveStep(ctx, step, Container{Handle: "a", Team: "main"}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Container(ctx, "a"); err != nil {
		t.Error(err)
	}
	if steps, err := db.Steps(ctx, step.BuildID); err != nil || len(steps) != 1 {
		t.Errorf("got steps %v, %v", steps, err)
	}
}

func TestAnArtifactIsCreatedWithItsStepOrNotAtAll(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	step := Step{BuildID: createBuild(t, db, "main").ID, PlanID: "1", Attempt: 1, State: StepSucceeded}
	_, err := db.CreateArtifact(ctx, "none", api.Artifact{BuildID: step.BuildID}, step)
	wantNotFound(t, err, "team")
	if steps, err := db.Steps(ctx, step.BuildID); err != nil || len(steps) != 0 {
		t.Errorf("the step was saved: %v, %v", steps, err)
	}
	if _, err := db.CreateArtifact(ctx, "main", api.Artifact{BuildID: step.BuildID}, step); err != nil {
		t.Fatal(err)
	}
	if steps, err := db.Steps(ctx, step.BuildID); err != nil || len(steps) != 1 {
		t.Errorf("got steps %v, %v", steps, err)
	}
}

func TestAfterALazyCommitOthersWaitForTheDisk(t *testing.T) {
	db := openTest(t)
	const full = 2
	check := func(when string) {
		t.Helper()
		var synchronous int
		if err := db.writer.QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&synchronous); err != nil || synchronous != full {
			t.Errorf("%s: synchronous is %d, %v", when, synchronous, err)
		}
	}
	if err := db.SaveContainer(t.Context(), Container{Handle: "a", Team: "main"}); err != nil {
		t.Fatal(err)
	}
	check("after a commit")
	if err := db.SaveContainer(t.Context(), Container{Handle: "a", Team: "none"}); err == nil {
		t.Error("a container of no team was saved")
	}
	check("after a failure")
	ctx, cancel := context.WithCancel(t.Context())
	err := db.lazily(ctx, func(*sql.Tx) error {
		cancel()
		return ctx.Err()
	})
	if err == nil {
		t.Error("a transaction that was cancelled was kept")
	}
	check("after its context has ended")
}
