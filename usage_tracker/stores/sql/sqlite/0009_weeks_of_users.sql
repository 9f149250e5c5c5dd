-- Users by the week: there are nearly as many rows by the day as users, times days.
-- Weeks are counted from 1 January 1970, a Thursday: reports put them together with days, whichever day theirs begin on.
CREATE TABLE rollup_week_user_total (
    bucket_at INTEGER NOT NULL, user_key INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, counted INTEGER NOT NULL, estimated INTEGER NOT NULL,
    priced INTEGER NOT NULL, unpriced INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL, reported INTEGER NOT NULL, reported_cost INTEGER NOT NULL, duration_ms REAL NOT NULL,
    ttft_calls INTEGER NOT NULL, ttft_ms REAL NOT NULL, awaited INTEGER NOT NULL, completed INTEGER NOT NULL,
    PRIMARY KEY (bucket_at, user_key)
) WITHOUT ROWID;

INSERT INTO rollup_week_user_total (
    bucket_at, user_key, calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls,
    ttft_ms, awaited, completed)
SELECT bucket_at - (bucket_at % 604800 + 604800) % 604800, user_key,
    sum(calls), sum(errors), sum(counted), sum(estimated), sum(priced), sum(unpriced), sum(input_tokens),
    sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
    sum(reported), sum(reported_cost), sum(duration_ms), sum(ttft_calls), sum(ttft_ms), sum(awaited), sum(completed)
FROM rollup_day_user_total GROUP BY 1, 2;

CREATE VIEW by_week_user_total AS SELECT * FROM rollup_week_user_total;
