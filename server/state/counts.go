package state

import (
	"context"
	"fmt"

	"midge/api"
)

// BuildCount is how many builds of a status a team has.
type BuildCount struct {
	Team   string
	Status api.BuildStatus
	Builds int
}

// CountBuilds counts all builds by team and status, those of which there are none left out.
func (db *Database) CountBuilds(ctx context.Context) ([]BuildCount, error) {
	scan := func(r row) (count BuildCount, err error) {
		err = r.Scan(&count.Team, &count.Status, &count.Builds)
		return count, err
	}
	counts, err := list(ctx, db, scan, `SELECT t.name, c.status, c.builds FROM build_counts c JOIN teams t ON t.id = c.team_id
		WHERE c.builds > 0 ORDER BY t.name, c.status`)
	if err != nil {
		return nil, fmt.Errorf("count builds: %w", err)
	}
	return counts, nil
}

// Ping finds out whether the database can be read.
func (db *Database) Ping(ctx context.Context) error {
	var one int
	if err := db.reader.QueryRowContext(ctx, `SELECT 1 FROM teams LIMIT 1`).Scan(&one); err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	return nil
}

// CountUnfinishedOfTeam counts the builds of a team that are pending or started.
func (db *Database) CountUnfinishedOfTeam(ctx context.Context, team string) (int, error) {
	return db.count(ctx, `SELECT coalesce(sum(builds), 0) FROM build_counts
		WHERE team_id = (SELECT id FROM teams WHERE name = ?) AND status IN `+unfinished, team)
}

// CountUnfinishedOfUser counts the builds that a user has created and that are pending or started.
func (db *Database) CountUnfinishedOfUser(ctx context.Context, user string) (int, error) {
	return db.count(ctx, `SELECT count(*) FROM builds WHERE created_by = ? AND status IN `+unfinished, user)
}

func (db *Database) count(ctx context.Context, query, name string) (n int, err error) {
	if err := db.reader.QueryRowContext(ctx, query, name).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the unfinished builds of %q: %w", name, err)
	}
	return n, nil
}
