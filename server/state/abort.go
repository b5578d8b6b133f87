package state

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"midge/api"
)

// Abort is a request to abort a build.
type Abort struct {
	By string // a user
	// Key is what the request is named by, "" for nothing: one that is sent again has
	// the same.
	Key string
	At  time.Time
}

// Interruption is how much of a build was asked to be aborted.
type Interruption int

const (
	// NotInterrupted is a build that nobody has aborted.
	NotInterrupted Interruption = iota
	// StepsInterrupted is one that was aborted: hooks that follow that still run.
	StepsInterrupted
	// AllInterrupted is one that was aborted again, hooks included.
	AllInterrupted
)

// abortRepeats is for how long an abort by the same user is the first one sent again,
// when neither has a key: clients and proxies repeat what they got no answer to, and a
// second abort costs the build its outputs.
const abortRepeats = 5 * time.Second

// RequestAbort notes an abort of a build that is not finished, and gives what is to be
// interrupted by it; of one that is finished it changes nothing. A request that is the
// first one sent again asks for no more than that did.
func (db *Database) RequestAbort(ctx context.Context, id int, abort Abort) (Interruption, error) {
	var again bool
	// What is assigned is computed from the row as it was.
	err := db.writer.QueryRowContext(ctx, `UPDATE builds SET
			aborted_again = CASE
				WHEN aborted_by = '' THEN 0
				WHEN abort_key = :key AND :key != '' THEN aborted_again
				WHEN abort_key = :key AND aborted_by = :by AND abs(:at - abort_asked_at) < :repeats THEN aborted_again
				ELSE 1 END,
			abort_key = iif(aborted_by = '', :key, abort_key),
			abort_asked_at = iif(aborted_by = '', :at, abort_asked_at),
			aborted_by = iif(aborted_by = '', :by, aborted_by)
		WHERE id = :id AND status IN (:pending, :started) RETURNING aborted_again`,
		sql.Named("by", abort.By), sql.Named("key", abort.Key), sql.Named("at", nanoseconds(abort.At)),
		sql.Named("repeats", int64(abortRepeats)), sql.Named("id", id),
		sql.Named("pending", api.StatusPending), sql.Named("started", api.StatusStarted)).Scan(&again)
	noted := !errors.Is(err, sql.ErrNoRows)
	if !noted {
		err = nil
	}
	if noted, err = db.changedBuild(ctx, "abort", id, noted, err); !noted {
		return NotInterrupted, err
	}
	return interruption(again), nil
}

// interruption is that of a build that was aborted.
func interruption(again bool) Interruption {
	if again {
		return AllInterrupted
	}
	return StepsInterrupted
}
