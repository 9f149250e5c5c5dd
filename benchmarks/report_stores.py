"""Stores with made-up events of a realistic spread, filled by SQL: ours in Postgres and SQLite, and LiteLLM's tables.

Users work on two projects each, projects use three models and four keys, and teams own projects. Users and models are
used very unevenly, more by day than by night. The rollups are summed from the events, as the shipper sums them, and
LiteLLM's daily tables likewise, as its proxy does.
"""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

DAYS = 90
MODELS, PROJECTS, TEAMS, USERS, KEYS = 20, 50, 20, 5000, 200
FIRST_DAY = datetime(2026, 8, 1, tzinfo=UTC)
AFTER = FIRST_DAY + timedelta(days=DAYS)

DIMENSIONS = f"""
INSERT INTO usage_tracker.usage_kind
    (kind_key, digest, provider, sdk, operation, request_model, model, streamed, base_host)
    OVERRIDING SYSTEM VALUE
SELECT n, md5('kind' || n)::uuid, (ARRAY['openai', 'anthropic', 'gemini', 'azure', 'groq'])[n % 5 + 1],
    (ARRAY['openai', 'anthropic', 'google-genai', 'openai', 'groq'])[n % 5 + 1], 'chat', 'model-' || n,
    'model-' || n || '-2026-05-01', n % 3 = 0, 'api.example.com'
FROM generate_series(1, {MODELS}) n;
INSERT INTO usage_tracker.usage_owner (owner_key, digest, app, project, team, api_key) OVERRIDING SYSTEM VALUE
SELECT n, md5('owner' || n)::uuid, 'app', 'project-' || n % {PROJECTS}, 'team-' || n % {PROJECTS} % {TEAMS},
    md5('key' || n) || '…' || lpad(n::text, 4, '0')
FROM generate_series(1, {KEYS}) n;
INSERT INTO usage_tracker.usage_user (user_key, digest, user_id) OVERRIDING SYSTEM VALUE
SELECT n, md5('user' || n)::uuid, 'user-' || n FROM generate_series(1, {USERS}) n;
INSERT INTO usage_tracker.usage_tag (tag_key, digest, tag) OVERRIDING SYSTEM VALUE
SELECT n, md5('tag' || n)::uuid, CASE WHEN n <= 3 THEN 'tier:' || (ARRAY['free', 'pro', 'enterprise'])[n]
    WHEN n <= 8 THEN 'region:' || n ELSE 'feature:' || n END
FROM generate_series(1, 30) n;
INSERT INTO usage_tracker.usage_tags (tags_key, digest, tags) OVERRIDING SYSTEM VALUE
SELECT tier * 23 + feature + 1, md5('tags' || tier || '.' || feature)::uuid,
    array_remove(ARRAY[
        (SELECT tag FROM usage_tracker.usage_tag WHERE tag_key = tier),
        (SELECT tag FROM usage_tracker.usage_tag WHERE tag_key = feature + 8 AND feature > 0)], NULL)
FROM generate_series(0, 3) tier, generate_series(0, 22) feature;
INSERT INTO usage_tracker.usage_host (host_key, digest, host) OVERRIDING SYSTEM VALUE
SELECT n, md5('host' || n)::uuid, 'host-' || n FROM generate_series(1, 20) n;
"""
"""Keys of tags: tier 0 (none) to 3, feature 0 (none) to 22."""
SEQUENCES = "".join(
    f"SELECT setval(pg_get_serial_sequence('usage_tracker.usage_{name}', '{name}_key'), 1000000);\n"
    for name in ("kind", "owner", "user", "tag", "tags", "host")
)
"""What a shipper adds to these stores comes after all that."""

