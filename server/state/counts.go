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

// CountBuilds counts all builds by team and status. Its time grows with their number.
func (db *Database) CountBuilds(ctx context.Context) ([]BuildCount, error) {
	scan := func(r row) (count BuildCount, err error) {
		err = r.Scan(&count.Team, &count.Status, &count.Builds)
		return count, err
	}
	counts, err := list(ctx, db, scan, `SELECT t.name, b.status, count(*) FROM builds b JOIN teams t ON t.id = b.team_id
		GROUP BY b.team_id, b.status ORDER BY t.name, b.status`)
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
