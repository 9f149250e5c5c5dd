-- As in Postgres.
CREATE TABLE sink (
    name TEXT PRIMARY KEY,
    shown TEXT NOT NULL,
    arrival INTEGER NOT NULL,
    until INTEGER,
    done INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0,
    state BLOB,
    claim TEXT,
    claimed_until REAL,
    began_at REAL NOT NULL,
    sent_at REAL,
    problem TEXT
) WITHOUT ROWID;

-- There is one writer at a time, so a batch's number is its place in the order of arrival, too.
CREATE TABLE usage_batch (
    batch INTEGER PRIMARY KEY AUTOINCREMENT,
    events INTEGER NOT NULL,
    spans TEXT NOT NULL,
    stored_at REAL NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0),
    arrival INTEGER UNIQUE
);
CREATE INDEX usage_batch_unseen ON usage_batch (batch) WHERE arrival IS NULL;

ALTER TABLE usage_event ADD COLUMN batch INTEGER;
