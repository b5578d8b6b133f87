// Package state keeps what a server must not forget, in one SQLite database: teams,
// builds and their plans, the outcome of each step, artifacts, containers, tokens.
//
// A method that has returned without an error has its effect on disk, and a process
// that is killed at any instant leaves a database that opens again with all of that.
// So does a power cut, but for how far steps have come and their containers, which
// are safe from it when their build is finished.
// The package knows nothing of HTTP, runtimes or the contents of artifacts.
package state

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// NotFoundError tells that there is no such row.
type NotFoundError struct {
	Kind string // team, build, artifact, container, token
	Name string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("%s %s not found", e.Kind, e.Name) }

// NewerError tells that a database was written by a newer version of this package,
// whose schema this one does not know. Nothing has been changed in it.
type NewerError struct {
	Path   string
	Schema int64 // of the database
	Known  int64 // the newest this package knows
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the database %s was written by a newer midge-server (its schema is %d, this one knows up to %d): run that version or a later one, or give another data dir",
		e.Path, e.Schema, e.Known)
}

// Database is the state. Its methods may be called from many goroutines. What one
// has written, every call that begins after it returned will read.
type Database struct {
	// writer has a single connection: SQLite takes one writer at a time, and waiting
	// in Go is fair and ends with the context, where waiting in SQLite is neither.
	writer *sql.DB
	// reader has a few connections that can only read; they never wait for the writer.
	reader *sql.DB
	damage damage
}

// readers is the number of reading connections. Each costs some hundred kilobytes.
const readers = 4

// Open opens the database at that path, making it when there is none and bringing
// an older one to the present schema. One of a newer schema is a *NewerError.
// Only one process may have a database open; its caller sees to that.
func Open(ctx context.Context, path string) (*Database, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	// SQLite would make the file readable to all, and gives its companions the mode of it.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db := new(Database)
	db.writer, db.reader = openTraced(dataSource(path), &db.damage), openTraced(dataSource(path, "query_only(1)"), &db.damage)
	db.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, db.writer, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	db.reader.SetMaxOpenConns(readers)
	db.reader.SetMaxIdleConns(readers)
	return db, nil
}

// dataSource names the database at that path, and the pragmas of each connection to it.
func dataSource(path string, pragmas ...string) string {
	values := url.Values{
		"_txlock": {"immediate"},
		"_dqs":    {"0"},
		"_pragma": append([]string{
			"busy_timeout(10000)",
			"journal_mode(WAL)",
			// A commit waits for the disk. NORMAL would survive a kill of the process but
			// not a power cut, and what a client was told must survive that too.
			"synchronous(FULL)",
			"foreign_keys(1)",
			"cache_size(-4000)",
		}, pragmas...),
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: values.Encode()}).String()
}

// migrate brings the database to the newest schema that this package knows.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version of %s: %w", path, err)
	}
	if current > known {
		return &NewerError{Path: path, Schema: current, Known: known}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s from schema %d to %d: %w", path, current, known, err)
	}
	return nil
}

// Close waits for calls that are running and closes the database.
func (db *Database) Close() error {
	return errors.Join(db.reader.Close(), db.writer.Close())
}

// row is what *sql.Row and *sql.Rows have in common.
type row interface {
	Scan(dest ...any) error
}

// list runs a query and gives all its rows; it gives an empty list rather than nil.
func list[T any](ctx context.Context, db *Database, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []T{}
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, rows.Err()
}

// change runs a statement and reports whether it changed a row.
func (db *Database) change(ctx context.Context, statement string, args ...any) (bool, error) {
	return change(ctx, db.writer, statement, args...)
}

// writer is what *sql.DB and *sql.Tx have in common.
type writer interface {
	ExecContext(ctx context.Context, statement string, args ...any) (sql.Result, error)
}

func change(ctx context.Context, w writer, statement string, args ...any) (bool, error) {
	result, err := w.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// inTransaction runs do in a transaction, which is kept when do returns nil.
func (db *Database) inTransaction(ctx context.Context, do func(tx *sql.Tx) error) error {
	return inTransaction(ctx, db.writer, do)
}

// transactor is what *sql.DB and *sql.Conn have in common.
type transactor interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

func inTransaction(ctx context.Context, t transactor, do func(tx *sql.Tx) error) error {
	tx, err := t.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// lazily is inTransaction for what nobody was told yet: its commit does not wait for
// the disk. It outlives the process, and a power cut once a later commit has waited.
func (db *Database) lazily(ctx context.Context, do func(tx *sql.Tx) error) (err error) {
	conn, err := db.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `PRAGMA synchronous = NORMAL`); err != nil {
		return err
	}
	defer func() {
		if _, resetErr := conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA synchronous = FULL`); resetErr != nil {
			// A connection that stays lazy must not be used again.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
			err = errors.Join(err, resetErr)
		}
	}()
	return inTransaction(ctx, conn, do)
}

// notFound makes a *NotFoundError of what a query without a row gives, and leaves other errors alone.
func notFound(err error, kind string, name any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return &NotFoundError{Kind: kind, Name: fmt.Sprint(name)}
	}
	return err
}

// placeholders is a list for IN: one question mark a value.
func placeholders(n int) string {
	return "(" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")"
}

// nanoseconds is how times are stored that the API does not show.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// fromNanoseconds is the inverse of nanoseconds.
func fromNanoseconds(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
