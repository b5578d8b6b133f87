package state

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Container is the row of a container, from before it is made until after it is gone.
type Container struct {
	Handle    string
	Worker    string
	Team      string
	BuildID   int
	PlanID    string
	StepName  string
	Type      string // task
	Dir       string
	User      string
	State     string // creating, created, failed, destroying
	CreatedAt time.Time
	// FinishedAt is when its task ended; zero before.
	FinishedAt time.Time
	// HeldUntil keeps it from garbage collection; zero when nobody holds it.
	HeldUntil time.Time
	HeldBy    string
	// Released is why nobody holds it any longer, where its time was not simply over.
	Released string
}

// ContainerFilter selects containers; zero fields select all.
type ContainerFilter struct {
	Teams    []string // nil: all
	BuildID  int
	StepName string
	Type     string
	Worker   string
}

const selectContainer = `SELECT c.handle, c.worker, t.name, c.build_id, c.plan_id, c.step_name, c.type, c.dir, c.user,
	c.state, c.created_at, c.finished_at, c.held_until, c.held_by, c.released
	FROM containers c JOIN teams t ON t.id = c.team_id `

// SaveContainer writes the container of that handle, over what was there. A team
// that is not there is a *NotFoundError.
func (db *Database) SaveContainer(ctx context.Context, container Container) error {
	return db.lazily(ctx, func(tx *sql.Tx) error { return saveContainer(ctx, tx, container) })
}

func saveContainer(ctx context.Context, w writer, container Container) error {
	saved, err := change(ctx, w, `INSERT OR REPLACE INTO containers
		(handle, worker, team_id, build_id, plan_id, step_name, type, dir, user, state, created_at, finished_at, held_until, held_by, released)
		SELECT ?, ?, id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM teams WHERE name = ?`,
		container.Handle, container.Worker, container.BuildID, container.PlanID, container.StepName, container.Type,
		container.Dir, container.User, container.State, nanoseconds(container.CreatedAt), nanoseconds(container.FinishedAt),
		nanoseconds(container.HeldUntil), container.HeldBy, container.Released, container.Team)
	if err == nil && !saved {
		err = &NotFoundError{Kind: "team", Name: container.Team}
	}
	if err != nil {
		return fmt.Errorf("save container %s: %w", container.Handle, err)
	}
	return nil
}

// Container gives the container of that handle, or a *NotFoundError.
func (db *Database) Container(ctx context.Context, handle string) (Container, error) {
	container, err := scanContainer(db.reader.QueryRowContext(ctx, selectContainer+`WHERE c.handle = ?`, handle))
	if err != nil {
		return Container{}, fmt.Errorf("read container %s: %w", handle, notFound(err, "container", handle))
	}
	return container, nil
}

// Containers gives the containers that the filter selects, oldest first.
func (db *Database) Containers(ctx context.Context, filter ContainerFilter) ([]Container, error) {
	conditions := []string{"TRUE"}
	var args []any
	add := func(condition string, values ...any) {
		conditions = append(conditions, condition)
		args = append(args, values...)
	}
	if filter.Teams != nil {
		var teams []any
		for _, team := range filter.Teams {
			teams = append(teams, team)
		}
		add("c.team_id IN (SELECT id FROM teams WHERE name IN "+placeholders(len(teams))+")", teams...)
	}
	if filter.BuildID != 0 {
		add("c.build_id = ?", filter.BuildID)
	}
	if filter.StepName != "" {
		add("c.step_name = ?", filter.StepName)
	}
	if filter.Type != "" {
		add("c.type = ?", filter.Type)
	}
	if filter.Worker != "" {
		add("c.worker = ?", filter.Worker)
	}
	containers, err := list(ctx, db, scanContainer,
		selectContainer+`WHERE `+strings.Join(conditions, " AND ")+` ORDER BY c.created_at, c.handle`, args...)
	if err != nil {
		return nil, fmt.Errorf("read containers: %w", err)
	}
	return containers, nil
}

func scanContainer(r row) (Container, error) {
	var c Container
	var created, finished, heldUntil int64
	err := r.Scan(&c.Handle, &c.Worker, &c.Team, &c.BuildID, &c.PlanID, &c.StepName, &c.Type, &c.Dir, &c.User,
		&c.State, &created, &finished, &heldUntil, &c.HeldBy, &c.Released)
	c.CreatedAt, c.FinishedAt, c.HeldUntil = fromNanoseconds(created), fromNanoseconds(finished), fromNanoseconds(heldUntil)
	return c, err
}
