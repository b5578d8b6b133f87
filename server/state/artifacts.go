package state

import (
	"context"
	"database/sql"
	"fmt"

	"midge/api"
)

// Artifact is the row of an artifact.
type Artifact struct {
	api.Artifact
	Team string
}

const selectArtifact = `SELECT a.id, a.name, a.build_id, a.created_at, a.digest, a.files, a.bytes, t.name
	FROM artifacts a JOIN teams t ON t.id = a.team_id `

// CreateArtifact writes the artifact and gives it with its new id. A team that is
// not there is a *NotFoundError. Steps, such as the one that made it, are written
// with it: all of them or nothing.
func (db *Database) CreateArtifact(ctx context.Context, team string, artifact api.Artifact, steps ...Step) (api.Artifact, error) {
	transaction := db.inTransaction
	if len(steps) > 0 {
		transaction = db.lazily
	}
	err := transaction(ctx, func(tx *sql.Tx) error {
		for _, step := range steps {
			if err := saveStep(ctx, tx, step); err != nil {
				return err
			}
		}
		err := tx.QueryRowContext(ctx, `INSERT INTO artifacts (team_id, name, build_id, created_at, digest, files, bytes)
			SELECT id, ?, ?, ?, ?, ?, ? FROM teams WHERE name = ? RETURNING id`,
			artifact.Name, artifact.BuildID, artifact.CreatedAt, artifact.Digest, artifact.Files, artifact.Bytes, team).Scan(&artifact.ID)
		return notFound(err, "team", team)
	})
	if err != nil {
		return api.Artifact{}, fmt.Errorf("create artifact %q: %w", artifact.Name, err)
	}
	return artifact, nil
}

// Artifact gives the artifact of that id, or a *NotFoundError.
func (db *Database) Artifact(ctx context.Context, id int) (Artifact, error) {
	artifact, err := scanArtifact(db.reader.QueryRowContext(ctx, selectArtifact+`WHERE a.id = ?`, id))
	if err != nil {
		return Artifact{}, fmt.Errorf("read artifact %d: %w", id, notFound(err, "artifact", id))
	}
	return artifact, nil
}

// TeamArtifacts gives a team's artifacts, the newest first, at most limit.
func (db *Database) TeamArtifacts(ctx context.Context, team string, limit int) ([]api.Artifact, error) {
	artifacts, err := list(ctx, db, func(r row) (api.Artifact, error) {
		artifact, err := scanArtifact(r)
		return artifact.Artifact, err
	}, selectArtifact+`WHERE t.name = ? ORDER BY a.id DESC LIMIT ?`, team, limit)
	if err != nil {
		return nil, fmt.Errorf("read artifacts of team %q: %w", team, err)
	}
	return artifacts, nil
}

// BuildArtifacts gives the artifacts that a build made, oldest first.
func (db *Database) BuildArtifacts(ctx context.Context, buildID int) ([]api.Artifact, error) {
	artifacts, err := list(ctx, db, func(r row) (api.Artifact, error) {
		artifact, err := scanArtifact(r)
		return artifact.Artifact, err
	}, selectArtifact+`WHERE a.build_id = ? ORDER BY a.id`, buildID)
	if err != nil {
		return nil, fmt.Errorf("read artifacts of build %d: %w", buildID, err)
	}
	return artifacts, nil
}

// ArtifactDigests gives the digest of every artifact, each once, in order.
func (db *Database) ArtifactDigests(ctx context.Context) ([]string, error) {
	digests, err := list(ctx, db, func(r row) (string, error) {
		var digest string
		err := r.Scan(&digest)
		return digest, err
	}, `SELECT DISTINCT digest FROM artifacts ORDER BY digest`)
	if err != nil {
		return nil, fmt.Errorf("read digests of artifacts: %w", err)
	}
	return digests, nil
}

// DeleteArtifact removes the row; one that is not there is no error.
func (db *Database) DeleteArtifact(ctx context.Context, id int) error {
	if _, err := db.change(ctx, `DELETE FROM artifacts WHERE id = ?`, id); err != nil {
		return fmt.Errorf("delete artifact %d: %w", id, err)
	}
	return nil
}

func scanArtifact(r row) (Artifact, error) {
	var a Artifact
	err := r.Scan(&a.ID, &a.Name, &a.BuildID, &a.CreatedAt, &a.Digest, &a.Files, &a.Bytes, &a.Team)
	return a, err
}
