package state

import (
	"context"
	"fmt"
	"time"
)

// BuildHold is what somebody has asked for of the containers of a build.
type BuildHold struct {
	// For is how long they are held once they have ended; 0 when nobody has asked.
	For time.Duration
	By  string
}

// HoldBuild notes how long the containers of a build are to be held. Of a build that is
// not there it is a *NotFoundError.
func (db *Database) HoldBuild(ctx context.Context, id int, hold BuildHold) error {
	changed, err := db.change(ctx, `UPDATE builds SET hold = ?, held_by = ? WHERE id = ?`, int64(hold.For), hold.By, id)
	_, err = db.changedBuild(ctx, "hold", id, changed, err)
	return err
}

// BuildHold gives what was noted last.
func (db *Database) BuildHold(ctx context.Context, id int) (BuildHold, error) {
	var hold BuildHold
	err := db.reader.QueryRowContext(ctx, `SELECT hold, held_by FROM builds WHERE id = ?`, id).Scan((*int64)(&hold.For), &hold.By)
	if err != nil {
		return BuildHold{}, fmt.Errorf("read how long build %d is held: %w", id, notFound(err, "build", id))
	}
	return hold, nil
}
