-- Usage that is told later than the call that it belongs to. `awaits`: what the event started is still at work, under that
-- id of its provider's; `completes`: the event brings what was used by an earlier one, and is no call of its own.
ALTER TABLE usage_tracker.usage_event ADD COLUMN awaits text, ADD COLUMN completes text;

-- The calls that are awaited, by the digest of their id; whose usage that is, for events that complete them.
CREATE TABLE usage_tracker.usage_awaited (
    digest uuid PRIMARY KEY,
    started_at timestamptz NOT NULL,
    kind_key integer NOT NULL, owner_key integer NOT NULL, user_key integer NOT NULL, tags_key integer NOT NULL,
    host_key integer, session_id text, status text NOT NULL,
    completed boolean NOT NULL DEFAULT false
);
CREATE INDEX usage_awaited_at_work ON usage_tracker.usage_awaited (started_at) WHERE NOT completed;

-- What has completed them and is stored, by the digest of their id and its own.
CREATE TABLE usage_tracker.usage_completed (digest uuid PRIMARY KEY);

-- What came before the call that it completes: whole events, as msgpack. `awaited` is that call's digest.
CREATE TABLE usage_tracker.usage_kept_aside (
    digest uuid PRIMARY KEY,
    awaited uuid NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now(),
    event bytea NOT NULL
);
CREATE INDEX usage_kept_aside_awaited ON usage_tracker.usage_kept_aside (awaited);
CREATE INDEX usage_kept_aside_kept_at ON usage_tracker.usage_kept_aside (kept_at);

-- `awaited`: calls whose usage is told later; `completed`: events with known tokens that told it. Neither is among
-- `counted`, and the latter are not among `calls`.
ALTER TABLE usage_tracker.rollup_hour
    ADD COLUMN awaited bigint NOT NULL DEFAULT 0, ADD COLUMN completed bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_tracker.rollup_day
    ADD COLUMN awaited bigint NOT NULL DEFAULT 0, ADD COLUMN completed bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_tracker.rollup_day_user
    ADD COLUMN awaited bigint NOT NULL DEFAULT 0, ADD COLUMN completed bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_tracker.rollup_day_tag
    ADD COLUMN awaited bigint NOT NULL DEFAULT 0, ADD COLUMN completed bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_tracker.delta_hour
    ADD COLUMN awaited bigint NOT NULL DEFAULT 0, ADD COLUMN completed bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_tracker.delta_day_user
    ADD COLUMN awaited bigint NOT NULL DEFAULT 0, ADD COLUMN completed bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_tracker.delta_day_tag
    ADD COLUMN awaited bigint NOT NULL DEFAULT 0, ADD COLUMN completed bigint NOT NULL DEFAULT 0;

CREATE OR REPLACE VIEW usage_tracker.by_hour AS
    SELECT * FROM usage_tracker.rollup_hour UNION ALL SELECT * FROM usage_tracker.delta_hour;
CREATE OR REPLACE VIEW usage_tracker.by_day AS
    SELECT * FROM usage_tracker.rollup_day UNION ALL
    SELECT date_trunc('day', bucket_at, 'UTC'), kind_key, owner_key, status, calls, errors, counted, estimated, priced,
        unpriced, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported,
        reported_cost, duration_ms, ttft_calls, ttft_ms, awaited, completed
    FROM usage_tracker.delta_hour;
CREATE OR REPLACE VIEW usage_tracker.by_day_user AS
    SELECT * FROM usage_tracker.rollup_day_user UNION ALL SELECT * FROM usage_tracker.delta_day_user;
CREATE OR REPLACE VIEW usage_tracker.by_day_tag AS
    SELECT * FROM usage_tracker.rollup_day_tag UNION ALL SELECT * FROM usage_tracker.delta_day_tag;

CREATE OR REPLACE VIEW usage_tracker.events AS
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
            ELSE format(s.template, VARIADIC string_to_array(e.figures, ','))::jsonb END AS usage,
        e.awaits, e.completes
    FROM usage_tracker.usage_event e
    JOIN usage_tracker.usage_kind k USING (kind_key)
    JOIN usage_tracker.usage_owner o USING (owner_key)
    JOIN usage_tracker.usage_user u USING (user_key)
    JOIN usage_tracker.usage_tags t USING (tags_key)
    LEFT JOIN usage_tracker.usage_host h USING (host_key)
    LEFT JOIN usage_tracker.usage_price p USING (price_key)
    LEFT JOIN usage_tracker.usage_shape s USING (shape_key);

-- Who may store events, or read them, may do so with what is new.
DO $$
DECLARE
    role text;
    privilege text;
BEGIN
    FOR role, privilege IN
        SELECT grantee::regrole::text, privilege_type FROM pg_class, aclexplode(relacl)
        WHERE oid = 'usage_tracker.usage_event'::regclass AND privilege_type IN ('INSERT', 'SELECT')
            AND grantee NOT IN (0, relowner)
    LOOP
        IF privilege = 'INSERT' THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE ON usage_tracker.usage_awaited TO %s', role);
            EXECUTE format('GRANT SELECT, INSERT ON usage_tracker.usage_completed TO %s', role);
            EXECUTE format('GRANT SELECT, INSERT, DELETE ON usage_tracker.usage_kept_aside TO %s', role);
        ELSE
            EXECUTE format('GRANT SELECT ON usage_tracker.usage_awaited TO %s', role);
        END IF;
    END LOOP;
END $$;
