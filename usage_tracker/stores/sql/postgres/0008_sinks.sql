-- Where events are passed on to as they come. `arrival`: how far a sink is; `until`: how far what is being sent now reaches, so
-- that what is sent again is the same, and `done`: how many of those events it has; `state`: what has to be known of all that
-- it was sent. `claim`: who sends, until `claimed_until`. `shown`: its address without secrets. Times are in seconds since 1970.
CREATE TABLE usage_tracker.sink (
    name text PRIMARY KEY,
    shown text NOT NULL,
    arrival bigint NOT NULL,
    until bigint,
    done bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    state bytea,
    claim text,
    claimed_until double precision,
    began_at double precision NOT NULL,
    sent_at double precision,
    problem text
);

-- While there is a sink, each transaction that stores events is a batch. `spans`: when its events started, as pairs of
-- microseconds since 1970. `arrival` is given once the batch is seen, in one order for all who look: a transaction that
-- began early and ended late has a late one.
CREATE TABLE usage_tracker.usage_batch (
    batch bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    events bigint NOT NULL,
    spans text NOT NULL,
    stored_at double precision NOT NULL DEFAULT extract(epoch FROM now()),
    arrival bigint UNIQUE
);
CREATE INDEX usage_batch_unseen ON usage_tracker.usage_batch (batch) WHERE arrival IS NULL;
CREATE SEQUENCE usage_tracker.batch_arrival;

ALTER TABLE usage_tracker.usage_event ADD COLUMN batch bigint;

-- The view `events` and, as its last column, the batch.
CREATE VIEW usage_tracker.arrived AS
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
        e.awaits, e.completes, e.batch
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
            EXECUTE format('GRANT SELECT (name) ON usage_tracker.sink TO %s', role);
            EXECUTE format('GRANT SELECT (batch), INSERT ON usage_tracker.usage_batch TO %s', role);
        ELSE
            EXECUTE format(
                'GRANT SELECT ON usage_tracker.sink, usage_tracker.usage_batch, usage_tracker.arrived TO %s', role);
        END IF;
    END LOOP;
END $$;
