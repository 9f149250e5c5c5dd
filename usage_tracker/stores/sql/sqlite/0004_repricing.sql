-- What calls cost before they were priced again: the first cost of each, whoever priced it how often since.
CREATE TABLE usage_original (
    event_id BLOB PRIMARY KEY,
    started_at INTEGER NOT NULL,
    repriced_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    cost INTEGER,
    price_key INTEGER,
    cost_parts TEXT,
    cost_flags TEXT
) WITHOUT ROWID;

CREATE VIEW repriced AS
    SELECT lower(substr(hex(o.event_id), 1, 8) || '-' || substr(hex(o.event_id), 9, 4) || '-'
            || substr(hex(o.event_id), 13, 4) || '-' || substr(hex(o.event_id), 17, 4) || '-'
            || substr(hex(o.event_id), 21)) AS event_id,
        o.started_at, o.repriced_at, o.cost / 1e12 AS original_cost,
        p.source AS original_source, p.version AS original_version, coalesce(o.cost_flags, '[]') AS original_flags
    FROM usage_original o
    LEFT JOIN usage_price p USING (price_key);
