package engine

import (
	"time"

	"midge/api"
	"midge/server/state"
)

// States of a container's row. It is created from before the container is.
const (
	containerCreated    = "created"
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

// save writes the step with its container, which has done its work and may be held. One
// that is lost has its row no longer, so that nobody is told of it.
func (t *task) save(row state.Step) error {
	if row.Container == "" {
		return t.build.save(row)
	}
	t.engine.rows.Lock()
	defer t.engine.rows.Unlock()
	container, err := t.engine.options.State.Container(t.writing, row.Container)
	if err != nil {
		return err
	}
	container.FinishedAt = row.EndedAt
	if t.unmade {
		container.State = api.ContainerFailed
	}
	until, by, err := t.hold(row)
	if err != nil {
		return err
	}
	if container.State == containerCreated && !t.lost && until.After(container.HeldUntil) {
		container.HeldUntil, container.HeldBy = until, by
	}
	if err := t.engine.options.State.SaveStep(t.writing, row, container); err != nil {
		return err
	}
	if t.lost {
		return t.engine.options.State.RemoveContainer(t.writing, container.Handle, "the worker "+container.Worker+" has lost it")
	}
	if err := t.engine.limitHolds(t.engine.hard, container.Team); err != nil && t.engine.hard.Err() == nil {
		t.logger.Error("more containers are held than may be", "team", container.Team, "error", err)
	}
	return nil
}
