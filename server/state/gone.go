package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// GoneContainer is a container that was removed.
type GoneContainer struct {
	Handle   string
	Team     string
	BuildID  int
	StepName string
	Type     string // task
	At       time.Time
	// Reason is why it was not kept, as the end of a sentence about it.
	Reason string
}

// goneFor is how long it is known what became of a container.
const goneFor = 30 * 24 * time.Hour

// RemoveContainer removes the row of a container, and notes why for who looks for it.
// One that is not there is no error.
func (db *Database) RemoveContainer(ctx context.Context, handle, reason string) error {
	at := time.Now()
	err := db.lazily(ctx, func(tx *sql.Tx) error {
		_, err := change(ctx, tx, `INSERT OR REPLACE INTO gone_containers (handle, team_id, build_id, step_name, type, gone_at, reason)
			SELECT handle, team_id, build_id, step_name, type, ?, ? FROM containers WHERE handle = ?`, nanoseconds(at), reason, handle)
		if err != nil {
			return err
		}
		if _, err := change(ctx, tx, `DELETE FROM gone_containers WHERE gone_at < ?`, nanoseconds(at.Add(-goneFor))); err != nil {
			return err
		}
		_, err = change(ctx, tx, `DELETE FROM containers WHERE handle = ?`, handle)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove container %s: %w", handle, err)
	}
	return nil
}

const selectGone = `SELECT g.handle, t.name, g.build_id, g.step_name, g.type, g.gone_at, g.reason
	FROM gone_containers g JOIN teams t ON t.id = g.team_id `

// GoneContainer gives what became of the container of that handle, or a *NotFoundError
// when that is not known.
func (db *Database) GoneContainer(ctx context.Context, handle string) (GoneContainer, error) {
	gone, err := scanGone(db.reader.QueryRowContext(ctx, selectGone+`WHERE g.handle = ?`, handle))
	if err != nil {
		return GoneContainer{}, fmt.Errorf("read what became of container %s: %w", handle, notFound(err, "container", handle))
	}
	return gone, nil
}

// GoneContainers gives those of a team's build, in the order in which they were removed.
func (db *Database) GoneContainers(ctx context.Context, team string, build int) ([]GoneContainer, error) {
	all, err := list(ctx, db, scanGone, selectGone+`WHERE t.name = ? AND g.build_id = ? ORDER BY g.gone_at, g.handle`, team, build)
	if err != nil {
		return nil, fmt.Errorf("read what became of the containers of build %d: %w", build, err)
	}
	return all, nil
}

func scanGone(r row) (GoneContainer, error) {
	var g GoneContainer
	var at int64
	err := r.Scan(&g.Handle, &g.Team, &g.BuildID, &g.StepName, &g.Type, &at, &g.Reason)
	g.At = fromNanoseconds(at)
	return g, err
}
