"""What OpenAI's servers say over a WebSocket: realtime conversations, responses, translations and live sessions.

Most events are pieces of audio or text and say nothing of usage; their type tells, and the rest of them is not read.
https://github.com/openai/openai-python/tree/v3.54.0/src/openai/types/realtime (realtime_server_event.py),
https://github.com/openai/openai-python/tree/v3.54.0/src/openai/types/responses (responses_server_event.py),
https://github.com/openai/openai-python/tree/v3.54.0/src/openai/types/live (server_event.py)
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from usage_tracker.event import Status
from usage_tracker.providers import openai
from usage_tracker.providers.answer import UNREADABLE, Request, fields_of, http_status, word

observe = openai.observe
usage_of = openai.usage_of

SDK = openai.SDK

ATTACHED = re.compile(r"/live/sessions/([^/?]+)/attach")
"""The path of a connection to a session that another one, of whoever, has started:
https://github.com/openai/openai-python/blob/v3.54.0/src/openai/resources/live/sideband.py"""

TYPE_FIRST = re.compile(rb'\s*\{\s*"type"\s*:\s*"([\w.]+)"')


class Typed(msgspec.Struct):
    """An event of which only the type is read; the rest is skipped, not parsed."""

    type: str = ""


read_typed = msgspec.json.Decoder(Typed).decode


def type_of(message: bytes | str) -> bytes:
    """The type of an event; empty for what is none. Servers write it first, which is all that has to be read then."""
    if isinstance(message, str):  # by a stand-in for a socket, of the app's tests
        message = message.encode("utf-8", "replace")
    found = TYPE_FIRST.match(message)
    if found is not None:
        return found[1]
    try:
        return read_typed(message).type.encode()
    except (*UNREADABLE, UnicodeError):
        return b""


class Session(NamedTuple):
    """What an event says of the session."""

    id: str | None = None
    model: str | None = None
    transcriber: str | None = None
    """The model that transcribes what the user says, which is billed by itself."""
    billed_whole: bool = False
    """Whether it is billed by its length, as live sessions and translations are, and not by its responses."""


def read_session(fields: Mapping[str, object]) -> Session:
    """Of `session.created`, `session.updated`, `session.started` and the beta's `transcription_session.created`.

    https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/realtime/realtime_session_create_response.py,
    https://github.com/openai/openai-python/blob/v1.109.1/src/openai/types/beta/realtime/session.py
    """
    said = fields_of(fields.get("session"))
    audio = fields_of(fields_of(said.get("audio")).get("input"))
    transcription = fields_of(audio.get("transcription") or said.get("input_audio_transcription"))
    whole = fields.get("type") == "session.started" or said.get("type") == "translation"
    return Session(word(said.get("id")), word(said.get("model")), word(transcription.get("model")), whole)


def read_request(operation: str, event: Mapping[str, object], model: str | None) -> Request:
    """What a client's `response.create` asks for, in a session with that model. A conversation nests it:
    https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/realtime/response_create_event.py"""
    asked = fields_of(event.get("response")) if operation == "realtime" else event
    request = openai.read_request(operation, asked, None)
    return request._replace(model=request.model or model)


class Ending(NamedTuple):
    """How a response ended."""

    status: Status
    error_type: str | None = None


def ending_of(fields: Mapping[str, object]) -> Ending:
    """Of `response.done` and its like. An incomplete response is one that was cut at its limit, and is delivered.
    https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/realtime/realtime_response_status.py"""
    response = fields_of(fields.get("response"))
    status, details = response.get("status"), fields_of(response.get("status_details"))
    if status == "cancelled":
        return Ending("cancelled", word(details.get("reason"), 64) or "cancelled")
    if status == "failed":
        error = fields_of(response.get("error") or details.get("error"))
        return Ending("error", word(error.get("code"), 64) or word(error.get("type"), 64) or "failed")
    return Ending("ok")


class Refusal(NamedTuple):
    """What an error event says."""

    error_type: str
    event_id: str | None
    """Of the client's event that it is about."""
    about_response: bool
    """Whether, without such an id, it looks as if it were about a response that was asked for."""
    http_status: int | None


def read_refusal(fields: Mapping[str, object]) -> Refusal:
    """Most errors of a conversation are about something else that the client sent, and change nothing.
    https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/realtime/realtime_error.py"""
    error = fields_of(fields.get("error") or fields)
    code, kind, param = word(error.get("code"), 64), word(error.get("type"), 64), word(error.get("param"))
    client_event = word(error.get("event_id")) or word(error.get("client_event_id"))
    about = any("response" in text for text in (code, param) if text)
    return Refusal(code or kind or "error", client_event, about, http_status(fields.get("status")))