EVENTS = f"""
INSERT INTO usage_tracker.usage_event
    (event_id, started_at, input_tokens, output_tokens, cache_read_tokens, reasoning_tokens, duration_ms, ttft_ms,
    kind_key, owner_key, user_key, tags_key, host_key, pid, http_status, attempts, estimated, status, cost, response_id,
    cost_flags)
SELECT gen_random_uuid(), at,
    CASE WHEN ok THEN input END, CASE WHEN ok THEN output END, CASE WHEN ok THEN input / 4 END,
    CASE WHEN ok AND kind %% 4 = 0 THEN output / 2 END, duration, CASE WHEN ok AND kind %% 3 = 0 THEN duration / 5 END,
    kind, owner, who, who %% 4 * 23 + CASE WHEN chance < 0.5 THEN 0 ELSE 1 + who %% 22 END + 1, who %% 20 + 1, 4711,
    CASE WHEN ok THEN 200 ELSE 429 END, 1, false, CASE WHEN ok THEN 'ok' ELSE 'error' END,
    CASE WHEN ok AND kind < {MODELS} THEN (input * kind + output * kind * 4) * 0.0000001 END,
    CASE WHEN ok THEN 'resp-' || n END, CASE WHEN ok AND kind = {MODELS} THEN '{{unpriced}}'::text[] END
FROM (
    SELECT n, at, who, chance, ok, input, output, duration,
        project + 1 + {PROJECTS} * (n %% ({KEYS} / {PROJECTS}))::int AS owner,
        (project * 7 + (pick * pick * 3)::int * 5) %% {MODELS} + 1 AS kind
    FROM (
        SELECT n, chance, pick, ok, input, output, duration, at, who,
            (who * 31 + n %% 2 * 17)::int %% {PROJECTS} AS project
        FROM (
            SELECT n, random() AS chance, random() AS pick, random() > 0.02 AS ok,
                (exp(6 + 1.2 * (random() + random() + random() + random() - 2)))::int AS input,
                (exp(5 + 1.5 * (random() + random() + random() + random() - 2)))::int AS output,
                exp(7 + 1.6 * (random() + random() + random() + random() - 2))::real AS duration,
                %(first)s::timestamptz + (floor(n * {DAYS}.0 / %(events)s)
                    + least(greatest((random() + random() + random()) / 3, 0), 0.99999)) * interval '1 day' AS at,
                1 + floor({USERS} * random() * random())::int AS who
            FROM generate_series(%(start)s::bigint, %(stop)s::bigint) n
        ) drawn
    ) placed
) made
"""

SUMS = """count(*), count(*) FILTER (WHERE status = 'error'), count(input_tokens), 0, count(cost),
    count(*) FILTER (WHERE 'unpriced' = ANY(cost_flags)), coalesce(sum(input_tokens), 0),
    coalesce(sum(output_tokens), 0), coalesce(sum(cache_read_tokens), 0), 0, coalesce(sum(reasoning_tokens), 0),
    coalesce(sum(cost), 0), 0, 0,
    sum(duration_ms::double precision), count(ttft_ms), coalesce(sum(ttft_ms::double precision), 0),
    count(output_tokens), count(cache_read_tokens), 0, count(reasoning_tokens), 0, count(input_tokens)"""
MEASURES = """calls, errors, counted, estimated, priced, unpriced, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, cost, reported, reported_cost, duration_ms, ttft_calls, ttft_ms,
    output_counted, cache_read_counted, cache_write_counted, reasoning_counted, untimed, input_counted"""
ADDED = ", ".join(f"sum({name.strip()})" for name in MEASURES.split(","))

ROLLUPS = f"""
INSERT INTO usage_tracker.rollup_hour (bucket_at, kind_key, owner_key, status, {MEASURES})
    SELECT date_trunc('hour', started_at, 'UTC'), kind_key, owner_key, status, {SUMS}
    FROM usage_tracker.usage_event GROUP BY 1, 2, 3, 4 ORDER BY 1;
INSERT INTO usage_tracker.rollup_day (bucket_at, kind_key, owner_key, status, {MEASURES})
    SELECT date_trunc('day', bucket_at, 'UTC'), kind_key, owner_key, status, {ADDED}
    FROM usage_tracker.rollup_hour GROUP BY 1, 2, 3, 4 ORDER BY 1;
INSERT INTO usage_tracker.rollup_day_user (bucket_at, user_key, kind_key, owner_key, status, {MEASURES})
    SELECT date_trunc('day', started_at, 'UTC'), user_key, kind_key, owner_key, status, {SUMS}
    FROM usage_tracker.usage_event GROUP BY 1, 2, 3, 4, 5 ORDER BY 1;
CREATE TEMP TABLE by_tags (bucket_at, tags_key, kind_key, owner_key, status, {MEASURES}) AS
    SELECT date_trunc('day', started_at, 'UTC'), tags_key, kind_key, owner_key, status, {SUMS}
    FROM usage_tracker.usage_event GROUP BY 1, 2, 3, 4, 5;
INSERT INTO usage_tracker.rollup_day_tag (bucket_at, tag_key, kind_key, owner_key, status, {MEASURES})
    SELECT bucket_at, coalesce(tag_key, 0), kind_key, owner_key, status, {ADDED}
    FROM by_tags JOIN usage_tracker.usage_tags t USING (tags_key)
        LEFT JOIN usage_tracker.usage_tag g ON g.tag = ANY(t.tags)
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2;
DROP TABLE by_tags;
"""

