-- One table for all, so that the insert of one block is a transaction: its rows are the events of a batch, what they add to
-- each rollup, and how far the journal's segments are stored by then. `grain` says what a row is; merges add up the rows
-- that have the same key.
--
-- `at` is microseconds since 1970, UTC: when an event started, or when the hour, day or week of a rollup did. What stands for null
-- in a column of text is a NUL character, which no text has. `known` has a bit for each of an event's figures that may be
-- unknown: input, output, cache-read, cache-written and reasoning tokens, duration, time to the first chunk.
CREATE TABLE IF NOT EXISTS $shard$on_cluster (
    $columns,
    started_at Int64 ALIAS at,
    bucket_at Int64 ALIAS at,
    event_id String ALIAS UUIDNumToString(id),
    model_name String ALIAS if(model = '\0', request_model, model)
) ENGINE = ${replicated}SummingMergeTree($usage($summed))
PRIMARY KEY (grain, at)
ORDER BY (
    grain, at, provider, model, request_model, operation, sdk, service_tier, streamed, base_host, app, project, team, api_key,
    status, user_id, tag, bucket, id
)
SETTINGS $window;

-- cluster: what all shards have.
CREATE TABLE IF NOT EXISTS usage$on_cluster AS $database.$shard ENGINE = Distributed($cluster, $database, $shard);

CREATE VIEW IF NOT EXISTS usage_event$on_cluster AS SELECT event_id, started_at, * FROM $database.usage WHERE grain = 'event';

CREATE VIEW IF NOT EXISTS journal_offset$on_cluster AS
    SELECT UUIDNumToString(id) AS segment, sum(position) AS position, sum(events) AS events
    FROM $database.usage WHERE grain = 'offset' GROUP BY id;

CREATE VIEW IF NOT EXISTS by_hour$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'hour';
CREATE VIEW IF NOT EXISTS by_day$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'day';
CREATE VIEW IF NOT EXISTS by_day_user$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'day_user';
CREATE VIEW IF NOT EXISTS by_day_tag$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'day_tag';
CREATE VIEW IF NOT EXISTS by_day_latency$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'day_latency';
CREATE VIEW IF NOT EXISTS by_hour_kind$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'hour_kind';
CREATE VIEW IF NOT EXISTS by_day_kind$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'day_kind';
CREATE VIEW IF NOT EXISTS by_hour_owner$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'hour_owner';
CREATE VIEW IF NOT EXISTS by_day_owner$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'day_owner';
CREATE VIEW IF NOT EXISTS by_day_user_total$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'day_user_total';
CREATE VIEW IF NOT EXISTS by_week_user_total$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'week_user_total';
CREATE VIEW IF NOT EXISTS by_day_tag_total$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'day_tag_total';
CREATE VIEW IF NOT EXISTS by_day_owner_latency$on_cluster AS SELECT bucket_at, * FROM $database.usage WHERE grain = 'day_owner_latency';

-- For people and their tools.
CREATE VIEW IF NOT EXISTS events$on_cluster AS
    SELECT event_id, $started_at AS started_at, $known_duration_ms, $known_ttft_ms,
        nullIf(provider, '\0') AS provider, sdk, operation, nullIf(request_model, '\0') AS request_model,
        nullIf(model, '\0') AS model, nullIf(service_tier, '\0') AS service_tier, streamed,
        nullIf(base_host, '\0') AS base_host, nullIf(response_id, '\0') AS response_id,
        $known_input_tokens, $known_output_tokens, $known_cache_read_tokens, $known_cache_write_tokens,
        cache_write_1h_tokens, $known_reasoning_tokens, input_audio_tokens, output_audio_tokens, input_image_tokens,
        output_image_tokens, tool_tokens, nullIf(units, '\0') AS units, estimated,
        if(priced > 0, cost, NULL) AS cost, nullIf(cost_parts, '\0') AS cost_parts,
        nullIf(price_source, '\0') AS price_source, nullIf(price_version, '\0') AS price_version,
        if(reported > 0, reported_cost, NULL) AS reported_cost, cost_flags,
        nullIf(app, '\0') AS app, nullIf(project, '\0') AS project, nullIf(team, '\0') AS team,
        nullIf(user_id, '\0') AS user_id, nullIf(session_id, '\0') AS session_id, tags, nullIf(api_key, '\0') AS api_key,
        nullIf(host, '\0') AS host, pid, status, nullIf(error_type, '\0') AS error_type, http_status, attempts,
        nullIf(usage, '\0') AS usage, nullIf(awaits, '\0') AS awaits, nullIf(completes, '\0') AS completes
    FROM $database.usage WHERE grain = 'event';

CREATE VIEW IF NOT EXISTS daily$on_cluster AS
    SELECT toDate(toDateTime(intDiv(at, 1000000), 'UTC'), 'UTC') AS day, nullIf(provider, '\0') AS provider,
        nullIf(model, '\0') AS model, operation, nullIf(app, '\0') AS app, nullIf(project, '\0') AS project,
        nullIf(team, '\0') AS team, sum(calls) AS calls, sum(errors) AS errors,
        if(sum(input_counted) > 0, sum(input_tokens), NULL) AS input_tokens,
        if(sum(output_counted) > 0, sum(output_tokens), NULL) AS output_tokens,
        if(sum(cache_read_counted) > 0, sum(cache_read_tokens), NULL) AS cache_read_tokens,
        if(sum(reasoning_counted) > 0, sum(reasoning_tokens), NULL) AS reasoning_tokens,
        if(sum(priced) > 0, sum(cost), NULL) AS cost, sum(unpriced) AS unpriced
    FROM $database.usage WHERE grain = 'day'
    GROUP BY day, provider, model, operation, app, project, team;

-- Budgets and price books need transactions, which ClickHouse lacks; who asks for them finds none.
CREATE TABLE IF NOT EXISTS price_version$on_cluster (version Nullable(Int64), created_at String, note String)
    ENGINE = MergeTree ORDER BY tuple();
CREATE TABLE IF NOT EXISTS price$on_cluster (version Int64, position Int64, entry String) ENGINE = MergeTree ORDER BY tuple();
CREATE TABLE IF NOT EXISTS budget$on_cluster (name String, definition String) ENGINE = MergeTree ORDER BY tuple();
CREATE TABLE IF NOT EXISTS budget_alert$on_cluster (
    subject String, threshold String, raised_at Float64, message String, receiver String, sent_at Nullable(Float64),
    tries Int64
) ENGINE = MergeTree ORDER BY tuple();
CREATE TABLE IF NOT EXISTS change_log$on_cluster (
    change_id Int64, changed_at String, kind String, subject String, who String, through String, before Nullable(String),
    after Nullable(String)
) ENGINE = MergeTree ORDER BY tuple();
CREATE TABLE IF NOT EXISTS budget_account$on_cluster (budget String, part String, window_start Int64)
    ENGINE = MergeTree ORDER BY tuple();
CREATE TABLE IF NOT EXISTS budget_reservation$on_cluster (segment Nullable(String)) ENGINE = MergeTree ORDER BY tuple();
