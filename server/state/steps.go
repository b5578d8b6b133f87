package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// StepState is how far a step has come.
type StepState string

const (
	StepStarted   StepState = "started"
	StepSucceeded StepState = "succeeded"
	StepFailed    StepState = "failed"
	StepErrored   StepState = "errored"
	StepAborted   StepState = "aborted"
)

// Step is the outcome of one step of a build's plan. A server that comes back does
// not run a step again that has ended, and finds the container of one that has not.
type Step struct {
	BuildID    int
	PlanID     string
	Attempt    int // of the retry around it, from 1
	State      StepState
	ExitStatus int    // of a task that ran, else -1
	Container  string // handle, "" for none
	Worker     string
	Message    string // why it errored
	StartedAt  time.Time
	EndedAt    time.Time
}

// SaveStep writes the step of that build, plan id and attempt, over what was there,
// and containers with it: all of them or nothing.
func (db *Database) SaveStep(ctx context.Context, step Step, containers ...Container) error {
	return db.lazily(ctx, func(tx *sql.Tx) error {
		for _, container := range containers {
			if err := saveContainer(ctx, tx, container); err != nil {
				return err
			}
		}
		return saveStep(ctx, tx, step)
	})
}

func saveStep(ctx context.Context, w writer, step Step) error {
	_, err := change(ctx, w, `INSERT OR REPLACE INTO steps
		(build_id, plan_id, attempt, state, exit_status, container, worker, message, started_at, ended_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		step.BuildID, step.PlanID, step.Attempt, step.State, step.ExitStatus, step.Container, step.Worker,
		step.Message, nanoseconds(step.StartedAt), nanoseconds(step.EndedAt))
	if err != nil {
		return fmt.Errorf("save step %s of build %d: %w", step.PlanID, step.BuildID, err)
	}
	return nil
}

// Steps gives the steps of a build that have begun, by plan id and attempt.
func (db *Database) Steps(ctx context.Context, buildID int) ([]Step, error) {
	steps, err := list(ctx, db, scanStep, `SELECT build_id, plan_id, attempt, state, exit_status, container,
		worker, message, started_at, ended_at FROM steps WHERE build_id = ? ORDER BY plan_id, attempt`, buildID)
	if err != nil {
		return nil, fmt.Errorf("read steps of build %d: %w", buildID, err)
	}
	return steps, nil
}

func scanStep(r row) (Step, error) {
	var step Step
	var started, ended int64
	err := r.Scan(&step.BuildID, &step.PlanID, &step.Attempt, &step.State, &step.ExitStatus, &step.Container,
		&step.Worker, &step.Message, &started, &ended)
	step.StartedAt, step.EndedAt = fromNanoseconds(started), fromNanoseconds(ended)
	return step, err
}
