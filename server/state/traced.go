package state

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"modernc.org/sqlite"

	"midge/trace"
)

// openTraced opens the data source; each statement has a span while spans are recorded, and
// what it finds damaged is noted.
func openTraced(source string, found *damage) *sql.DB { return sql.OpenDB(connector{source, found}) }

// connector makes connections to the data source that it names.
type connector struct {
	source string
	damage *damage
}

var sqliteDriver = new(sqlite.Driver)

func (connector) Driver() driver.Driver { return sqliteDriver }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := sqliteDriver.Open(c.source)
	if err != nil {
		c.damage.note(err)
		return nil, err
	}
	return tracedConnection{conn.(connection), c.damage}, nil
}

// connection is what SQLite's connections have of what package sql makes use of.
type connection interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type tracedConnection struct {
	connection
	damage *damage
}

func (c tracedConnection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	ctx, span := startStatement(ctx, query)
	result, err := c.connection.ExecContext(ctx, query, args)
	c.damage.note(err)
	span.End(err)
	return result, err
}

func (c tracedConnection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	ctx, span := startStatement(ctx, query)
	rows, err := c.connection.QueryContext(ctx, query, args)
	if err != nil {
		c.damage.note(err)
		span.End(err)
		return nil, err
	}
	return tracedRows{rows, span, c.damage}, nil
}

func (c tracedConnection) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	begin, span := startStatement(ctx, "BEGIN")
	tx, err := c.connection.BeginTx(begin, options)
	span.End(err)
	if err != nil {
		return nil, err
	}
	return tracedTransaction{tx, ctx}, nil
}

// tracedRows ends the span of a query when its rows have been read.
type tracedRows struct {
	driver.Rows
	span   trace.Span
	damage *damage
}

func (r tracedRows) Next(row []driver.Value) error {
	err := r.Rows.Next(row)
	r.damage.note(err)
	return err
}

func (r tracedRows) Close() error {
	err := r.Rows.Close()
	r.span.End(err)
	return err
}

// tracedTransaction has a span for its commit, which is what waits for the disk.
type tracedTransaction struct {
	driver.Tx
	ctx context.Context // of its beginning
}

func (t tracedTransaction) Commit() error {
	_, span := startStatement(t.ctx, "COMMIT")
	err := t.Tx.Commit()
	span.End(err)
	return err
}

func startStatement(ctx context.Context, query string) (context.Context, trace.Span) {
	if !trace.Recording() {
		return ctx, trace.Span{}
	}
	summary := summarise(query)
	return trace.StartSpan(ctx, summary, trace.Debug, trace.Statement(summary), semconv.DBSystemNameSQLite)
}

// tableName leaves out what may follow a name without a space.
func tableName(word string) string {
	name, _, _ := strings.Cut(word, "(")
	return strings.TrimRight(name, "),;")
}

// summarise says what a statement does and to which table: "INSERT builds".
func summarise(query string) string {
	words := strings.Fields(query)
	if len(words) == 0 {
		return "SQL"
	}
	operation := strings.ToUpper(words[0])
	before := map[string]string{"SELECT": "FROM", "DELETE": "FROM", "INSERT": "INTO", "REPLACE": "INTO", "UPDATE": "UPDATE", "PRAGMA": "PRAGMA", "WITH": "FROM"}[operation]
	for i, word := range words[:len(words)-1] {
		if before == "" || !strings.EqualFold(word, before) {
			continue
		}
		if name := tableName(words[i+1]); name != "" { // else it is a query in parentheses
			return operation + " " + name
		}
	}
	return operation
}
