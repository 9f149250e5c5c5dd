-- As in Postgres.
CREATE TABLE store_identity (
    store_id BLOB NOT NULL
);
INSERT INTO store_identity (store_id) VALUES (randomblob(16));

CREATE TABLE export_destination (
    destination TEXT PRIMARY KEY,
    form TEXT NOT NULL,
    grain TEXT NOT NULL,
    claim TEXT,
    claimed_until REAL
) WITHOUT ROWID;

CREATE TABLE export_file (
    destination TEXT NOT NULL,
    bucket TEXT NOT NULL,
    version INTEGER NOT NULL,
    counted TEXT,
    rows INTEGER,
    exported_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (destination, bucket)
) WITHOUT ROWID;
