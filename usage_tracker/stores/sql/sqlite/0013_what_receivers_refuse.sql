-- As in Postgres.
CREATE TABLE sink_refused (
    name TEXT NOT NULL,
    event_id TEXT NOT NULL,
    refused_at REAL NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (name, event_id)
) WITHOUT ROWID;

ALTER TABLE sink ADD COLUMN at_once INTEGER;

ALTER TABLE sink ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0;
