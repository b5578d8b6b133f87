package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"midge/api"
	"midge/server/state"
)

// Hold keeps the containers of a build for so long, on behalf of by: those that have
// done their work from now on, others from when they have, whatever becomes of it. What is
// held for longer stays so. It gives the containers that there are, and reports false
// for a build that has none and will make none.
func (e *Engine) Hold(ctx context.Context, build int, duration time.Duration, by string) (containers []state.Container, ok bool, err error) {
	until := time.Now().Add(duration)
	change := func(container *state.Container) {
		if until.After(container.HeldUntil) {
			container.HeldUntil, container.HeldBy, container.Released = until, by, ""
		}
	}
	said := api.HoldEvent{Time: now(), Until: until.Unix(), By: by}
	return e.changeHold(ctx, build, state.BuildHold{For: duration, By: by}, said, change)
}

// Release takes back that the containers of a build are held, on behalf of by. What it
// gives is as for Hold.
func (e *Engine) Release(ctx context.Context, build int, by string) (containers []state.Container, ok bool, err error) {
	change := func(container *state.Container) {
		container.HeldUntil, container.HeldBy, container.Released = time.Time{}, "", by+" let it go"
	}
	return e.changeHold(ctx, build, state.BuildHold{}, api.HoldEvent{Time: now(), By: by}, change)
}

// changeHold changes the containers of a build and what is noted for those that it will
// make, and says so in its log.
func (e *Engine) changeHold(ctx context.Context, id int, hold state.BuildHold, said api.HoldEvent, change func(*state.Container)) ([]state.Container, bool, error) {
	var containers []state.Container
	var finished bool
	err := e.write(func() error {
		e.rows.Lock()
		defer e.rows.Unlock()
		record, err := e.options.State.Build(ctx, id)
		if err != nil {
			return err
		}
		containers, err = e.options.State.Containers(ctx, state.ContainerFilter{BuildID: id})
		if err != nil {
			return err
		}
		containers = slices.DeleteFunc(containers, func(c state.Container) bool { return c.State == containerDestroying })
		if finished = record.Status.Finished(); finished && len(containers) == 0 {
			return nil
		}
		if err := e.options.State.HoldBuild(ctx, id, hold); err != nil {
			return err
		}
		for i := range containers {
			change(&containers[i])
			if err := e.options.State.SaveContainer(ctx, containers[i]); err != nil {
				return err
			}
		}
		if err := e.sayHold(id, said, containers); err != nil {
			return err
		}
		return e.limitHolds(ctx, record.TeamName)
	})
	return containers, !finished || len(containers) > 0, err
}

// sayHold adds to a build's log what was done to its containers, or, when it has none
// yet, to those that it will make.
func (e *Engine) sayHold(build int, said api.HoldEvent, containers []state.Container) error {
	if len(containers) == 0 {
		containers = []state.Container{{}}
	}
	log, err := e.options.Logs.Open(build)
	if err != nil {
		return fmt.Errorf("note who holds the containers of build %d: %w", build, err)
	}
	defer log.Close()
	for _, container := range containers {
		said.Container, said.Origin = container.Handle, api.Origin{ID: container.PlanID}
		if _, err := log.Append(logEvent(said)); err != nil {
			return fmt.Errorf("note who holds the containers of build %d: %w", build, err)
		}
	}
	return nil
}

// Use keeps a container until then at the least, because by is in it. One that is not
// there is a *state.NotFoundError.
func (e *Engine) Use(ctx context.Context, handle string, until time.Time, by string) error {
	return e.write(func() error {
		e.rows.Lock()
		defer e.rows.Unlock()
		container, err := e.options.State.Container(ctx, handle)
		if err != nil || !until.After(container.HeldUntil) {
			return err
		}
		container.HeldUntil, container.HeldBy, container.Released = until, by, ""
		return e.options.State.SaveContainer(ctx, container)
	})
}

// limitHolds lets go of containers of a team, those first that have been there for
// longest, until it holds no more than it may. Those that somebody is in stay. It is
// called with the rows locked.
func (e *Engine) limitHolds(ctx context.Context, team string) error {
	if e.options.MaxHeld <= 0 {
		return nil
	}
	held, err := e.options.State.Containers(ctx, state.ContainerFilter{Teams: []string{team}})
	if err != nil {
		return err
	}
	at := time.Now()
	held = slices.DeleteFunc(held, func(c state.Container) bool { return c.FinishedAt.IsZero() || !c.HeldUntil.After(at) })
	slices.SortStableFunc(held, func(a, b state.Container) int { return cmp.Compare(a.FinishedAt.UnixNano(), b.FinishedAt.UnixNano()) })
	excess := len(held) - e.options.MaxHeld
	for _, container := range held {
		if excess <= 0 {
			return nil
		}
		if e.options.InUse(container.Handle) {
			continue
		}
		excess--
		if err := e.letGo(ctx, container); err != nil {
			return err
		}
	}
	return nil
}

// letGo ends the hold of a container of a team that holds too many.
func (e *Engine) letGo(ctx context.Context, container state.Container) error {
	reason := fmt.Sprintf("the team %s may hold %d containers at once, and it was the oldest of them", container.Team, e.options.MaxHeld)
	e.options.Logger.Info("a container is no longer held", "container", container.Handle, "build", container.BuildID, "reason", reason)
	container.HeldUntil, container.HeldBy, container.Released = time.Time{}, "", reason
	if err := e.options.State.SaveContainer(ctx, container); err != nil {
		return err
	}
	return e.sayHold(container.BuildID, api.HoldEvent{Time: now(), Reason: reason}, []state.Container{container})
}

// hold gives until when the container of a task is held that has ended, and by whom: for
// those who want to look into one that did not succeed, and for who has asked.
func (t *task) hold(row state.Step) (until time.Time, by string, err error) {
	if row.State == state.StepFailed || row.State == state.StepErrored {
		duration := t.engine.options.HoldFailed
		if t.plan.Task.Hold != "" {
			if duration, err = time.ParseDuration(t.plan.Task.Hold); err != nil {
				return time.Time{}, "", err
			}
		}
		if duration > 0 {
			until = row.EndedAt.Add(duration)
		}
	}
	asked, err := t.engine.options.State.BuildHold(t.writing, t.record.ID)
	if err != nil {
		return time.Time{}, "", err
	}
	if asked.For > 0 && row.EndedAt.Add(asked.For).After(until) {
		return row.EndedAt.Add(asked.For), asked.By, nil
	}
	return until, "", nil
}

// whyGone says why a container is removed, as the end of a sentence about it.
func whyGone(container state.Container) string {
	switch {
	case container.State == api.ContainerFailed:
		return "it could not be made"
	case container.Released != "":
		return container.Released
	case container.HeldUntil.IsZero():
		return "nobody held it"
	case container.HeldBy != "":
		return fmt.Sprintf("%s held it until %s", container.HeldBy, container.HeldUntil.UTC().Format(time.DateTime))
	}
	return fmt.Sprintf("it was held until %s", container.HeldUntil.UTC().Format(time.DateTime))
}
