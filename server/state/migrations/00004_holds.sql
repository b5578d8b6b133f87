-- +goose Up

-- For how long, in nanoseconds, the containers of the build are held once they have
-- ended, and who asked for that.
ALTER TABLE builds ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN held_by TEXT NOT NULL DEFAULT '';

-- Why the container is held no longer, where not because its time was over.
ALTER TABLE containers ADD COLUMN released TEXT NOT NULL DEFAULT '';

-- Containers that were removed, for those who look for one.
CREATE TABLE gone_containers (
	handle    TEXT NOT NULL PRIMARY KEY,
	team_id   INTEGER NOT NULL REFERENCES teams (id),
	build_id  INTEGER NOT NULL,
	step_name TEXT NOT NULL,
	type      TEXT NOT NULL,
	gone_at   INTEGER NOT NULL,
	reason    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX gone_containers_by_build ON gone_containers (build_id);
CREATE INDEX gone_containers_by_time ON gone_containers (gone_at);
