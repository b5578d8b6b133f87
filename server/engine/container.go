package engine

import (
	"errors"
	"time"

	"midge/server/state"
)

// States of a container's row.
const (
	containerCreating   = "creating"
	containerCreated    = "created"
	containerDestroying = "destroying"
)

// changeContainer changes the row of the task's container, or makes it.
func (t *task) changeContainer(change func(row *state.Container)) error {
	return t.engine.write(func() error {
		t.engine.rows.Lock()
		defer t.engine.rows.Unlock()
		row, err := t.engine.options.State.Container(t.engine.hard, t.handle)
		var missing *state.NotFoundError
		if errors.As(err, &missing) {
			row, err = t.newContainer(), nil
		}
		if err != nil {
			return err
		}
		change(&row)
		return t.engine.options.State.SaveContainer(t.engine.hard, row)
	})
}

func (t *task) newContainer() state.Container {
	return state.Container{
		Handle:    t.handle,
		Team:      t.record.TeamName,
		BuildID:   t.record.ID,
		PlanID:    t.plan.ID,
		StepName:  t.plan.Task.Name,
		Type:      "task",
		Dir:       t.dir,
		User:      t.config.Run.User,
		State:     containerCreating,
		CreatedAt: time.Now(),
	}
}

// endContainer notes that the task's container has done its work, and holds it for
// a look inside when the task did not succeed.
func (t *task) endContainer(out outcome) error {
	return t.changeContainer(func(row *state.Container) {
		row.FinishedAt = time.Now()
		if out != succeeded {
			if until := row.FinishedAt.Add(t.engine.options.HoldFailed); t.engine.options.HoldFailed > 0 && until.After(row.HeldUntil) {
				row.HeldUntil = until
			}
		}
	})
}