TOTAL = f"""
INSERT INTO usage_tracker.rollup_{{target}} (bucket_at, {{key}}, {MEASURES}, awaited, completed)
    SELECT bucket_at, {{key}}, {ADDED}, 0, 0 FROM usage_tracker.rollup_{{source}} GROUP BY 1, 2 ORDER BY 1, 2;
"""
TOTALS = (
    ("hour_kind", "kind_key", "hour"), ("day_kind", "kind_key", "day"), ("hour_owner", "owner_key", "hour"),
    ("day_owner", "owner_key", "day"), ("day_user_total", "user_key", "day_user"),
    ("day_tag_total", "tag_key", "day_tag"),
)  # fmt: skip
WEEKS = f"""
INSERT INTO usage_tracker.rollup_week_user_total (bucket_at, user_key, {MEASURES}, awaited, completed)
    SELECT to_timestamp(floor(extract(epoch FROM bucket_at) / 604800) * 604800), user_key, {ADDED}, 0, 0
    FROM usage_tracker.rollup_day_user_total GROUP BY 1, 2 ORDER BY 1, 2;
"""
SKETCH = """
INSERT INTO usage_tracker.rollup_{name} (bucket_at, {key}, bucket, calls, ttft_calls)
    SELECT day, {key}, bucket, sum(calls), sum(ttft_calls) FROM (
        SELECT date_trunc('day', started_at, 'UTC') AS day, {key}, usage_tracker.latency_bucket(duration_ms) AS bucket,
            count(*) AS calls, 0 AS ttft_calls FROM usage_tracker.usage_event GROUP BY 1, 2, 3
        UNION ALL
        SELECT date_trunc('day', started_at, 'UTC'), {key}, usage_tracker.latency_bucket(ttft_ms), 0, count(*)
        FROM usage_tracker.usage_event WHERE ttft_ms IS NOT NULL GROUP BY 1, 2, 3) known
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
"""

