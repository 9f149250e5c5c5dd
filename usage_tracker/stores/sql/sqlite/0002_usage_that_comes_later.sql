-- As in Postgres; `digest` and `awaited` are the same 16 bytes.
ALTER TABLE usage_event ADD COLUMN awaits TEXT;
ALTER TABLE usage_event ADD COLUMN completes TEXT;

CREATE TABLE usage_awaited (
    digest BLOB PRIMARY KEY,
    started_at INTEGER NOT NULL,
    kind_key INTEGER NOT NULL, owner_key INTEGER NOT NULL, user_key INTEGER NOT NULL, tags_key INTEGER NOT NULL,
    host_key INTEGER, session_id TEXT, status TEXT NOT NULL,
    completed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX usage_awaited_at_work ON usage_awaited (started_at) WHERE NOT completed;

CREATE TABLE usage_completed (digest BLOB PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE usage_kept_aside (
    digest BLOB PRIMARY KEY,
    awaited BLOB NOT NULL,
    kept_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    event BLOB NOT NULL
);
CREATE INDEX usage_kept_aside_awaited ON usage_kept_aside (awaited);
CREATE INDEX usage_kept_aside_kept_at ON usage_kept_aside (kept_at);

ALTER TABLE rollup_hour ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour ADD COLUMN completed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day ADD COLUMN completed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_user ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_user ADD COLUMN completed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_tag ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_tag ADD COLUMN completed INTEGER NOT NULL DEFAULT 0;

DROP VIEW events;
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
        e.usage, e.awaits, e.completes
    FROM usage_event e
    JOIN usage_kind k USING (kind_key)
    JOIN usage_owner o USING (owner_key)
    JOIN usage_user u USING (user_key)
    JOIN usage_tags t USING (tags_key)
    LEFT JOIN usage_host h USING (host_key)
    LEFT JOIN usage_price p USING (price_key);
