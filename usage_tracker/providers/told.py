"""Answers that were kept as they were told, and read once they are shipped.

Reading an answer between two calls of an app costs several times what it costs in a loop: the interpreter and the
processor have long forgotten our code. So the app's thread only copies the few fields in which an ordinary answer says
all that is read of it, and a batch of them is read at once.
"""

from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from types import ModuleType
from typing import Any

import msgspec

from usage_tracker.event import CallKind, Origin, Told, UsageEvent
from usage_tracker.providers import anthropic, openai
from usage_tracker.providers.alike import Reading, read_alike
from usage_tracker.providers.answer import Answer, Request
from usage_tracker.providers.hosts import provider_of

READERS = {"anthropic": anthropic, "openai": openai}
LAYOUTS = [
    (reader, operation, plain.names)
    for reader, provider in READERS.items()  # anthropic's first: it is told by its types
    for operation, plain in provider.PLAIN.items()
]
UNKNOWN_ORIGIN = Origin(sdk="unknown")
"""Of a call whose origin can't be read any more."""

parts_of = attrgetter("__dict__", "__pydantic_extra__", "__pydantic_root_model__")
"""An SDK's object as a list of its fields, of those that its class does not know, and of False, which no list of a
provider ends in; no line of Python runs for it."""
encode_usage = msgspec.msgpack.Encoder(enc_hook=parts_of).encode
"""A usage object as it is, an SDK's object within by its parts."""
LONG_TEXTS = (0xD9, 0xDA, 0xDB)
"""What msgpack puts before strings of more than 31 bytes: a usage object that has one is read before it is kept."""


def read_said(value: object) -> Any:
    """What `encode_usage` made of a value, with dicts in the place of objects."""
    if type(value) is dict:
        return {name: read_said(part) if type(part) in (dict, list) else part for name, part in value.items()}
    if type(value) is list:
        if len(value) == 3 and value[2] is False and type(value[0]) is dict:
            return read_said({**value[0], **value[1]} if value[1] else value[0])
        return [read_said(part) for part in value]
    return value


def told_as_read(said: Iterable[tuple[Any, ...]]) -> tuple[tuple[Any, ...], ...]:
    """What was said, as who ships gets it."""
    return tuple((*values[:-1], decode(values[-1])) for values in said)


decode = msgspec.msgpack.Decoder().decode


def retell(provider: ModuleType, answer: Answer, names: Iterable[str], said: Iterable[Iterable[Any]]) -> None:
    """Have the provider's module read what was said."""
    for values in said:
        fields = dict(zip(names, values, strict=True))
        fields["usage"] = read_said(fields["usage"])
        provider.observe(answer, fields)


def event_of(kind: CallKind, told: Told) -> tuple[Origin, UsageEvent]:
    """The event that a call is, and where it came from."""
    provider = READERS[kind.reader]
    reading = read_alike(provider, kind.operation, kind.names, told.said) or read_by(provider, kind, told)
    return event_with(kind, told, reading)


def event_with(kind: CallKind, told: Told, reading: Reading) -> tuple[Origin, UsageEvent]:
    """The same, of what was said."""
    origin = kind.origin
    if kind.by_model:
        origin = served_by(origin, provider_of(origin.base_host, reading.model or kind.request_model))
    return origin, UsageEvent(
        started_at=told.started_at,
        duration_ms=told.duration_ms,
        ttft_ms=told.ttft_ms,
        operation=kind.operation,
        request_model=kind.request_model,
        model=reading.model,
        service_tier=reading.service_tier,
        streamed=kind.streamed,
        response_id=reading.response_id,
        status="ok" if reading.error_type is None else "error",
        error_type=reading.error_type,
        http_status=told.http_status,
        attempts=told.attempts,
        usage=reading.usage,
        raw=reading.raw,
        reported_cost=reading.reported_cost,
    )


def read_by(provider: ModuleType, kind: CallKind, told: Told) -> Reading:
    """What was said, read by the provider's module."""
    answer = Answer()
    retell(provider, answer, kind.names, told.said)
    return Reading(
        answer.model,
        answer.service_tier,
        answer.response_id,
        provider.usage_of(kind.operation, answer, Request(kind.operation, kind.request_model)),
        answer.raw,
        answer.error_type,
        answer.reported_cost,
    )


def kind_by_layout(told: Told) -> CallKind | None:
    """The kind of a call where the journal's record of it is damaged, as far as the order tells in which fields were
    kept: how they are read, and nothing of where they come from, so that nobody prices them as somebody else's."""
    for reader, operation, names in LAYOUTS:
        if all(len(values) == len(names) for values in told.said) and (
            names[0] != "type" or all(str(values[0]).startswith("message") for values in told.said)
        ):
            return CallKind(
                origin=UNKNOWN_ORIGIN,
                by_model=False,
                reader=reader,
                operation=operation,
                request_model=None,
                streamed=len(told.said) > 1 or told.ttft_ms is not None,
                names=names,
            )
    return None


def unread(kind: CallKind | None, told: Told) -> UsageEvent:
    """The event where nobody can read what was said: what it used is unknown."""
    return UsageEvent(
        started_at=told.started_at,
        duration_ms=told.duration_ms,
        ttft_ms=told.ttft_ms,
        operation="unknown" if kind is None else kind.operation,
        request_model=None if kind is None else kind.request_model,
        streamed=kind is not None and kind.streamed,
        http_status=told.http_status,
        attempts=told.attempts,
    )


@lru_cache(maxsize=4096)
def served_by(origin: Origin, provider: str | None) -> Origin:
    """That origin with who served the call; one object for all calls of one kind."""
    return msgspec.structs.replace(origin, provider=provider)
