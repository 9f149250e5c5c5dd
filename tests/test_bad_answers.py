"""Answers that no provider should give: the app sees of them what it sees without us, and the one event has what is
known."""

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from capturing import ASK, Captured
from in_process import EVENTS, JSON, Answer, Respond, async_openai_client, openai_client

import usage_tracker
from usage_tracker.capture import bodies
from usage_tracker.event import Status, Usage

ASKED: dict[str, Any] = {"model": "gpt-4o-mini", "messages": ASK}


class Bad(NamedTuple):
    """An answer, and what of it is known."""

    answer: Answer
    known: Usage = Usage()
    fails: bool = False
    """Whether the provider says so, or what it sends can not be read."""
    parsed_by_app: Status | None = None
    """How it ends where the app has all or part of the body and only then has it parsed, which fails in its hands."""


def chat(usage: object, **more: object) -> Answer:
    said = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [], **more}
    return Answer((json.dumps({**said, "usage": usage}).encode(),))


WHOLE = chat({"prompt_tokens": 3, "completion_tokens": 4}).pieces[0]
DEEP = b'{"id": "c-1", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
"""No reader of JSON has a stack for it."""
REFUSAL = json.dumps({"error": {"message": "no", "type": "bad", "param": None, "code": "bad"}}).encode()

