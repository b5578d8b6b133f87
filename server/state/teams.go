package state

import (
	"context"
	"fmt"

	"midge/api"
)

// EnsureTeam gives the team of that name, which it makes when there is none.
func (db *Database) EnsureTeam(ctx context.Context, name string) (api.Team, error) {
	_, err := db.change(ctx, `INSERT INTO teams (name) VALUES (?) ON CONFLICT DO NOTHING`, name)
	if err != nil {
		return api.Team{}, fmt.Errorf("make team %q: %w", name, err)
	}
	team, err := scanTeam(db.reader.QueryRowContext(ctx, `SELECT id, name FROM teams WHERE name = ?`, name))
	if err != nil {
		return api.Team{}, fmt.Errorf("read team %q: %w", name, err)
	}
	return team, nil
}

// Teams gives all teams by id, without their Auth.
func (db *Database) Teams(ctx context.Context) ([]api.Team, error) {
	teams, err := list(ctx, db, scanTeam, `SELECT id, name FROM teams ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read teams: %w", err)
	}
	return teams, nil
}

func scanTeam(r row) (api.Team, error) {
	var team api.Team
	err := r.Scan(&team.ID, &team.Name)
	return team, err
}
