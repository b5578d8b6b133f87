package state

import (
	"context"
	"fmt"
	"time"
)

// Wall is the message that the server shows to everybody.
type Wall struct {
	Message   string
	ExpiresAt time.Time // zero: never
}

// SetWall replaces the message.
func (db *Database) SetWall(ctx context.Context, wall Wall) error {
	_, err := db.change(ctx, `INSERT OR REPLACE INTO wall (id, message, expires_at) VALUES (1, ?, ?)`,
		wall.Message, nanoseconds(wall.ExpiresAt))
	if err != nil {
		return fmt.Errorf("set the wall: %w", err)
	}
	return nil
}

// Wall gives the message, expired or not, or a *NotFoundError when there is none.
func (db *Database) Wall(ctx context.Context) (Wall, error) {
	var wall Wall
	var expires int64
	err := db.reader.QueryRowContext(ctx, `SELECT message, expires_at FROM wall`).Scan(&wall.Message, &expires)
	if err != nil {
		return Wall{}, fmt.Errorf("read the wall: %w", notFound(err, "wall", "message"))
	}
	wall.ExpiresAt = fromNanoseconds(expires)
	return wall, nil
}

// ClearWall removes the message; none is no error.
func (db *Database) ClearWall(ctx context.Context) error {
	if _, err := db.change(ctx, `DELETE FROM wall`); err != nil {
		return fmt.Errorf("clear the wall: %w", err)
	}
	return nil
}
