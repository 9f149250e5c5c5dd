-- As in Postgres. `ttft_calls` of sketches: calls whose first chunk took so long. The function latency_bucket() is the writer's
-- own: every connection has it.
CREATE TABLE rollup_hour_kind (
    bucket_at INTEGER NOT NULL, kind_key INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL, duration_ms REAL NOT NULL,
    ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL, awaited INTEGER NOT NULL, completed INTEGER NOT NULL,
    PRIMARY KEY (bucket_at, kind_key)
) WITHOUT ROWID;
CREATE TABLE rollup_day_kind (
    bucket_at INTEGER NOT NULL, kind_key INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL, duration_ms REAL NOT NULL,
    ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL, awaited INTEGER NOT NULL, completed INTEGER NOT NULL,
    PRIMARY KEY (bucket_at, kind_key)
) WITHOUT ROWID;
CREATE TABLE rollup_hour_owner (
    bucket_at INTEGER NOT NULL, owner_key INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL, duration_ms REAL NOT NULL,
    ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL, awaited INTEGER NOT NULL, completed INTEGER NOT NULL,
    PRIMARY KEY (bucket_at, owner_key)
) WITHOUT ROWID;
CREATE TABLE rollup_day_owner (
    bucket_at INTEGER NOT NULL, owner_key INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL, duration_ms REAL NOT NULL,
    ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL, awaited INTEGER NOT NULL, completed INTEGER NOT NULL,
    PRIMARY KEY (bucket_at, owner_key)
) WITHOUT ROWID;
CREATE TABLE rollup_day_user_total (
    bucket_at INTEGER NOT NULL, user_key INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL, duration_ms REAL NOT NULL,
    ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL, awaited INTEGER NOT NULL, completed INTEGER NOT NULL,
    PRIMARY KEY (bucket_at, user_key)
) WITHOUT ROWID;
CREATE TABLE rollup_day_tag_total (
    bucket_at INTEGER NOT NULL, tag_key INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL, duration_ms REAL NOT NULL,
    ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL, awaited INTEGER NOT NULL, completed INTEGER NOT NULL,
    PRIMARY KEY (bucket_at, tag_key)
) WITHOUT ROWID;

-- Instants before 1970 are negative, and a division rounds towards zero: counted from the year 1, none is.
INSERT INTO rollup_hour_kind (
        bucket_at, kind_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT bucket_at, kind_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM rollup_hour GROUP BY 1, 2;
INSERT INTO rollup_day_kind (
        bucket_at, kind_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT (bucket_at + 62135596800) / 86400 * 86400 - 62135596800, kind_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM rollup_hour GROUP BY 1, 2;
INSERT INTO rollup_hour_owner (
        bucket_at, owner_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT bucket_at, owner_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM rollup_hour GROUP BY 1, 2;
INSERT INTO rollup_day_owner (
        bucket_at, owner_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT (bucket_at + 62135596800) / 86400 * 86400 - 62135596800, owner_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM rollup_hour GROUP BY 1, 2;
INSERT INTO rollup_day_user_total (
        bucket_at, user_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT bucket_at, user_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM rollup_day_user GROUP BY 1, 2;
INSERT INTO rollup_day_tag_total (
        bucket_at, tag_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT bucket_at, tag_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM rollup_day_tag GROUP BY 1, 2;

CREATE VIEW by_hour_kind AS SELECT * FROM rollup_hour_kind;
CREATE VIEW by_day_kind AS SELECT * FROM rollup_day_kind;
CREATE VIEW by_hour_owner AS SELECT * FROM rollup_hour_owner;
CREATE VIEW by_day_owner AS SELECT * FROM rollup_day_owner;
CREATE VIEW by_day_user_total AS SELECT * FROM rollup_day_user_total;
CREATE VIEW by_day_tag_total AS SELECT * FROM rollup_day_tag_total;

ALTER TABLE rollup_day_latency ADD COLUMN ttft_calls INTEGER NOT NULL DEFAULT 0;

CREATE TABLE rollup_day_owner_latency (
    bucket_at INTEGER NOT NULL, owner_key INTEGER NOT NULL, bucket INTEGER NOT NULL,
    calls INTEGER NOT NULL, ttft_calls INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket_at, owner_key, bucket)
) WITHOUT ROWID;

CREATE VIEW by_day_owner_latency AS SELECT * FROM rollup_day_owner_latency;

-- What is stored already.
INSERT INTO rollup_day_latency (bucket_at, kind_key, bucket, calls, ttft_calls)
    SELECT (started_at + 62135596800000000) / 86400000000 * 86400 - 62135596800, kind_key, latency_bucket(ttft_ms), 0, count(*)
    FROM usage_event WHERE ttft_ms IS NOT NULL AND completes IS NULL GROUP BY 1, 2, 3
    ON CONFLICT (bucket_at, kind_key, bucket) DO UPDATE SET ttft_calls = excluded.ttft_calls;
INSERT INTO rollup_day_owner_latency (bucket_at, owner_key, bucket, calls, ttft_calls)
    SELECT day, owner_key, bucket, sum(calls), sum(ttft_calls)
    FROM (
        SELECT (started_at + 62135596800000000) / 86400000000 * 86400 - 62135596800 AS day, owner_key,
            latency_bucket(duration_ms) AS bucket, count(*) AS calls, 0 AS ttft_calls
        FROM usage_event WHERE duration_ms IS NOT NULL AND completes IS NULL GROUP BY 1, 2, 3
        UNION ALL
        SELECT (started_at + 62135596800000000) / 86400000000 * 86400 - 62135596800, owner_key,
            latency_bucket(ttft_ms), 0, count(*)
        FROM usage_event WHERE ttft_ms IS NOT NULL AND completes IS NULL GROUP BY 1, 2, 3
    )
    GROUP BY 1, 2, 3;
