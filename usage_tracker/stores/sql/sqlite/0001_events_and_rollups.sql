-- The same tables, columns and meanings as in Postgres, as far as SQLite has them:
-- `started_at` is microseconds and `bucket_at` seconds since 1970, UTC; money is whole picodollars (1e-12 USD), so that sums
-- are exact; uuids are 16 bytes; JSON is text. There are no deltas: one process writes at a time anyway.
-- `digest` identifies a dimension row by its content, nulls included; key 0 is "none".

CREATE TABLE usage_kind (
    kind_key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    provider TEXT, sdk TEXT NOT NULL, operation TEXT NOT NULL, request_model TEXT, model TEXT, service_tier TEXT,
    streamed INTEGER NOT NULL, base_host TEXT
);

CREATE TABLE usage_owner (
    owner_key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    app TEXT, project TEXT, team TEXT, api_key TEXT
);

CREATE TABLE usage_user (
    user_key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    user_id TEXT
);

CREATE TABLE usage_tag (
    tag_key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    tag TEXT
);

-- `tags` is a JSON array.
CREATE TABLE usage_tags (
    tags_key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    tags TEXT NOT NULL
);

CREATE TABLE usage_host (
    host_key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    host TEXT NOT NULL
);

CREATE TABLE usage_price (
    price_key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    source TEXT, version TEXT
);

INSERT INTO usage_user (user_key, digest) VALUES (0, zeroblob(16));
INSERT INTO usage_tag (tag_key, digest) VALUES (0, zeroblob(16));
INSERT INTO usage_tags (tags_key, digest, tags) VALUES (0, zeroblob(16), '[]');

-- The bounds of Postgres's types, so that both stores refuse the same events.
CREATE TABLE usage_event (
    event_id BLOB NOT NULL,
    started_at INTEGER NOT NULL,
    input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER, cache_write_tokens INTEGER,
    cache_write_1h_tokens INTEGER, reasoning_tokens INTEGER, input_audio_tokens INTEGER, output_audio_tokens INTEGER,
    input_image_tokens INTEGER, output_image_tokens INTEGER, tool_tokens INTEGER,
    duration_ms REAL,
    ttft_ms REAL,
    kind_key INTEGER NOT NULL, owner_key INTEGER NOT NULL, user_key INTEGER NOT NULL, tags_key INTEGER NOT NULL,
    host_key INTEGER, price_key INTEGER, pid INTEGER CHECK (pid BETWEEN -2147483648 AND 2147483647),
    http_status INTEGER CHECK (http_status BETWEEN -32768 AND 32767),
    attempts INTEGER NOT NULL CHECK (attempts BETWEEN -32768 AND 32767),
    estimated INTEGER NOT NULL,
    status TEXT NOT NULL,
    cost INTEGER, reported_cost INTEGER,
    error_type TEXT, response_id TEXT, session_id TEXT,
    usage TEXT,
    cost_parts TEXT,
    cost_flags TEXT,
    units TEXT
);
CREATE INDEX usage_event_started_at ON usage_event (started_at);

-- The ledger of offsets: a batch moves its segments' positions in the transaction that stores its events.
CREATE TABLE journal_offset (
    segment BLOB PRIMARY KEY,
    position INTEGER NOT NULL,
    events INTEGER NOT NULL,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) WITHOUT ROWID;

