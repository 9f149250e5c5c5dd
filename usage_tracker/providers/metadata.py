"""Who a call is for, as far as the request itself says so: where users put it today, with any SDK.

- `user`, `safety_identifier`, `metadata`:
  https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/chat/completion_create_params.py
- `conversation`: https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/responses/response_create_params.py
- `metadata.tags`, `tags`, `litellm_metadata`, `litellm_session_id`, `metadata.session_id`, `metadata.trace_user_id`:
  https://docs.litellm.ai/docs/proxy/cost_tracking, https://docs.litellm.ai/docs/proxy/ui_logs_sessions,
  https://docs.litellm.ai/docs/observability/langfuse_integration
- `session_id`: https://openrouter.ai/docs/api-reference/overview
- `metadata.langfuse_…`: https://langfuse.com/integrations/model-providers/openai-py
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from usage_tracker.providers.answer import word

LONGEST_TAG_VALUE = 128
"""A longer value, or one of several lines, is a text and no tag; texts are never kept."""
MOST_TAGS = 64

USER = ("user_id", "user", "langfuse_user_id", "trace_user_id")
SESSION = ("session_id", "session", "langfuse_session_id", "conversation_id")
PROJECT = ("project", "project_id")
TEAM = ("team", "team_id")
TAGS = ("tags", "langfuse_tags")
COLUMNS = frozenset((*USER, *SESSION, *PROJECT, *TEAM, *TAGS))
"""Keys of metadata that have a column of their own and so are no tags."""
ONE_PER_CALL = frozenset(
    ("existing_trace_id", "generation_id", "message_id", "request_id", "run_id", "span_id", "trace_id")
)
"""Keys whose value differs with every call: such a tag groups nothing."""

FIELDS = frozenset(
    (
        "conversation", "litellm_metadata", "litellm_session_id", "metadata", "safety_identifier", "session_id", "tags",
        "user",
    )
)  # fmt: skip
"""A request without any of these says nothing of who it is for."""


class Asked(NamedTuple):
    """Who a request says it is for."""

    user: str | None = None
    session: str | None = None
    project: str | None = None
    team: str | None = None
    tags: tuple[str, ...] = ()


NOBODY = Asked()


def read_asked(body: Mapping[str, object]) -> Asked:
    """Read it from a request's body, as it goes out. A field of its own goes before one within `metadata`."""
    said: Mapping[object, object] = {}
    for name in ("litellm_metadata", "metadata"):
        metadata = body.get(name)
        if isinstance(metadata, Mapping):
            said = {**said, **metadata}
    user, session, listed = body.get("user"), body.get("session_id"), body.get("tags")
    hashed, conversation = body.get("safety_identifier"), body.get("conversation")
    session = body.get("litellm_session_id") if session is None else session
    if not said and user is None and session is None and listed is None and hashed is None and conversation is None:
        return NOBODY
    if isinstance(conversation, Mapping):
        conversation = conversation.get("id")
    listed_here = listed_tags(listed, *(said.get(name) for name in TAGS))
    return Asked(
        word(user) or first(said, USER) or word(hashed),
        word(session) or first(said, SESSION) or word(conversation),
        first(said, PROJECT),
        first(said, TEAM),
        tuple(dict.fromkeys((*listed_here, *paired_tags(said))))[:MOST_TAGS],
    )


def first(said: Mapping[object, object], names: tuple[str, ...]) -> str | None:
    """The first of these that says something."""
    for name in names:
        value = word(said.get(name))
        if value is not None:
            return value
    return None


def listed_tags(*lists: object) -> Iterator[str]:
    """Tags as LiteLLM's users write them: `["jobID:214", "taskName:classify"]`, or with commas where metadata may only
    be texts, as at OpenAI."""
    for said in lists:
        tags = said.split(",") if isinstance(said, str) and short(said) else said
        if isinstance(tags, list | tuple):
            for tag in tags[:MOST_TAGS]:
                text = short(tag)
                if text is not None:
                    yield text


def paired_tags(said: Mapping[object, object]) -> Iterator[str]:
    """The rest of the metadata as `key:value`."""
    for name, value in said.items():
        if name not in COLUMNS and name not in ONE_PER_CALL:
            key, text = short(name), short(value)
            if key is not None and text is not None:
                yield f"{key}:{text}"


def short(value: object) -> str | None:
    """A value that may be a tag, or part of one."""
    if isinstance(value, str) and (len(value) > LONGEST_TAG_VALUE or "\n" in value):
        return None
    return word(value)
