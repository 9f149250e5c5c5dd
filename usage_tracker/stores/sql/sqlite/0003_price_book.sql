-- The price book: each version is a whole, and none is ever changed, so that an event's price_version tells what priced it.
CREATE TABLE price_version (
    version INTEGER PRIMARY KEY,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    note TEXT NOT NULL
);

-- `entry` is the whole entry as JSON, with `position` for its place in the book; the columns between are for people.
CREATE TABLE price (
    version INTEGER NOT NULL REFERENCES price_version (version),
    position INTEGER NOT NULL,
    provider TEXT,
    model TEXT NOT NULL,
    valid_from TEXT,
    valid_until TEXT,
    entry TEXT NOT NULL,
    PRIMARY KEY (version, position)
) WITHOUT ROWID;
