-- +goose Up

-- Times are Unix seconds where the API shows them (builds, artifacts), else Unix
-- nanoseconds; 0 means not yet or never.

CREATE TABLE teams (
	id   INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE builds (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	team_id      INTEGER NOT NULL REFERENCES teams (id),
	status       TEXT NOT NULL,
	created_by   TEXT NOT NULL,
	create_time  INTEGER NOT NULL,
	start_time   INTEGER NOT NULL DEFAULT 0,
	end_time     INTEGER NOT NULL DEFAULT 0,
	trace_parent TEXT NOT NULL,
	aborted_by   TEXT NOT NULL DEFAULT ''
) STRICT;

-- The id is the last column of each of these, as SQLite adds it.
CREATE INDEX builds_by_team ON builds (team_id);
CREATE INDEX builds_by_status ON builds (status);
CREATE INDEX builds_by_team_status ON builds (team_id, status);
CREATE INDEX builds_by_start ON builds (start_time);
CREATE INDEX builds_by_status_start ON builds (status, start_time);
CREATE INDEX builds_by_team_start ON builds (team_id, start_time);
CREATE INDEX builds_by_team_status_start ON builds (team_id, status, start_time);

-- Plans are large and rarely read, so that lists of builds need not pass over them.
CREATE TABLE build_plans (
	build_id INTEGER PRIMARY KEY REFERENCES builds (id) ON DELETE CASCADE,
	plan     TEXT NOT NULL
) STRICT;

CREATE TABLE steps (
	build_id    INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
	plan_id     TEXT NOT NULL,
	attempt     INTEGER NOT NULL,
	state       TEXT NOT NULL,
	exit_status INTEGER NOT NULL,
	container   TEXT NOT NULL,
	worker      TEXT NOT NULL,
	message     TEXT NOT NULL,
	started_at  INTEGER NOT NULL,
	ended_at    INTEGER NOT NULL,
	PRIMARY KEY (build_id, plan_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	team_id    INTEGER NOT NULL REFERENCES teams (id),
	name       TEXT NOT NULL,
	build_id   INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	digest     TEXT NOT NULL,
	files      INTEGER NOT NULL,
	bytes      INTEGER NOT NULL
) STRICT;

CREATE INDEX artifacts_by_build ON artifacts (build_id);
CREATE INDEX artifacts_by_digest ON artifacts (digest);

CREATE TABLE containers (
	handle      TEXT NOT NULL PRIMARY KEY,
	worker      TEXT NOT NULL,
	team_id     INTEGER NOT NULL REFERENCES teams (id),
	build_id    INTEGER NOT NULL,
	plan_id     TEXT NOT NULL,
	step_name   TEXT NOT NULL,
	type        TEXT NOT NULL,
	dir         TEXT NOT NULL,
	user        TEXT NOT NULL,
	state       TEXT NOT NULL,
	created_at  INTEGER NOT NULL,
	finished_at INTEGER NOT NULL,
	held_until  INTEGER NOT NULL,
	held_by     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX containers_by_build ON containers (build_id);
CREATE INDEX containers_by_team ON containers (team_id);

CREATE TABLE tokens (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	hash       BLOB NOT NULL UNIQUE,
	user       TEXT NOT NULL,
	groups     TEXT NOT NULL, -- a list in JSON
	name       TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	used_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX tokens_by_user ON tokens (user);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);

-- At most one message is on the wall.
CREATE TABLE wall (
	id         INTEGER PRIMARY KEY CHECK (id = 1),
	message    TEXT NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT;
