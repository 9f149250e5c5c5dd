-- Who has changed a budget or the price book, when, and what stood there before and after; null where nothing did. `kind`
-- is budget or prices, `subject` the budget's name or the number of the book's version, `through` what it was done with.
CREATE TABLE change_log (
    change_id INTEGER PRIMARY KEY AUTOINCREMENT,
    changed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    who TEXT NOT NULL,
    through TEXT NOT NULL,
    before TEXT,
    after TEXT
);

-- What the leader of a host's spool folder has last said of itself and of its neighbours: figures, versions and places of
-- SDKs, as JSON.
CREATE TABLE host_report (
    host TEXT NOT NULL,
    spool TEXT NOT NULL,
    reported_at TEXT NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (host, spool)
) WITHOUT ROWID;
