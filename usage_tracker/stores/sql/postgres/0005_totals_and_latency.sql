-- Totals by one key each, out of the rollups that are cut by all: what most reports ask for, in a hundredth of the rows.
-- They are folded out of the same deltas.
CREATE TABLE usage_tracker.rollup_hour_kind (
    bucket_at timestamptz NOT NULL, kind_key integer NOT NULL,
    calls bigint NOT NULL, errors bigint NOT NULL, counted bigint NOT NULL, estimated bigint NOT NULL,
    priced bigint NOT NULL, unpriced bigint NOT NULL, input_tokens bigint NOT NULL, output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL, cache_write_tokens bigint NOT NULL, reasoning_tokens bigint NOT NULL,
    cost numeric NOT NULL, reported bigint NOT NULL, reported_cost numeric NOT NULL, duration_ms double precision NOT NULL,
    ttft_calls bigint NOT NULL, ttft_ms double precision NOT NULL, awaited bigint NOT NULL, completed bigint NOT NULL,
    PRIMARY KEY (bucket_at, kind_key)
);
CREATE TABLE usage_tracker.rollup_day_kind (LIKE usage_tracker.rollup_hour_kind INCLUDING ALL);
CREATE TABLE usage_tracker.rollup_hour_owner (
    bucket_at timestamptz NOT NULL, owner_key integer NOT NULL,
    calls bigint NOT NULL, errors bigint NOT NULL, counted bigint NOT NULL, estimated bigint NOT NULL,
    priced bigint NOT NULL, unpriced bigint NOT NULL, input_tokens bigint NOT NULL, output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL, cache_write_tokens bigint NOT NULL, reasoning_tokens bigint NOT NULL,
    cost numeric NOT NULL, reported bigint NOT NULL, reported_cost numeric NOT NULL, duration_ms double precision NOT NULL,
    ttft_calls bigint NOT NULL, ttft_ms double precision NOT NULL, awaited bigint NOT NULL, completed bigint NOT NULL,
    PRIMARY KEY (bucket_at, owner_key)
);
CREATE TABLE usage_tracker.rollup_day_owner (LIKE usage_tracker.rollup_hour_owner INCLUDING ALL);
CREATE TABLE usage_tracker.rollup_day_user_total (
    bucket_at timestamptz NOT NULL, user_key integer NOT NULL,
    calls bigint NOT NULL, errors bigint NOT NULL, counted bigint NOT NULL, estimated bigint NOT NULL,
    priced bigint NOT NULL, unpriced bigint NOT NULL, input_tokens bigint NOT NULL, output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL, cache_write_tokens bigint NOT NULL, reasoning_tokens bigint NOT NULL,
    cost numeric NOT NULL, reported bigint NOT NULL, reported_cost numeric NOT NULL, duration_ms double precision NOT NULL,
    ttft_calls bigint NOT NULL, ttft_ms double precision NOT NULL, awaited bigint NOT NULL, completed bigint NOT NULL,
    PRIMARY KEY (bucket_at, user_key)
);
CREATE TABLE usage_tracker.rollup_day_tag_total (
    bucket_at timestamptz NOT NULL, tag_key integer NOT NULL,
    calls bigint NOT NULL, errors bigint NOT NULL, counted bigint NOT NULL, estimated bigint NOT NULL,
    priced bigint NOT NULL, unpriced bigint NOT NULL, input_tokens bigint NOT NULL, output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL, cache_write_tokens bigint NOT NULL, reasoning_tokens bigint NOT NULL,
    cost numeric NOT NULL, reported bigint NOT NULL, reported_cost numeric NOT NULL, duration_ms double precision NOT NULL,
    ttft_calls bigint NOT NULL, ttft_ms double precision NOT NULL, awaited bigint NOT NULL, completed bigint NOT NULL,
    PRIMARY KEY (bucket_at, tag_key)
);