BODIES = {
    "no usage": Bad(Answer((b'{"id": "c-1", "model": "m-1", "choices": []}',))),
    "usage is null": Bad(chat(None)),
    "usage is a list": Bad(chat([{"prompt_tokens": 3}])),
    "usage is a word": Bad(chat("3")),
    "usage is empty": Bad(chat({})),
    "details are null": Bad(
        chat({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}),
        Usage(input_tokens=3, output_tokens=4),
    ),
    "details are a list": Bad(
        chat({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": [{"cached_tokens": 2}]}),
        Usage(input_tokens=3, output_tokens=4),
    ),
    "numbers are words": Bad(chat({"prompt_tokens": "3", "completion_tokens": 4}), Usage(output_tokens=4)),
    "numbers are negative": Bad(chat({"prompt_tokens": -3, "completion_tokens": 4}), Usage(output_tokens=4)),
    "numbers are objects": Bad(chat({"prompt_tokens": {"n": 3}, "completion_tokens": [4]})),
    "numbers are fractions": Bad(chat({"prompt_tokens": 3.5, "completion_tokens": 4.0}), Usage(output_tokens=4)),
    "unknown counters": Bad(
        chat({"prompt_tokens": 3, "completion_tokens": 4, "dream_tokens": 9, "more": {"deep": {"tokens": 1}}}),
        Usage(input_tokens=3, output_tokens=4),
    ),
    "choices are null": Bad(chat({"prompt_tokens": 3}, choices=None), Usage(input_tokens=3)),
    "the model is a number": Bad(chat({"prompt_tokens": 3}, model=7, id=["c"]), Usage(input_tokens=3)),
    "a list": Bad(Answer((b"[1, 2]",))),
    "null": Bad(Answer((b"null",))),
    "nothing": Bad(Answer(()), fails=True, parsed_by_app="ok"),
    "cut within the JSON": Bad(Answer((WHOLE[:40],)), fails=True, parsed_by_app="ok"),
    "cut by the connection": Bad(Answer((WHOLE[:40],), cut=True), fails=True),
    "no JSON, says the header": Bad(Answer((b"<html>busy</html>",), kind="text/html")),
    "no JSON, but the header says so": Bad(Answer((b"<html>busy</html>",)), fails=True, parsed_by_app="ok"),
    "nested without end": Bad(Answer((DEEP,)), fails=True, parsed_by_app="ok"),
    **{f"{status} with JSON": Bad(Answer((REFUSAL,), status), fails=True) for status in (400, 401, 429, 500)},
    **{f"{status} without": Bad(Answer((b"busy",), status, "text/html"), fails=True) for status in (400, 401, 500)},
}  # fmt: skip


def data(*said: object) -> tuple[bytes, ...]:
    return tuple(b"data: " + json.dumps(one).encode() + b"\n\n" for one in said)


def chunk(**more: object) -> dict[str, object]:
    delta = [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": delta, **more}


FIRST, DONE = data(chunk())[0], b"data: [DONE]\n\n"
ERROR = {"error": {"message": "down", "type": "server_error", "param": None, "code": None}}


def events(*pieces: bytes, cut: bool = False) -> Answer:
    return Answer(pieces, kind=EVENTS, cut=cut)


STREAMS = {
    "empty": Bad(events()),
    "only its end": Bad(events(DONE)),
    "only comments": Bad(events(b": wait\n\n", b": wait\n\n", DONE)),
    "without its end": Bad(events(FIRST, FIRST)),
    "an error": Bad(events(FIRST, *data(ERROR)), fails=True),
    "an error that brings the usage": Bad(
        events(FIRST, *data({**ERROR, "usage": {"prompt_tokens": 3, "completion_tokens": 4}})),
        Usage(input_tokens=3, output_tokens=4), fails=True,
    ),
    "an error event": Bad(events(FIRST, b"event: error\n" + data(ERROR)[0]), fails=True),
    "cut by the connection": Bad(events(FIRST, cut=True), fails=True),
    "cut before anything": Bad(events(cut=True), fails=True),
    "cut within an event": Bad(events(FIRST, FIRST[:30])),
    "no JSON": Bad(events(FIRST, b"data: hello\n\n", DONE), fails=True, parsed_by_app="abandoned"),
    "nested without end": Bad(events(FIRST, b"data: " + DEEP + b"\n\n", DONE), fails=True, parsed_by_app="abandoned"),
    "choices are null": Bad(events(*data(chunk(choices=None)), DONE)),
    "usage is a list": Bad(events(FIRST, *data(chunk(usage=[1])), DONE)),
    "usage is words": Bad(
        events(FIRST, *data(chunk(usage={"prompt_tokens": "3", "completion_tokens": 4})), DONE), Usage(output_tokens=4)
    ),
    **{f"{status} with JSON": Bad(Answer((REFUSAL,), status), fails=True) for status in (400, 401, 429, 500)},
    "500 without": Bad(Answer((b"busy",), 500, "text/plain"), fails=True),
}  # fmt: skip

Way = Callable[[Respond], Any]


def call(respond: Respond) -> Any:
    with openai_client(respond) as client:
        return said(client.chat.completions.create(**ASKED))


def call_async(respond: Respond) -> Any:
    async def main() -> Any:
        async with async_openai_client(respond) as client:
            return said(await client.chat.completions.create(**ASKED))

    return asyncio.run(main())


def call_raw(respond: Respond) -> Any:
    with openai_client(respond) as client:
        return said(client.chat.completions.with_raw_response.create(**ASKED).parse())


def call_unread(respond: Respond) -> Any:
    with (
        openai_client(respond) as client,
        client.chat.completions.with_streaming_response.create(**ASKED) as response,
    ):
        return said(response.parse())


def stream(respond: Respond) -> Any:
    with openai_client(respond) as client:
        return [said(chunk) for chunk in client.chat.completions.create(**ASKED, stream=True)]


def stream_async(respond: Respond) -> Any:
    async def main() -> Any:
        async with async_openai_client(respond) as client:
            return [said(chunk) async for chunk in await client.chat.completions.create(**ASKED, stream=True)]

    return asyncio.run(main())


def stream_raw(respond: Respond) -> Any:
    with openai_client(respond) as client:
        raw = client.chat.completions.with_raw_response.create(**ASKED, stream=True)
        return [said(chunk) for chunk in raw.parse()]


CALLS: dict[str, Way] = {"": call, "async": call_async, "raw": call_raw, "unread": call_unread}
STREAMED: dict[str, Way] = {"": stream, "async": stream_async, "raw": stream_raw}
PARSED_BY_APP = (call_raw, call_unread, stream_raw)


def said(found: Any) -> tuple[type, object]:
    """An object by its type and all that is in it."""
    return type(found), found.model_dump(exclude_unset=True, warnings=False) if hasattr(found, "model_dump") else found


def outcome(way: Way, answer: Answer) -> tuple[object, ...]:
    """What the app gets, or the error that it sees."""

    def respond(_: httpx2.Request) -> httpx2.Response:
        return answer.response()

    try:
        return ("gives", way(respond))
    except Exception as error:  # noqa: BLE001  whatever it is, it has to be the same without us
        return "raises", type(error), str(error)


def check(way: Way, bad: Bad, tmp_path: Path) -> None:
    bare = outcome(way, bad.answer)
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool", stream_usage="always")
    try:
        captured = Captured()
        assert outcome(way, bad.answer) == bare
        event = captured.one()
    finally:
        usage_tracker.uninstall()
    assert event.usage == bad.known
    assert event.request_model == "gpt-4o-mini"
    broken_before_the_app_has_it = bad.answer.cut and bad.answer.kind == JSON and way is not call_unread
    assert event.http_status == (None if broken_before_the_app_has_it else bad.answer.status)
    parsed_by_app = way in PARSED_BY_APP and bad.parsed_by_app
    assert event.status == (parsed_by_app or ("error" if bad.fails else "ok"))
    assert (event.error_type is not None) == (event.status == "error")


@pytest.mark.parametrize("way", CALLS)
@pytest.mark.parametrize("kind", BODIES)
def test_a_bad_body(kind: str, way: str, tmp_path: Path) -> None:
    check(CALLS[way], BODIES[kind], tmp_path)


@pytest.mark.parametrize("way", STREAMED)
@pytest.mark.parametrize("kind", STREAMS)
def test_a_bad_stream(kind: str, way: str, tmp_path: Path) -> None:
    check(STREAMED[way], STREAMS[kind], tmp_path)


@pytest.mark.parametrize("base_url", ["https://api.openai.com/v1", "https://models.example.com/v1"])
def test_of_an_event_without_end_no_more_is_kept_than_of_any_body(
    captured: Captured, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    """An app that hands a stream on piece by piece has none of it in memory, whoever serves. The first host is one that
    is asked for usage, whose events reach the app as a whole."""
    monkeypatch.setattr(bodies, "BODY_MAX", 1 << 20)
    endless = [b"x" * (1 << 16)] * 1000
    sent = (FIRST, b"data: ", *endless, b"\n\n", *data(chunk(usage={"prompt_tokens": 3, "completion_tokens": 4})), DONE)
    with (
        openai_client(lambda asked: events(*sent).response()).with_options(base_url=base_url) as client,
        client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response,
    ):
        tracemalloc.start()
        received = sum(map(len, response.iter_bytes()))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert received == sum(map(len, sent))
    assert peak < 16 << 20
    assert captured.one().usage.output_tokens == 4
