"""A row of `LiteLLM_SpendLogs`: which of its columns are read, and what is said within its JSON.

https://github.com/BerriAI/litellm/blob/v1.83.0/schema.prisma; what it holds of prompts and answers is not read.
"""
# ruff: noqa: S608  names of columns are LiteLLM's, and in this file

import json
from datetime import datetime
from typing import Any, NamedTuple

COLUMNS = (
    "request_id", "call_type", "api_key", "spend", "prompt_tokens", "completion_tokens", "startTime", "endTime",
    "completionStartTime", "model", "model_group", "custom_llm_provider", "api_base", "user", "end_user", "team_id",
    "cache_hit", "session_id", "status",
)  # fmt: skip
"""Those that are read as they are; versions differ in which they have."""
SAID = {
    "usage": ("usage_object",),
    "team_alias": ("user_api_key_team_alias",),
    "project_alias": ("user_api_key_project_alias",),
    "project_id": ("user_api_key_project_id",),
    "failure": ("status",),
    "error_class": ("error_information", "error_class"),
    "error_code": ("error_information", "error_code"),
    "retries": ("attempted_retries",),
}
"""What is read of the column `metadata`."""


class Line(NamedTuple):
    """A row, with None for columns that its version doesn't have."""

    request_id: str
    call_type: str | None
    api_key: str | None
    spend: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    startTime: datetime  # noqa: N815  the column's name
    endTime: datetime | None  # noqa: N815
    completionStartTime: datetime | None  # noqa: N815
    model: str | None
    model_group: str | None
    custom_llm_provider: str | None
    api_base: str | None
    user: str | None
    end_user: str | None
    team_id: str | None
    cache_hit: str | None
    session_id: str | None
    status: str | None
    usage: Any
    team_alias: Any
    project_alias: Any
    project_id: Any
    failure: Any
    error_class: Any
    error_code: Any
    retries: Any
    written: str | None
    """`metadata` where it is a text, which may be JSON."""
    tags: Any


def read_text(line: Line) -> Line:
    """With what the proxy wrote as a text within JSON. A text that is no JSON says nothing, but for a tag itself."""
    tags = loaded(line.tags, line.tags)
    if line.written is None:
        return line._replace(tags=tags)
    said = loaded(line.written, None)
    return line._replace(tags=tags, **{name: at(said, path) for name, path in SAID.items()})


def loaded(text: Any, otherwise: Any) -> Any:
    """What the JSON of a text says."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return otherwise


def at(said: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        said = said.get(name) if isinstance(said, dict) else None
    return said


def select(there: set[str]) -> str:
    """The statement that reads a Line of each row."""
    columns = [f'"{name}"' if name in there else "NULL" for name in COLUMNS]
    metadata = '"LiteLLM_SpendLogs".metadata' if "metadata" in there else "NULL::jsonb"
    said = [f"{metadata} #> '{{{','.join(path)}}}' AS {name}" for name, path in SAID.items()]
    written = f"CASE jsonb_typeof({metadata}) WHEN 'string' THEN {metadata} #>> '{{}}' END AS written"
    tags = "request_tags" if "request_tags" in there else "NULL"
    return f'SELECT {", ".join([*columns, *said, written, tags])} FROM "LiteLLM_SpendLogs"'