# As its schema.prisma has them (https://github.com/BerriAI/litellm/blob/main/litellm/proxy/schema.prisma), with their
# indexes; columns that stay empty here are left out.
DAILY_COLUMNS = """
    id text PRIMARY KEY, date text NOT NULL, api_key text NOT NULL, model text, model_group text,
    custom_llm_provider text, mcp_namespaced_tool_name text, endpoint text,
    prompt_tokens bigint NOT NULL DEFAULT 0, completion_tokens bigint NOT NULL DEFAULT 0,
    cache_read_input_tokens bigint NOT NULL DEFAULT 0, cache_creation_input_tokens bigint NOT NULL DEFAULT 0,
    spend double precision NOT NULL DEFAULT 0, api_requests bigint NOT NULL DEFAULT 0,
    successful_requests bigint NOT NULL DEFAULT 0, failed_requests bigint NOT NULL DEFAULT 0,
    created_at timestamp(3) NOT NULL DEFAULT now(), updated_at timestamp(3) NOT NULL DEFAULT now()
"""
DAILY_INDEXES = """
CREATE UNIQUE INDEX ON "{table}" ({who}, date, api_key, model, custom_llm_provider, mcp_namespaced_tool_name, endpoint);
CREATE INDEX ON "{table}" (date);
CREATE INDEX ON "{table}" ({who}, date);
CREATE INDEX ON "{table}" (api_key);
CREATE INDEX ON "{table}" (model);
CREATE INDEX ON "{table}" (mcp_namespaced_tool_name);
CREATE INDEX ON "{table}" (endpoint);
"""
SPEND_LOGS = """
CREATE TABLE "LiteLLM_SpendLogs" (
    request_id text PRIMARY KEY, call_type text NOT NULL, api_key text NOT NULL DEFAULT '',
    spend double precision NOT NULL DEFAULT 0, total_tokens integer NOT NULL DEFAULT 0,
    prompt_tokens integer NOT NULL DEFAULT 0, completion_tokens integer NOT NULL DEFAULT 0,
    "startTime" timestamp(3) NOT NULL, "endTime" timestamp(3) NOT NULL, request_duration_ms integer,
    "completionStartTime" timestamp(3), model text NOT NULL DEFAULT '', model_group text DEFAULT '',
    custom_llm_provider text DEFAULT '', api_base text DEFAULT '', "user" text DEFAULT '', metadata jsonb DEFAULT '{}',
    cache_hit text DEFAULT '', request_tags jsonb DEFAULT '[]', team_id text, end_user text, session_id text,
    status text, litellm_call_id text
);
INSERT INTO "LiteLLM_SpendLogs"
SELECT e.event_id::text, 'acompletion', o.api_key, coalesce(e.cost, 0),
    coalesce(e.input_tokens + e.output_tokens, 0), coalesce(e.input_tokens, 0), coalesce(e.output_tokens, 0),
    e.started_at AT TIME ZONE 'UTC', (e.started_at + e.duration_ms * interval '1 millisecond') AT TIME ZONE 'UTC',
    e.duration_ms::int, (e.started_at + e.ttft_ms * interval '1 millisecond') AT TIME ZONE 'UTC', k.model,
    k.request_model, k.provider, 'https://api.example.com', u.user_id, jsonb_build_object('project_id', o.project),
    'False', to_jsonb(t.tags), o.team, '', NULL, CASE e.status WHEN 'ok' THEN 'success' ELSE 'failure' END,
    e.event_id::text
FROM usage_tracker.usage_event e JOIN usage_tracker.usage_kind k USING (kind_key)
    JOIN usage_tracker.usage_owner o USING (owner_key) JOIN usage_tracker.usage_user u USING (user_key)
    JOIN usage_tracker.usage_tags t USING (tags_key);
CREATE INDEX ON "LiteLLM_SpendLogs" ("startTime");
CREATE INDEX ON "LiteLLM_SpendLogs" ("startTime", request_id);
CREATE INDEX ON "LiteLLM_SpendLogs" (end_user);
CREATE INDEX ON "LiteLLM_SpendLogs" (session_id);
CREATE INDEX ON "LiteLLM_SpendLogs" (litellm_call_id);
CREATE INDEX ON "LiteLLM_SpendLogs" (api_key, "startTime");
"""
DAILY = """
CREATE TABLE "{table}" ({who} text, {columns});
INSERT INTO "{table}" ({who}, id, date, api_key, model, model_group, custom_llm_provider, endpoint, prompt_tokens,
    completion_tokens, cache_read_input_tokens, spend, api_requests, successful_requests, failed_requests)
SELECT {value}, gen_random_uuid()::text, to_char(r.bucket_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), o.api_key, k.model,
    k.request_model, k.provider, '/chat/completions', sum(r.input_tokens), sum(r.output_tokens),
    sum(r.cache_read_tokens), sum(r.cost), sum(r.calls), sum(r.calls - r.errors), sum(r.errors)
FROM usage_tracker.{rollup} r JOIN usage_tracker.usage_kind k USING (kind_key)
    JOIN usage_tracker.usage_owner o USING (owner_key) {join}
GROUP BY 1, 3, 4, 5, 6, 7;
"""
DAILY_TABLES = {
    "LiteLLM_DailyUserSpend": (
        "user_id",
        "u.user_id",
        "rollup_day_user",
        "JOIN usage_tracker.usage_user u USING (user_key)",
    ),
    "LiteLLM_DailyTeamSpend": ("team_id", "o.team", "rollup_day", ""),
    "LiteLLM_DailyTagSpend": ("tag", "g.tag", "rollup_day_tag", "JOIN usage_tracker.usage_tag g USING (tag_key)"),
}

Cursor = Any
"""psycopg2's."""


