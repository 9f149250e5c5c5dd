"""The anthropic SDK, its clients for Bedrock, Vertex AI and Foundry included: which of its requests are calls, what
requests and answers say.

The SDK's types: https://github.com/anthropics/anthropic-sdk-python/tree/v2.12.0/src/anthropic/types; what it calls its
figures: `anthropic_usage`.
"""

import json
import re
from collections.abc import Container, Mapping
from functools import lru_cache

from usage_tracker.event import Usage
from usage_tracker.providers.answer import Answer, Plain, Request, fields_of, figures, merge_figures, whole_body, word
from usage_tracker.providers.anthropic_usage import read_searches, read_usage
from usage_tracker.providers.metadata import read_asked
from usage_tracker.providers.usage_fields import read_cost

OPERATIONS = (
    (re.compile(r"(?:^|/)v1/messages/?$"), "chat"),
    (re.compile(r"(?:^|/)v1/messages/batches/?$"), "batch"),
    (re.compile(r"(?:^|/)v1/complete/?$"), "completion"),
    (re.compile(r"/models/(?!count-tokens:)[^/]+:(?:rawPredict|streamRawPredict)$"), "chat"),
    (re.compile(r"(?:^|/)model/[^/]+/(?:invoke|invoke-with-response-stream)$"), "chat"),
)
"""The ends of the paths that are billed when they are posted to: Anthropic's own, which the clients of all platforms
start from, then Vertex AI's and Bedrock's, for who posts there by hand. Counting tokens is free."""

RESULTS = re.compile(r"(?:^|/)v1/messages/batches/([^/]+)/results/?$")

SILENT = ("content_block_delta", "content_block_start", "content_block_stop", "message_stop", "ping")
"""Events of a stream that bring no figures; nearly all are."""
FINAL = ("output_tokens", "output_tokens_details")
"""What a stream's first event only has a placeholder for:
https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/lib/_tracing/_response.py"""

CLAUDE_CODE_USER = re.compile(r"(user_[^_]+)_account_[^_]*_session_(.+)")
MOST_REQUESTS = 1000
"""A batch's requests are looked at up to here."""
LONGEST_USER = 1024


@lru_cache(maxsize=1024)
def operation_of(method: str, url: str) -> str | None:
    """The operation that a request is, or None where it isn't one that is billed. The URL may be absolute or relative
    and have a query."""
    if method.upper() != "POST":
        return None
    path = re.split("[?#]", url, maxsplit=1)[0]
    return next((operation for pattern, operation in OPERATIONS if pattern.search(path)), None)


@lru_cache(maxsize=1024)
def retrieval_of(method: str, url: str) -> str | None:
    """The operation whose usage the answer to a request brings, although the request itself is free: a batch's results
    say what each of its messages used. https://docs.claude.com/en/docs/build-with-claude/batch-processing"""
    return "batch" if method.upper() == "GET" and batch_of(url) is not None else None


def batch_of(url: str) -> str | None:
    """The batch whose results are at that URL."""
    found = RESULTS.search(re.split("[?#]", url, maxsplit=1)[0])
    return word(found[1]) if found else None


def read_request(operation: str, body: Mapping[str, object] | None, extra: Mapping[str, object] | None) -> Request:
    """What was asked. `body` is the SDK's JSON; `extra` is `extra_body`, which replaces fields of it."""
    asked = whole_body(body, extra)
    model = model_of_all(asked.get("requests")) if operation == "batch" else word(asked.get("model"))
    metadata = asked.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(user := metadata.get("user_id"), str):
        asked = {**asked, "metadata": {**metadata, **read_user(user)}}
    return Request(operation, model, *read_asked(asked))


def model_of_all(requests: object) -> str | None:
    """The model that all requests of a batch are for; None where they differ, or where reading them would use them up,
    as of a generator."""
    if not isinstance(requests, list | tuple):
        return None
    models = {word(fields_of(fields_of(request).get("params")).get("model")) for request in requests[:MOST_REQUESTS]}
    return models.pop() if len(models) == 1 else None


def read_user(user: str) -> Mapping[str, object]:
    """What is packed into `metadata.user_id`, as Anthropic takes no other metadata: a user and a session by Claude
    Code, in its older and its newer way, or any JSON object.
    https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/types/metadata_param.py"""
    if match := CLAUDE_CODE_USER.fullmatch(user):
        return {"user_id": match[1], "session_id": match[2]}
    if not user.startswith("{") or len(user) > LONGEST_USER:
        return {}
    try:
        packed = json.loads(user)
    except ValueError:
        return {}
    account, device = packed.pop("account_uuid", None), packed.pop("device_id", None)
    return {"user_id": packed.pop("user", None) or account or device, **packed}


PLAIN = {"chat": Plain(("type", "id", "model", "usage"), frozenset(("error", "message")))}
"""By operation."""


def says_nothing(names: Container[str]) -> bool:
    """Whether an event of a stream that has these fields, and no usage, is about a block of content."""
    return "index" in names


def observe(answer: Answer, fields: Mapping[str, object]) -> None:
    """Take what an answer, or one event of a stream, says. What is kept is copied: the SDK's helpers change events.

    A stream says what went in with its first event, and with `message_delta` the totals so far of all:
    https://docs.claude.com/en/docs/build-with-claude/streaming
    """
    kind = fields.get("type")
    if kind in SILENT:
        return
    if kind == "message_start":
        read_message(answer, fields_of(fields.get("message")), starts=True)
    elif kind == "message_delta":
        read_figures(answer, fields)
    elif kind == "error":
        answer.error_type = word(fields_of(fields.get("error")).get("type"), 64) or "error"
    elif kind == "message_batch":
        answer.response_id = answer.awaits = word(fields.get("id"))
        answer.service_tier = "batch"
    elif answer.model is None or kind != "completion":  # each event of a stream of completions names it again
        read_message(answer, fields)


def read_message(answer: Answer, message: Mapping[str, object], *, starts: bool = False) -> None:
    answer.model = word(message.get("model")) or answer.model
    answer.response_id = word(message.get("id")) or answer.response_id
    read_figures(answer, message, starts=starts)


def read_figures(answer: Answer, fields: Mapping[str, object], *, starts: bool = False) -> None:
    found = figures(fields.get("usage"))
    if found is None:
        return
    if starts:
        for name in FINAL:
            found.pop(name, None)
    answer.partial = starts
    answer.raw = merge_figures(answer.raw, found)
    answer.service_tier = word(answer.raw.get("service_tier")) or answer.service_tier
    answer.reported_cost = read_cost(answer.raw) or answer.reported_cost


def read_result(line: Mapping[str, object], batch: str | None) -> Answer | None:
    """One result of a batch, as a line of its results says it; None for a request that failed, expired or was
    cancelled, which used nothing.
    https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/types/messages/message_batch_individual_response.py"""
    message = fields_of(fields_of(line.get("result")).get("message"))
    answer = Answer()
    answer.service_tier = "batch"
    read_message(answer, message)
    answer.completes = batch
    return None if answer.raw is None or answer.response_id is None else answer


def usage_of(operation: str, answer: Answer, request: Request) -> Usage:
    """The counts of a call that has ended."""
    if answer.raw is None:
        return Usage()
    usage = read_usage(answer.raw)
    searches = read_searches(answer.raw)
    usage.units = {"searches": searches} if searches else None
    return usage
