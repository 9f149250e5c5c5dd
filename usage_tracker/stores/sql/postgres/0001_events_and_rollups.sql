-- What repeats is a key into a dimension table, so that a row is narrow: half the bytes and half the server's CPU.
-- `digest` identifies a dimension row by its content, nulls included; key 0 is "none".

CREATE TABLE usage_tracker.usage_kind (
    kind_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest uuid NOT NULL UNIQUE,
    provider text, sdk text NOT NULL, operation text NOT NULL, request_model text, model text, service_tier text,
    streamed boolean NOT NULL, base_host text
);

CREATE TABLE usage_tracker.usage_owner (
    owner_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest uuid NOT NULL UNIQUE,
    app text, project text, team text, api_key text
);

CREATE TABLE usage_tracker.usage_user (
    user_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest uuid NOT NULL UNIQUE,
    user_id text
);

CREATE TABLE usage_tracker.usage_tag (
    tag_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest uuid NOT NULL UNIQUE,
    tag text
);

CREATE TABLE usage_tracker.usage_tags (
    tags_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest uuid NOT NULL UNIQUE,
    tags text[] NOT NULL
);

CREATE TABLE usage_tracker.usage_host (
    host_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest uuid NOT NULL UNIQUE,
    host text NOT NULL
);

-- `lines` is a template for format(): {"input_tokens": {"count": %s, "price": "0.0000025"}}; an event keeps the counts.
-- A unit that was charged at two prices holds a list of such objects. Null: too many different ones, so that each event's
-- `cost_counts` holds the whole JSON.
CREATE TABLE usage_tracker.usage_price (
    price_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest uuid NOT NULL UNIQUE,
    source text, version text, lines text
);

-- `template` is the provider's usage object with %s for each figure; an event keeps the figures. An event without a shape
-- keeps the whole JSON in `figures`: its provider puts something into it that never repeats.
CREATE TABLE usage_tracker.usage_shape (
    shape_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest uuid NOT NULL UNIQUE,
    template text NOT NULL
);

INSERT INTO usage_tracker.usage_user (user_key, digest) OVERRIDING SYSTEM VALUE
    VALUES (0, '00000000-0000-0000-0000-000000000000');
INSERT INTO usage_tracker.usage_tag (tag_key, digest) OVERRIDING SYSTEM VALUE
    VALUES (0, '00000000-0000-0000-0000-000000000000');
INSERT INTO usage_tracker.usage_tags (tags_key, digest, tags) OVERRIDING SYSTEM VALUE
    VALUES (0, '00000000-0000-0000-0000-000000000000', '{}');

CREATE TABLE usage_tracker.usage_event (
    event_id uuid NOT NULL,
    started_at timestamptz NOT NULL,
    input_tokens bigint, output_tokens bigint, cache_read_tokens bigint, cache_write_tokens bigint,
    cache_write_1h_tokens bigint, reasoning_tokens bigint, input_audio_tokens bigint, output_audio_tokens bigint,
    input_image_tokens bigint, output_image_tokens bigint, tool_tokens bigint,
    duration_ms real,
    ttft_ms real,
    kind_key integer NOT NULL, owner_key integer NOT NULL, user_key integer NOT NULL, tags_key integer NOT NULL,
    host_key integer, price_key integer, shape_key integer, pid integer,
    http_status smallint, attempts smallint NOT NULL,
    estimated boolean NOT NULL,
    status text NOT NULL,
    cost numeric, reported_cost numeric,
    error_type text, response_id text, session_id text,
    figures text,
    cost_counts text,
    cost_flags text[],
    units jsonb
) PARTITION BY RANGE (started_at);

CREATE TABLE usage_tracker.usage_event_default PARTITION OF usage_tracker.usage_event DEFAULT;
CREATE INDEX usage_event_started_at ON usage_tracker.usage_event USING brin (started_at) WITH (autosummarize = on);