def fill_postgres(cursor: Cursor, events: int, first_day: datetime = FIRST_DAY) -> None:
    """Events of the days from that one on, and rollups, in a migrated store that has none."""
    cursor.execute("SET timezone = 'UTC'; SET work_mem = '256MB'; SELECT setseed(0.5)")
    month = first_day.date().replace(day=1)
    while month < (first_day + timedelta(days=DAYS)).date():
        following = (month + timedelta(days=31)).replace(day=1)
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS usage_tracker.usage_event_{month:%Y_%m} "
            f"PARTITION OF usage_tracker.usage_event FOR VALUES FROM ('{month}') TO ('{following}')"
        )
        month = following
    cursor.execute(DIMENSIONS + SEQUENCES)
    for start in range(0, events, 1_000_000):
        stop = min(events, start + 1_000_000) - 1
        cursor.execute(EVENTS, {"first": first_day, "events": events, "start": start, "stop": stop})
    cursor.execute(ROLLUPS)
    for target, key, source in TOTALS:
        cursor.execute(TOTAL.format(target=target, key=key, source=source))
    cursor.execute(WEEKS)
    for name, key in (("day_latency", "kind_key"), ("day_owner_latency", "owner_key")):
        cursor.execute(SKETCH.format(name=name, key=key))


def fill_litellm(cursor: Cursor) -> None:
    """LiteLLM's tables with the same events, in the same database."""
    cursor.execute(SPEND_LOGS)
    for table, (who, value, rollup, join) in DAILY_TABLES.items():
        named = {"table": table, "who": who, "columns": DAILY_COLUMNS}
        cursor.execute(DAILY.format(**named, value=value, rollup=rollup, join=join))
        cursor.execute(DAILY_INDEXES.format(**named))


COPIED = (
    "usage_kind", "usage_owner", "usage_user", "usage_tag", "usage_tags", "usage_host", "usage_event", "rollup_hour",
    "rollup_day", "rollup_day_user", "rollup_day_tag", "rollup_day_latency", "rollup_day_owner_latency",
    *(f"rollup_{target}" for target, _, _ in TOTALS), "rollup_week_user_total",
)  # fmt: skip
FORMS = {
    "digest": "replace(digest::text, '-', '')",
    "event_id": "replace(event_id::text, '-', '')",
    "started_at": "(extract(epoch FROM started_at) * 1000000)::bigint",
    "bucket_at": "extract(epoch FROM bucket_at)::bigint",
    "tags": "array_to_json(tags)::text",
    "cost": "(cost * 1000000000000)::bigint",
    "reported_cost": "(reported_cost * 1000000000000)::bigint",
    "cost_flags": "array_to_json(cost_flags)::text",
}
"""Columns that SQLite holds in another form."""


def fill_sqlite(cursor: Cursor, path: str) -> None:
    """The same rows in a migrated SQLite store that has none."""
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA synchronous = OFF")
    for table in COPIED:
        columns = [name for _, name, *_ in file.execute(f"PRAGMA table_info({table})")]
        known = postgres_columns(cursor, table)
        columns = [name for name in columns if name in known]
        file.execute("BEGIN")
        file.execute(f"DELETE FROM {table}")
        marks = ", ".join("unhex_(?)" if name in ("digest", "event_id") else "?" for name in columns)
        file.create_function("unhex_", 1, bytes.fromhex, deterministic=True)
        file.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", read(cursor, table, columns))
        file.execute("COMMIT")
    file.execute("ANALYZE")
    file.close()


def postgres_columns(cursor: Cursor, table: str) -> set[str]:
    cursor.execute("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass", [f"usage_tracker.{table}"])
    return {name for (name,) in cursor.fetchall()}


def read(cursor: Cursor, table: str, columns: list[str]) -> Iterator[tuple[object, ...]]:
    cursor.execute("BEGIN")
    selected = ", ".join(FORMS.get(name, name) for name in columns)
    cursor.execute(f"DECLARE copied CURSOR FOR SELECT {selected} FROM usage_tracker.{table}")
    while True:
        cursor.execute("FETCH 20000 FROM copied")
        rows = cursor.fetchall()
        if not rows:
            break
        yield from rows
    cursor.execute("COMMIT")
