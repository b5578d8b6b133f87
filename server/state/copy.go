package state

import (
	"context"
	"fmt"
)

// Copy writes the database as it is at one moment to a new file, while others read
// and write it.
func (db *Database) Copy(ctx context.Context, path string) error {
	if _, err := db.writer.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return nil
}
