package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"midge/api"
)

// removalBatch is how many builds are removed in one transaction: others who write
// need not wait for all of them.
const removalBatch = 200

// unfinished are the statuses of a build that is not finished, for IN.
const unfinished = `('` + string(api.StatusPending) + `', '` + string(api.StatusStarted) + `')`

// RemoveBuilds removes the builds of each team but its newest keep, and says how
// many those were. Those stay that have not finished by then or have a container. With a
// build go its plan, its steps and the artifacts that it made and no other build
// begins with; its log and spans are the caller's to remove.
func (db *Database) RemoveBuilds(ctx context.Context, keep int, finished time.Time) (int, error) {
	teams, err := db.Teams(ctx)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, team := range teams {
		n, err := db.removeBuilds(ctx, team.ID, keep, finished)
		removed += n
		if err != nil {
			return removed, fmt.Errorf("remove builds of team %q: %w", team.Name, err)
		}
	}
	if _, err := db.change(ctx, `DELETE FROM artifacts WHERE build_id <> 0
		AND NOT EXISTS (SELECT 1 FROM builds WHERE id = artifacts.build_id)
		AND NOT EXISTS (SELECT 1 FROM build_inputs WHERE artifact_id = artifacts.id)`); err != nil {
		return removed, fmt.Errorf("remove artifacts of builds that were removed: %w", err)
	}
	return removed, nil
}

func (db *Database) removeBuilds(ctx context.Context, team, keep int, finished time.Time) (removed int, err error) {
	for {
		var n int64
		err := db.inTransaction(ctx, func(tx *sql.Tx) error {
			result, err := tx.ExecContext(ctx, `DELETE FROM builds WHERE id IN (
				SELECT id FROM builds b WHERE team_id = ?1 AND status NOT IN `+unfinished+` AND end_time <= ?4
				AND id <= (SELECT id FROM builds WHERE team_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
				AND NOT EXISTS (SELECT 1 FROM containers WHERE build_id = b.id)
				ORDER BY id LIMIT ?3)`, team, keep, removalBatch, finished.Unix())
			if err != nil {
				return err
			}
			n, err = result.RowsAffected()
			return err
		})
		removed += int(n)
		if err != nil || n < removalBatch {
			return removed, err
		}
	}
}

// ExpireArtifacts removes the artifacts that were made before then and says how many
// those were. Those stay that are of a build, as an input or made by it, which has not
// finished by then or has a container.
func (db *Database) ExpireArtifacts(ctx context.Context, before, finished time.Time) (int, error) {
	result, err := db.writer.ExecContext(ctx, `DELETE FROM artifacts WHERE created_at < ? AND NOT EXISTS (
		SELECT 1 FROM builds b WHERE (b.id = artifacts.build_id
			OR b.id IN (SELECT build_id FROM build_inputs WHERE artifact_id = artifacts.id))
		AND (b.status IN `+unfinished+` OR b.end_time > ? OR EXISTS (SELECT 1 FROM containers WHERE build_id = b.id)))`,
		before.Unix(), finished.Unix())
	if err != nil {
		return 0, fmt.Errorf("remove expired artifacts: %w", err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// BuildIDs gives the ids of all builds, in ascending order.
func (db *Database) BuildIDs(ctx context.Context) ([]int, error) {
	ids, err := list(ctx, db, func(r row) (id int, err error) {
		err = r.Scan(&id)
		return id, err
	}, `SELECT id FROM builds ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read the ids of builds: %w", err)
	}
	return ids, nil
}
