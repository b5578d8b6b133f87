package engine

import (
	"time"

	"midge/server/state"
)

// States of a container's row. It is created from before the container is.
const (
	containerCreated    = "created"
	containerFailed     = "failed" // it could not be made
	containerDestroying = "destroying"
)

// containerRow is the row of the task's container on a worker.
func (t *task) containerRow(worker string) state.Container {
	return state.Container{
		Handle:    t.handle,
		Worker:    worker,
		Team:      t.record.TeamName,
		BuildID:   t.record.ID,
		PlanID:    t.plan.ID,
		StepName:  t.plan.Task.Name,
		Type:      "task",
		Dir:       t.dir,
		User:      t.config.Run.User,
		State:     containerCreated,
		CreatedAt: time.Now(),
	}
}

// save writes the step with its container, which has done its work. That of a task
// which failed or errored is held for a look inside.
func (t *task) save(row state.Step) error {
	if row.Container == "" {
		return t.build.save(row)
	}
	t.engine.rows.Lock()
	defer t.engine.rows.Unlock()
	container, err := t.engine.options.State.Container(t.engine.hard, row.Container)
	if err != nil {
		return err
	}
	container.FinishedAt = row.EndedAt
	if !t.made && !t.reached(stageStarted) {
		container.State = containerFailed
	}
	if row.State == state.StepFailed || row.State == state.StepErrored {
		if until := row.EndedAt.Add(t.engine.options.HoldFailed); until.After(container.HeldUntil) {
			container.HeldUntil = until
		}
	}
	return t.engine.options.State.SaveStep(t.engine.hard, row, container)
}
