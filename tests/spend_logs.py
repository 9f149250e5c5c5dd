"""A LiteLLM proxy's table of spend logs, filled by SQL alone."""

from contextlib import closing
from typing import Any

import psycopg2

TABLE = """
CREATE TABLE "LiteLLM_SpendLogs" (
    request_id text PRIMARY KEY,
    call_type text NOT NULL,
    api_key text NOT NULL DEFAULT '',
    spend double precision NOT NULL DEFAULT 0,
    total_tokens integer NOT NULL DEFAULT 0,
    prompt_tokens integer NOT NULL DEFAULT 0,
    completion_tokens integer NOT NULL DEFAULT 0,
    "startTime" timestamp(3) NOT NULL,
    "endTime" timestamp(3) NOT NULL,
    request_duration_ms integer,
    "completionStartTime" timestamp(3),
    model text NOT NULL DEFAULT '',
    model_id text DEFAULT '',
    model_group text DEFAULT '',
    custom_llm_provider text DEFAULT '',
    api_base text DEFAULT '',
    "user" text DEFAULT '',
    metadata jsonb DEFAULT '{}',
    cache_hit text DEFAULT '',
    cache_key text DEFAULT '',
    request_tags jsonb DEFAULT '[]',
    team_id text,
    organization_id text,
    end_user text,
    requester_ip_address text,
    messages jsonb DEFAULT '{}',
    response jsonb DEFAULT '{}',
    session_id text,
    status text,
    mcp_namespaced_tool_name text,
    billing_agent_id text,
    agent_id text,
    proxy_server_request jsonb DEFAULT '{}',
    litellm_call_id text,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX ON "LiteLLM_SpendLogs" ("startTime", request_id);
"""
"""As LiteLLM 1.108 makes it: https://github.com/BerriAI/litellm/blob/v1.83.0/schema.prisma"""

ROWS = """
INSERT INTO "LiteLLM_SpendLogs" (
    request_id, call_type, api_key, spend, total_tokens, prompt_tokens, completion_tokens, "startTime", "endTime",
    "completionStartTime", model, model_group, custom_llm_provider, api_base, "user", metadata, cache_hit,
    request_tags, team_id, end_user, session_id, status, messages
)
SELECT
    'chatcmpl-' || n || CASE WHEN cached THEN '_cache_hit' || n ELSE '' END,
    CASE n %% 5 WHEN 4 THEN 'aembedding' ELSE 'acompletion' END,
    encode(sha256(('sk-' || n %% 7)::bytea), 'hex'),
    CASE WHEN failed OR cached THEN 0 ELSE (prompt * 15 + completion * 60) / 1e8 END,
    prompt + completion, prompt, completion,
    started, started + make_interval(secs => 0.2 + n %% 40 / 10.0), started + make_interval(secs => 0.1),
    model, model, 'openai', 'https://api.openai.com/v1/', 'user-' || n %% 50,
    jsonb_build_object(
        'user_api_key_team_alias', 'team-' || n %% 3,
        'status', CASE WHEN failed THEN 'failure' ELSE 'success' END,
        'attempted_retries', n %% 2,
        'error_information', CASE WHEN failed THEN '{"error_class": "RateLimitError", "error_code": "429"}'::jsonb END,
        'usage_object', CASE WHEN failed THEN NULL ELSE jsonb_build_object(
            'prompt_tokens', prompt, 'completion_tokens', completion, 'total_tokens', prompt + completion,
            'prompt_tokens_details', jsonb_build_object('cached_tokens', prompt / 4),
            'completion_tokens_details', jsonb_build_object('reasoning_tokens', completion / 3)) END
    ),
    CASE WHEN cached THEN 'True' ELSE 'False' END,
    CASE n %% 4 WHEN 0 THEN '[]'::jsonb WHEN 1 THEN jsonb_build_array('tier:pro', 'job:' || n %% 9)
        ELSE to_jsonb(jsonb_build_array('tier:free', 'job:' || n %% 9)::text) END,
    't' || n %% 3, CASE WHEN n %% 6 = 0 THEN 'end-user-' || n %% 11 ELSE '' END, gen_random_uuid()::text,
    CASE WHEN failed THEN 'failure' ELSE 'success' END, '{"secret": "what was asked"}'
FROM (
    SELECT n, n %% 13 = 0 AS failed, n %% 13 <> 0 AND n %% 17 = 0 AS cached,
        timestamp '2026-06-01' + make_interval(secs => n * %(seconds)s::float8 / %(rows)s) AS started,
        CASE WHEN n %% 13 = 0 THEN 0 ELSE 10 + n %% 900 END AS prompt,
        CASE WHEN n %% 13 = 0 OR n %% 5 = 4 THEN 0 ELSE 5 + n %% 300 END AS completion,
        CASE WHEN n %% 5 = 4 THEN 'text-embedding-3-small'
            WHEN n %% 2 = 0 THEN 'gpt-4o-mini' ELSE 'gpt-4.1-mini' END AS model
    FROM generate_series(1, %(rows)s) AS made(n)
) AS row
"""

DAYS = 60
CACHED = "cache_hit = 'True'"
WHO = "coalesce(nullif(end_user, ''), nullif(\"user\", ''))"
LIST = "CASE jsonb_typeof(request_tags) WHEN 'string' THEN (request_tags #>> '{}')::jsonb ELSE request_tags END"
TOTALS = f"""count(*), sum(CASE WHEN {CACHED} THEN 0 ELSE prompt_tokens END),
    sum(CASE WHEN {CACHED} THEN 0 ELSE completion_tokens END), round(sum(spend::numeric), 12)"""
KEYS = {"day": '"startTime"::date', "model": "model", "user": WHO, "tag": "tag"}


def make_table(dsn: str, rows: int) -> None:
    run(dsn, TABLE)
    run(dsn, ROWS, {"rows": rows, "seconds": DAYS * 86400})
    run(dsn, 'ANALYZE "LiteLLM_SpendLogs"')


def run(dsn: str, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def totals(dsn: str, key: str) -> list[tuple[Any, ...]]:
    """What SQL says of the source: calls, tokens and spend by key. A cache's answer used nothing."""
    source = (
        f'"LiteLLM_SpendLogs" CROSS JOIN LATERAL jsonb_array_elements_text({LIST}) tag'
        if key == "tag"
        else ('"LiteLLM_SpendLogs"')
    )
    found = run(dsn, f"SELECT {KEYS[key]}::text, {TOTALS} FROM {source} GROUP BY 1")
    return sorted(found)