-- Rollups. `bucket_at` is the hour's or day's start in UTC. `counted`: calls with known tokens; `priced`: calls with a
-- known cost; `unpriced`: calls that should have a cost and have none. Sums are over what is known. Key columns come first:
-- older versions' integrity_check takes values after a key column that follows others for NULL.
CREATE TABLE rollup_hour (
    bucket_at INTEGER NOT NULL, kind_key INTEGER NOT NULL, owner_key INTEGER NOT NULL, status TEXT NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL,
    duration_ms REAL NOT NULL, ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL,
    PRIMARY KEY (bucket_at, kind_key, owner_key, status)
) WITHOUT ROWID;
CREATE TABLE rollup_day (
    bucket_at INTEGER NOT NULL, kind_key INTEGER NOT NULL, owner_key INTEGER NOT NULL, status TEXT NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL,
    duration_ms REAL NOT NULL, ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL,
    PRIMARY KEY (bucket_at, kind_key, owner_key, status)
) WITHOUT ROWID;
CREATE TABLE rollup_day_user (
    bucket_at INTEGER NOT NULL, kind_key INTEGER NOT NULL, owner_key INTEGER NOT NULL, status TEXT NOT NULL,
    user_key INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL,
    duration_ms REAL NOT NULL, ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL,
    PRIMARY KEY (bucket_at, user_key, kind_key, owner_key, status)
) WITHOUT ROWID;
CREATE TABLE rollup_day_tag (
    bucket_at INTEGER NOT NULL, kind_key INTEGER NOT NULL, owner_key INTEGER NOT NULL, status TEXT NOT NULL,
    tag_key INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL,
    duration_ms REAL NOT NULL, ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL,
    PRIMARY KEY (bucket_at, tag_key, kind_key, owner_key, status)
) WITHOUT ROWID;
-- bucket b counts the calls that took (1.04^(b-1), 1.04^b] ms, so a percentile is within 2 %.
CREATE TABLE rollup_day_latency (
    bucket_at INTEGER NOT NULL, kind_key INTEGER NOT NULL, bucket INTEGER NOT NULL, calls INTEGER NOT NULL,
    PRIMARY KEY (bucket_at, kind_key, bucket)
) WITHOUT ROWID;

-- What reports read: one name per grain, as in Postgres.
CREATE VIEW by_hour AS SELECT * FROM rollup_hour;
CREATE VIEW by_day AS SELECT * FROM rollup_day;
CREATE VIEW by_day_user AS SELECT * FROM rollup_day_user;
CREATE VIEW by_day_tag AS SELECT * FROM rollup_day_tag;
CREATE VIEW by_day_latency AS SELECT * FROM rollup_day_latency;

CREATE VIEW events AS
    SELECT lower(substr(hex(e.event_id), 1, 8) || '-' || substr(hex(e.event_id), 9, 4) || '-'
            || substr(hex(e.event_id), 13, 4) || '-' || substr(hex(e.event_id), 17, 4) || '-'
            || substr(hex(e.event_id), 21)) AS event_id,
        -- the remainder of a division has the sign of the dividend: instants before 1970 need the second one
        strftime('%Y-%m-%dT%H:%M:%S', (e.started_at - (e.started_at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
            || printf('.%06dZ', (e.started_at % 1000000 + 1000000) % 1000000) AS started_at,
        e.duration_ms, e.ttft_ms,
        k.provider, k.sdk, k.operation, k.request_model, k.model, k.service_tier, k.streamed, k.base_host, e.response_id,
        e.input_tokens, e.output_tokens, e.cache_read_tokens, e.cache_write_tokens, e.cache_write_1h_tokens,
        e.reasoning_tokens, e.input_audio_tokens, e.output_audio_tokens, e.input_image_tokens, e.output_image_tokens,
        e.tool_tokens, e.units, e.estimated,
        e.cost / 1e12 AS cost, e.cost_parts, p.source AS price_source, p.version AS price_version,
        e.reported_cost / 1e12 AS reported_cost,
        coalesce(e.cost_flags, '[]') AS cost_flags,
        o.app, o.project, o.team, u.user_id, e.session_id, t.tags, o.api_key, h.host, e.pid,
        e.status, e.error_type, e.http_status, e.attempts,
        e.usage
    FROM usage_event e
    JOIN usage_kind k USING (kind_key)
    JOIN usage_owner o USING (owner_key)
    JOIN usage_user u USING (user_key)
    JOIN usage_tags t USING (tags_key)
    LEFT JOIN usage_host h USING (host_key)
    LEFT JOIN usage_price p USING (price_key);

CREATE VIEW daily AS
    SELECT date(r.bucket_at, 'unixepoch') AS day, k.provider, k.model, k.operation, o.app, o.project, o.team,
        sum(r.calls) AS calls, sum(r.errors) AS errors, sum(r.input_tokens) AS input_tokens,
        sum(r.output_tokens) AS output_tokens, sum(r.cache_read_tokens) AS cache_read_tokens,
        sum(r.reasoning_tokens) AS reasoning_tokens,
        CASE WHEN sum(r.priced) > 0 THEN sum(r.cost) / 1e12 END AS cost, sum(r.unpriced) AS unpriced
    FROM by_day r
    JOIN usage_kind k USING (kind_key)
    JOIN usage_owner o USING (owner_key)
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
