-- +goose Up

-- What the first request to abort the build was named by, '' for nothing; when it came,
-- in nanoseconds; and whether another came after it.
ALTER TABLE builds ADD COLUMN abort_key TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN abort_asked_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN aborted_again INTEGER NOT NULL DEFAULT 0;
