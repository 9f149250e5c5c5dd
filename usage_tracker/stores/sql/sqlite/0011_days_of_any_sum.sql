-- sum() of integers fails beyond 64 bits, at 9.2 million dollars. SQLite's other arithmetic goes on there with floating
-- numbers: in two parts, a sum is exact as long as it fits, and has 15 digits where it doesn't. Postgres has no such bound.
DROP VIEW daily;
CREATE VIEW daily AS
    SELECT date(r.bucket_at, 'unixepoch') AS day, k.provider, k.model, k.operation, o.app, o.project, o.team,
        sum(r.calls) AS calls, sum(r.errors) AS errors, sum(r.input_tokens) AS input_tokens,
        sum(r.output_tokens) AS output_tokens, sum(r.cache_read_tokens) AS cache_read_tokens,
        sum(r.reasoning_tokens) AS reasoning_tokens,
        CASE WHEN sum(r.priced) > 0
            THEN (sum(r.cost / 1000000) * 1000000 + sum(r.cost - r.cost / 1000000 * 1000000)) / 1e12 END AS cost,
        sum(r.unpriced) AS unpriced
    FROM by_day r
    JOIN usage_kind k USING (kind_key)
    JOIN usage_owner o USING (owner_key)
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