INSERT INTO usage_tracker.rollup_hour_kind (
        bucket_at, kind_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT bucket_at, kind_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM usage_tracker.rollup_hour GROUP BY 1, 2;
INSERT INTO usage_tracker.rollup_day_kind (
        bucket_at, kind_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT date_trunc('day', bucket_at, 'UTC'), kind_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM usage_tracker.rollup_hour GROUP BY 1, 2;
INSERT INTO usage_tracker.rollup_hour_owner (
        bucket_at, owner_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT bucket_at, owner_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM usage_tracker.rollup_hour GROUP BY 1, 2;
INSERT INTO usage_tracker.rollup_day_owner (
        bucket_at, owner_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT date_trunc('day', bucket_at, 'UTC'), owner_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM usage_tracker.rollup_hour GROUP BY 1, 2;
INSERT INTO usage_tracker.rollup_day_user_total (
        bucket_at, user_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT bucket_at, user_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM usage_tracker.rollup_day_user GROUP BY 1, 2;
INSERT INTO usage_tracker.rollup_day_tag_total (
        bucket_at, tag_key,
        calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited,
        completed)
    SELECT bucket_at, tag_key,
        sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
        sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
        sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
    FROM usage_tracker.rollup_day_tag GROUP BY 1, 2;

CREATE VIEW usage_tracker.by_hour_kind AS
    SELECT
        bucket_at, kind_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.rollup_hour_kind
    UNION ALL SELECT
        bucket_at, kind_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.delta_hour;
CREATE VIEW usage_tracker.by_day_kind AS
    SELECT
        bucket_at, kind_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.rollup_day_kind
    UNION ALL SELECT
        date_trunc('day', bucket_at, 'UTC') AS bucket_at, kind_key, calls, errors, counted, estimated, priced, unpriced,
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported,
        reported_cost, duration_ms, ttft_calls, ttft_ms, awaited, completed
    FROM usage_tracker.delta_hour;
CREATE VIEW usage_tracker.by_hour_owner AS
    SELECT
        bucket_at, owner_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.rollup_hour_owner
    UNION ALL SELECT
        bucket_at, owner_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.delta_hour;
CREATE VIEW usage_tracker.by_day_owner AS
    SELECT
        bucket_at, owner_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.rollup_day_owner
    UNION ALL SELECT
        date_trunc('day', bucket_at, 'UTC') AS bucket_at, owner_key, calls, errors, counted, estimated, priced, unpriced,
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported,
        reported_cost, duration_ms, ttft_calls, ttft_ms, awaited, completed
    FROM usage_tracker.delta_hour;
CREATE VIEW usage_tracker.by_day_user_total AS
    SELECT
        bucket_at, user_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.rollup_day_user_total
    UNION ALL SELECT
        bucket_at, user_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.delta_day_user;
CREATE VIEW usage_tracker.by_day_tag_total AS
    SELECT
        bucket_at, tag_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.rollup_day_tag_total
    UNION ALL SELECT
        bucket_at, tag_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.delta_day_tag;

-- Time to the first chunk beside the time of the whole call, and both by owner as well as by kind of call. A sketch of both at
-- once would have nearly as many rows as there are events.
ALTER TABLE usage_tracker.rollup_day_latency ADD COLUMN ttft_calls bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_tracker.delta_day_latency ADD COLUMN ttft_calls bigint NOT NULL DEFAULT 0;

CREATE TABLE usage_tracker.rollup_day_owner_latency (
    bucket_at timestamptz NOT NULL, owner_key integer NOT NULL, bucket smallint NOT NULL,
    calls bigint NOT NULL, ttft_calls bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket_at, owner_key, bucket)
);
CREATE TABLE usage_tracker.delta_day_owner_latency (LIKE usage_tracker.rollup_day_owner_latency)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE OR REPLACE VIEW usage_tracker.by_day_latency AS
    SELECT * FROM usage_tracker.rollup_day_latency UNION ALL SELECT * FROM usage_tracker.delta_day_latency;
CREATE VIEW usage_tracker.by_day_owner_latency AS
    SELECT * FROM usage_tracker.rollup_day_owner_latency UNION ALL SELECT * FROM usage_tracker.delta_day_owner_latency;

CREATE FUNCTION usage_tracker.latency_bucket(milliseconds double precision) RETURNS smallint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT CASE WHEN $1 > 1 THEN ceil(ln($1) / ln(1.04::double precision))::smallint ELSE 0::smallint END $$;

-- What is stored already.
INSERT INTO usage_tracker.rollup_day_latency (bucket_at, kind_key, bucket, calls, ttft_calls)
    SELECT date_trunc('day', started_at, 'UTC'), kind_key, usage_tracker.latency_bucket(ttft_ms), 0, count(*)
    FROM usage_tracker.usage_event WHERE ttft_ms IS NOT NULL AND completes IS NULL GROUP BY 1, 2, 3
    ON CONFLICT (bucket_at, kind_key, bucket) DO UPDATE SET ttft_calls = EXCLUDED.ttft_calls;
INSERT INTO usage_tracker.rollup_day_owner_latency (bucket_at, owner_key, bucket, calls, ttft_calls)
    SELECT day, owner_key, bucket, sum(calls), sum(ttft_calls)
    FROM (
        SELECT date_trunc('day', started_at, 'UTC') AS day, owner_key, usage_tracker.latency_bucket(duration_ms) AS bucket,
            count(*) AS calls, 0 AS ttft_calls
        FROM usage_tracker.usage_event WHERE duration_ms IS NOT NULL AND completes IS NULL GROUP BY 1, 2, 3
        UNION ALL
        SELECT date_trunc('day', started_at, 'UTC'), owner_key, usage_tracker.latency_bucket(ttft_ms), 0, count(*)
        FROM usage_tracker.usage_event WHERE ttft_ms IS NOT NULL AND completes IS NULL GROUP BY 1, 2, 3
    ) AS known
    GROUP BY 1, 2, 3;

-- Who may do something with a rollup may do it with what is new of its kind.
DO $$
DECLARE
    known text;
    new text;
    role text;
    privilege text;
BEGIN
    FOR known, new IN
        VALUES ('rollup_day_latency', 'rollup_day_owner_latency'), ('delta_day_latency', 'delta_day_owner_latency'),
            ('by_day_latency', 'by_day_owner_latency'), ('rollup_hour', 'rollup_hour_kind'), ('by_hour', 'by_hour_kind'),
            ('rollup_hour', 'rollup_hour_owner'), ('by_hour', 'by_hour_owner'), ('rollup_day', 'rollup_day_kind'),
            ('by_day', 'by_day_kind'), ('rollup_day', 'rollup_day_owner'), ('by_day', 'by_day_owner'),
            ('rollup_day_user', 'rollup_day_user_total'), ('by_day_user', 'by_day_user_total'),
            ('rollup_day_tag', 'rollup_day_tag_total'), ('by_day_tag', 'by_day_tag_total')
    LOOP
        FOR role, privilege IN
            SELECT grantee::regrole::text, privilege_type FROM pg_class, aclexplode(relacl)
            WHERE oid = format('usage_tracker.%I', known)::regclass AND grantee NOT IN (0, relowner)
        LOOP
            EXECUTE format('GRANT %s ON usage_tracker.%I TO %s', privilege, new, role);
        END LOOP;
    END LOOP;
END $$;
