-- +goose Up

-- Which artifacts a build begins with: one that a build names stays when the build
-- that has made it is removed.
CREATE TABLE build_inputs (
	build_id    INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
	artifact_id INTEGER NOT NULL,
	PRIMARY KEY (build_id, artifact_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX build_inputs_by_artifact ON build_inputs (artifact_id);

INSERT OR IGNORE INTO build_inputs (build_id, artifact_id)
SELECT p.build_id, field.value FROM build_plans p, json_tree(p.plan) field
WHERE field.fullkey LIKE '%.artifact_input.artifact_id' AND field.type = 'integer';

CREATE INDEX artifacts_by_creation ON artifacts (created_at);

-- How many builds there are of each kind, without reading all of them.
CREATE TABLE build_counts (
	team_id INTEGER NOT NULL REFERENCES teams (id),
	status  TEXT NOT NULL,
	builds  INTEGER NOT NULL,
	PRIMARY KEY (team_id, status)
) STRICT, WITHOUT ROWID;

INSERT INTO build_counts (team_id, status, builds)
SELECT team_id, status, count(*) FROM builds GROUP BY team_id, status;

-- +goose StatementBegin
CREATE TRIGGER count_made_build AFTER INSERT ON builds BEGIN
	INSERT INTO build_counts (team_id, status, builds) VALUES (NEW.team_id, NEW.status, 1)
	ON CONFLICT DO UPDATE SET builds = builds + 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER count_changed_build AFTER UPDATE OF status ON builds WHEN OLD.status <> NEW.status BEGIN
	UPDATE build_counts SET builds = builds - 1 WHERE team_id = OLD.team_id AND status = OLD.status;
	INSERT INTO build_counts (team_id, status, builds) VALUES (NEW.team_id, NEW.status, 1)
	ON CONFLICT DO UPDATE SET builds = builds + 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER count_removed_build AFTER DELETE ON builds BEGIN
	UPDATE build_counts SET builds = builds - 1 WHERE team_id = OLD.team_id AND status = OLD.status;
END;
-- +goose StatementEnd
