-- Some calls say their output alone, such as those for images of Volcengine Ark: a sum of their input of 0 is not known to be one.
-- `input_counted`: events that say it. What was summed before has 0 there, as nobody counted them.
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY[
        'rollup_hour', 'rollup_day', 'rollup_day_user', 'rollup_day_tag', 'rollup_hour_kind', 'rollup_day_kind',
        'rollup_hour_owner', 'rollup_day_owner', 'rollup_day_user_total', 'rollup_week_user_total', 'rollup_day_tag_total',
        'delta_hour', 'delta_day_user', 'delta_day_tag']
    LOOP
        EXECUTE format('ALTER TABLE usage_tracker.%I ADD COLUMN input_counted bigint NOT NULL DEFAULT 0', relation);
    END LOOP;
END $$;

CREATE OR REPLACE VIEW usage_tracker.by_hour AS
    SELECT * FROM usage_tracker.rollup_hour UNION ALL SELECT * FROM usage_tracker.delta_hour;
CREATE OR REPLACE VIEW usage_tracker.by_day_user AS
    SELECT * FROM usage_tracker.rollup_day_user UNION ALL SELECT * FROM usage_tracker.delta_day_user;
CREATE OR REPLACE VIEW usage_tracker.by_day_tag AS
    SELECT * FROM usage_tracker.rollup_day_tag UNION ALL SELECT * FROM usage_tracker.delta_day_tag;
DO $$
DECLARE
    of_all text := 'calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens, '
        'cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms, awaited, '
        'completed, output_counted, cache_read_counted, cache_write_counted, reasoning_counted, untimed, '
        'input_counted';
    this_hour text := 'bucket_at';
    its_day text := 'date_trunc(''day'', bucket_at, ''UTC'')';
    its_week text := 'to_timestamp(floor(extract(epoch FROM bucket_at) / 604800) * 604800)';
    name text;
    delta text;
    bucket text;
    keys text;
BEGIN
    FOR name, delta, bucket, keys IN
        VALUES ('day', 'hour', its_day, 'kind_key, owner_key, status'),
            ('hour_kind', 'hour', this_hour, 'kind_key'), ('day_kind', 'hour', its_day, 'kind_key'),
            ('hour_owner', 'hour', this_hour, 'owner_key'), ('day_owner', 'hour', its_day, 'owner_key'),
            ('day_user_total', 'day_user', this_hour, 'user_key'), ('week_user_total', 'day_user', its_week, 'user_key'),
            ('day_tag_total', 'day_tag', this_hour, 'tag_key')
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE VIEW usage_tracker.%I AS SELECT bucket_at, %s, %s FROM usage_tracker.%I '
            'UNION ALL SELECT %s, %s, %s FROM usage_tracker.%I',
            'by_' || name, keys, of_all, 'rollup_' || name, bucket, keys, of_all, 'delta_' || delta);
    END LOOP;
END $$;

CREATE OR REPLACE VIEW usage_tracker.daily AS
    SELECT (r.bucket_at AT TIME ZONE 'UTC')::date AS day, k.provider, k.model, k.operation, o.app, o.project, o.team,
        sum(r.calls) AS calls, sum(r.errors) AS errors,
        CASE WHEN sum(r.input_counted) > 0 OR sum(r.input_tokens) <> 0 THEN sum(r.input_tokens) END AS input_tokens,
        CASE WHEN sum(r.output_counted) > 0 OR sum(r.output_tokens) <> 0 THEN sum(r.output_tokens) END AS output_tokens,
        CASE WHEN sum(r.cache_read_counted) > 0 OR sum(r.cache_read_tokens) <> 0
            THEN sum(r.cache_read_tokens) END AS cache_read_tokens,
        CASE WHEN sum(r.reasoning_counted) > 0 OR sum(r.reasoning_tokens) <> 0
            THEN sum(r.reasoning_tokens) END AS reasoning_tokens,
        CASE WHEN sum(r.priced) > 0 THEN trim_scale(sum(r.cost)) END AS cost, sum(r.unpriced) AS unpriced
    FROM usage_tracker.by_day r
    JOIN usage_tracker.usage_kind k USING (kind_key)
    JOIN usage_tracker.usage_owner o USING (owner_key)
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
