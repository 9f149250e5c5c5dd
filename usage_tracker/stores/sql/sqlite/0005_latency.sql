-- As in Postgres. The function latency_bucket() is the writer's own: every connection has it.
ALTER TABLE rollup_day_latency ADD COLUMN ttft_calls INTEGER NOT NULL DEFAULT 0;

CREATE TABLE rollup_day_owner_latency (
    bucket_at INTEGER NOT NULL, owner_key INTEGER NOT NULL, bucket INTEGER NOT NULL,
    calls INTEGER NOT NULL, ttft_calls INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket_at, owner_key, bucket)
) WITHOUT ROWID;

CREATE VIEW by_day_owner_latency AS SELECT * FROM rollup_day_owner_latency;

-- Instants before 1970 are negative, and a division rounds towards zero: counted from the year 1, none is.
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
