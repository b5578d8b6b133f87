package state

import (
	"errors"
	"sync/atomic"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// IsDamaged reports whether an error is of a database whose file is damaged, or cannot be
// read.
func IsDamaged(err error) bool {
	failed := (*sqlite.Error)(nil)
	if !errors.As(err, &failed) {
		return false
	}
	switch code := failed.Code(); code {
	case sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_CORRUPTFS, sqlite3.SQLITE_NOTADB:
		return true
	default:
		return code&0xff == sqlite3.SQLITE_CORRUPT
	}
}

// damage is the first error that told of damage.
type damage struct{ first atomic.Pointer[error] }

func (d *damage) note(err error) {
	if err != nil && IsDamaged(err) {
		d.first.CompareAndSwap(nil, &err)
	}
}

// Damage gives the first error by which a statement has found the database damaged, nil when
// none has. What no statement has read may be damaged all the same.
func (db *Database) Damage() error {
	if first := db.damage.first.Load(); first != nil {
		return *first
	}
	return nil
}
