-- Users by the week: there are nearly as many rows by the day as users, times days, and the sums of a quarter took half a second.
-- Weeks are counted from 1 January 1970, a Thursday: reports put them together with days, whichever day theirs begin on.
CREATE TABLE usage_tracker.rollup_week_user_total (LIKE usage_tracker.rollup_day_user_total INCLUDING ALL);

INSERT INTO usage_tracker.rollup_week_user_total (
    bucket_at, user_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
    ttft_ms, awaited, completed)
SELECT to_timestamp(floor(extract(epoch FROM bucket_at) / 604800) * 604800), user_key,
    sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
    sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
    sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
FROM usage_tracker.rollup_day_user_total GROUP BY 1, 2;

CREATE VIEW usage_tracker.by_week_user_total AS
    SELECT
        bucket_at, user_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.rollup_week_user_total
    UNION ALL SELECT
        to_timestamp(floor(extract(epoch FROM bucket_at) / 604800) * 604800) AS bucket_at, user_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
        ttft_ms, awaited, completed
    FROM usage_tracker.delta_day_user;

-- Who may do something with the days may do it with the weeks.
DO $$
DECLARE
    known text;
    new text;
    role text;
    privilege text;
BEGIN
    FOR known, new IN
        VALUES ('rollup_day_user_total', 'rollup_week_user_total'), ('by_day_user_total', 'by_week_user_total')
    LOOP
        FOR role, privilege IN
            SELECT grantee::regrole::text, privilege_type FROM pg_class, aclexplode(relacl)
            WHERE oid = format('usage_tracker.%I', known)::regclass AND grantee NOT IN (0, relowner)
        LOOP
            EXECUTE format('GRANT %s ON usage_tracker.%I TO %s', privilege, new, role);
        END LOOP;
    END LOOP;
END $$;