-- The ledger of offsets: a batch moves its segments' positions in the transaction that stores its events.
CREATE TABLE usage_tracker.journal_offset (
    segment uuid PRIMARY KEY,
    position bigint NOT NULL,
    events bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Rollups. `bucket_at` is the hour's or day's start in UTC. `counted`: calls with known tokens; `priced`: calls with a
-- known cost; `unpriced`: calls that should have a cost and have none. Sums are over what is known.
CREATE TABLE usage_tracker.rollup_hour (
    bucket_at timestamptz NOT NULL, kind_key integer NOT NULL, owner_key integer NOT NULL, status text NOT NULL,
    calls bigint NOT NULL, errors bigint NOT NULL, counted bigint NOT NULL, estimated bigint NOT NULL,
    priced bigint NOT NULL, unpriced bigint NOT NULL,
    input_tokens bigint NOT NULL, output_tokens bigint NOT NULL, cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL, reasoning_tokens bigint NOT NULL,
    cost numeric NOT NULL, reported bigint NOT NULL, reported_cost numeric NOT NULL,
    duration_ms double precision NOT NULL, ttft_calls bigint NOT NULL, ttft_ms double precision NOT NULL,
    PRIMARY KEY (bucket_at, kind_key, owner_key, status)
);
CREATE TABLE usage_tracker.rollup_day (LIKE usage_tracker.rollup_hour INCLUDING ALL);

CREATE TABLE usage_tracker.rollup_day_user (
    LIKE usage_tracker.rollup_hour,
    user_key integer NOT NULL,
    PRIMARY KEY (bucket_at, user_key, kind_key, owner_key, status)
);
CREATE TABLE usage_tracker.rollup_day_tag (
    LIKE usage_tracker.rollup_hour,
    tag_key integer NOT NULL,
    PRIMARY KEY (bucket_at, tag_key, kind_key, owner_key, status)
);
-- bucket b counts the calls that took (1.04^(b-1), 1.04^b] ms, so a percentile is within 2 %.
CREATE TABLE usage_tracker.rollup_day_latency (
    bucket_at timestamptz NOT NULL, kind_key integer NOT NULL, bucket smallint NOT NULL, calls bigint NOT NULL,
    PRIMARY KEY (bucket_at, kind_key, bucket)
);

-- Writers only append to the deltas (upserts of shared rows deadlock); one process at a time folds them into the rollups.
-- What was folded is dead at once and would be read with every report: vacuum by count, without pauses.
CREATE TABLE usage_tracker.delta_hour (LIKE usage_tracker.rollup_hour)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE usage_tracker.delta_day_user (LIKE usage_tracker.rollup_day_user)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE usage_tracker.delta_day_tag (LIKE usage_tracker.rollup_day_tag)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE usage_tracker.delta_day_latency (LIKE usage_tracker.rollup_day_latency)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- What reports read: rollup and delta together, one name per grain.
CREATE VIEW usage_tracker.by_hour AS
    SELECT * FROM usage_tracker.rollup_hour UNION ALL SELECT * FROM usage_tracker.delta_hour;
CREATE VIEW usage_tracker.by_day AS
    SELECT * FROM usage_tracker.rollup_day UNION ALL
    SELECT date_trunc('day', bucket_at, 'UTC'), kind_key, owner_key, status, calls, errors, counted, estimated, priced,
        unpriced, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported,
        reported_cost, duration_ms, ttft_calls, ttft_ms
    FROM usage_tracker.delta_hour;
CREATE VIEW usage_tracker.by_day_user AS
    SELECT * FROM usage_tracker.rollup_day_user UNION ALL SELECT * FROM usage_tracker.delta_day_user;
CREATE VIEW usage_tracker.by_day_tag AS
    SELECT * FROM usage_tracker.rollup_day_tag UNION ALL SELECT * FROM usage_tracker.delta_day_tag;
CREATE VIEW usage_tracker.by_day_latency AS
    SELECT * FROM usage_tracker.rollup_day_latency UNION ALL SELECT * FROM usage_tracker.delta_day_latency;

CREATE VIEW usage_tracker.events AS
    SELECT e.event_id, e.started_at, e.duration_ms, e.ttft_ms,
        k.provider, k.sdk, k.operation, k.request_model, k.model, k.service_tier, k.streamed, k.base_host, e.response_id,
        e.input_tokens, e.output_tokens, e.cache_read_tokens, e.cache_write_tokens, e.cache_write_1h_tokens,
        e.reasoning_tokens, e.input_audio_tokens, e.output_audio_tokens, e.input_image_tokens, e.output_image_tokens,
        e.tool_tokens, e.units, e.estimated,
        trim_scale(e.cost) AS cost,
        CASE WHEN p.lines IS NULL THEN e.cost_counts::jsonb
            ELSE format(p.lines, VARIADIC string_to_array(e.cost_counts, ','))::jsonb END AS cost_parts,
        p.source AS price_source, p.version AS price_version, trim_scale(e.reported_cost) AS reported_cost,
        coalesce(e.cost_flags, '{}') AS cost_flags,
        o.app, o.project, o.team, u.user_id, e.session_id, t.tags, o.api_key, h.host, e.pid,
        e.status, e.error_type, e.http_status, e.attempts,
        CASE WHEN s.template IS NULL THEN e.figures::jsonb
            ELSE format(s.template, VARIADIC string_to_array(e.figures, ','))::jsonb END AS usage
    FROM usage_tracker.usage_event e
    JOIN usage_tracker.usage_kind k USING (kind_key)
    JOIN usage_tracker.usage_owner o USING (owner_key)
    JOIN usage_tracker.usage_user u USING (user_key)
    JOIN usage_tracker.usage_tags t USING (tags_key)
    LEFT JOIN usage_tracker.usage_host h USING (host_key)
    LEFT JOIN usage_tracker.usage_price p USING (price_key)
    LEFT JOIN usage_tracker.usage_shape s USING (shape_key);

CREATE VIEW usage_tracker.daily AS
    SELECT (r.bucket_at AT TIME ZONE 'UTC')::date AS day, k.provider, k.model, k.operation, o.app, o.project, o.team,
        sum(r.calls) AS calls, sum(r.errors) AS errors, sum(r.input_tokens) AS input_tokens,
        sum(r.output_tokens) AS output_tokens, sum(r.cache_read_tokens) AS cache_read_tokens,
        sum(r.reasoning_tokens) AS reasoning_tokens,
        CASE WHEN sum(r.priced) > 0 THEN trim_scale(sum(r.cost)) END AS cost, sum(r.unpriced) AS unpriced
    FROM usage_tracker.by_day r
    JOIN usage_tracker.usage_kind k USING (kind_key)
    JOIN usage_tracker.usage_owner o USING (owner_key)
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
