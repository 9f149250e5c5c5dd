-- Some calls say their output alone, such as those for images of Volcengine Ark: a sum of their input of 0 is not known to be one.
-- `input_counted`: events that say it. What was summed before has 0 there, as nobody counted them.
ALTER TABLE rollup_hour ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_user ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_tag ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_kind ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_kind ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_owner ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_owner ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_user_total ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_week_user_total ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_day_tag_total ADD COLUMN input_counted INTEGER NOT NULL DEFAULT 0;

DROP VIEW daily;
CREATE VIEW daily AS
    SELECT date(r.bucket_at, 'unixepoch') AS day, k.provider, k.model, k.operation, o.app, o.project, o.team,
        sum(r.calls) AS calls, sum(r.errors) AS errors,
        CASE WHEN sum(r.input_counted) > 0 OR sum(r.input_tokens) <> 0 THEN sum(r.input_tokens) END AS input_tokens,
        CASE WHEN sum(r.output_counted) > 0 OR sum(r.output_tokens) <> 0 THEN sum(r.output_tokens) END AS output_tokens,
        CASE WHEN sum(r.cache_read_counted) > 0 OR sum(r.cache_read_tokens) <> 0
            THEN sum(r.cache_read_tokens) END AS cache_read_tokens,
        CASE WHEN sum(r.reasoning_counted) > 0 OR sum(r.reasoning_tokens) <> 0
            THEN sum(r.reasoning_tokens) END AS reasoning_tokens,
        CASE WHEN sum(r.priced) > 0
            THEN (sum(r.cost / 1000000) * 1000000 + sum(r.cost - r.cost / 1000000 * 1000000)) / 1e12 END AS cost,
        sum(r.unpriced) AS unpriced
    FROM by_day r
    JOIN usage_kind k USING (kind_key)
    JOIN usage_owner o USING (owner_key)
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
