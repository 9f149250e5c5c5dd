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

-- Who may do something with the sketches by kind may do it with those by owner.
DO $$
DECLARE
    relation text;
    role text;
    privilege text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['rollup_day', 'delta_day', 'by_day'] LOOP
        FOR role, privilege IN
            SELECT grantee::regrole::text, privilege_type FROM pg_class, aclexplode(relacl)
            WHERE oid = format('usage_tracker.%I', relation || '_latency')::regclass AND grantee NOT IN (0, relowner)
        LOOP
            EXECUTE format('GRANT %s ON usage_tracker.%I TO %s', privilege, relation || '_owner_latency', role);
        END LOOP;
    END LOOP;
END $$;
