-- +goose Up

-- What a client named its request by, '' for nothing.
ALTER TABLE builds ADD COLUMN request_key TEXT NOT NULL DEFAULT '';

CREATE UNIQUE INDEX builds_by_request ON builds (team_id, request_key) WHERE request_key != '';
