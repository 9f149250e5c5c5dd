"""Streams, observed in place: the app keeps the SDK's own object; only what it pulls from passes through us."""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import msgspec

from usage_tracker.capture.call import Call
from usage_tracker.guard import guarded
from usage_tracker.providers.answer import fields_of

BODY_MAX = 64 << 20
"""A JSON body beyond this is not kept for reading."""

guard_chunk = guarded("chunk")
decode = msgspec.json.Decoder().decode


def show(call: Call, chunk: object) -> bool:
    """Take what a chunk says; whether the app gets to see it."""
    shown = True
    with guard_chunk:
        shown = call.observe(fields_of(chunk))
        if shown and call.injected:
            unset_usage(chunk)
    return shown


def observed(source: Iterator[Any], call: Call) -> Generator[Any, None, None]:
    """The chunks of a sync stream. Being dropped or closed reaches a generator as GeneratorExit, so that every way a
    stream can end leaves through the one `with`."""
    with Pulling(call, ends_stream=True):
        call.pulling = False
        yield None
        call.pulling = True
        for chunk in source:
            if show(call, chunk):
                call.pulling = False
                yield chunk
                call.pulling = True


class AsyncObserved:
    """The chunks of an async stream. A class: an async generator that was never started would not tell that it is
    dropped."""

    __slots__ = ("_call", "_pulling", "_source")

    def __init__(self, source: AsyncGenerator[Any, None], call: Call) -> None:
        self._source = source
        self._call = call
        self._pulling = Pulling(call, ends_stream=False)

    def __aiter__(self) -> "AsyncObserved":
        return self

    async def __anext__(self) -> Any:
        while True:
            with self._pulling:
                chunk = await anext(self._source)
            if show(self._call, chunk):
                return chunk

    async def aclose(self) -> None:
        await self._source.aclose()

    def __del__(self) -> None:
        with guarded("drop stream"):
            self._call.finish("abandoned")


class Pulling:
    """Around the host's own iterator: notes how the stream ended."""

    __slots__ = ("_call", "_ends_stream")

    def __init__(self, call: Call, *, ends_stream: bool) -> None:
        self._call = call
        self._ends_stream = ends_stream
        """Whether leaving without an exception means that the stream is exhausted."""

    def __enter__(self) -> None:
        self._call.pulling = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        call = self._call
        call.pulling = False
        if kind is None:
            if self._ends_stream:
                call.finish()
        elif kind is StopAsyncIteration:
            call.finish()
        elif kind is GeneratorExit:
            call.finish("abandoned")
        elif error is not None:
            call.fail(error)


def unset_usage(chunk: Any) -> None:
    """Without the option that we added the server would not have sent `"usage": null`, and a dump of what was set
    (`exclude_unset`) would not show it."""
    names = getattr(chunk, "__pydantic_fields_set__", None)
    if names and chunk.__dict__.get("usage", chunk) is None:
        names.discard("usage")


def observe_stream(stream: Any, call: Call) -> None:
    """Watch a Stainless SDK's `Stream` or `AsyncStream`."""
    source = stream._iterator
    if hasattr(source, "__anext__"):
        stream._iterator = AsyncObserved(source, call)
    else:
        stream._iterator = observed(source, call)
        next(stream._iterator)  # up to its first yield: from here on it notices being dropped
    call.tail = Tail(call)
    watch_response(stream.response, call, call.tail)


def observe_body(response: Any, call: Call) -> None:
    """Watch an HTTP response whose body the app reads itself, as bytes, text, lines, JSON, or through the SDK's
    parser."""
    kind = response.headers.get("content-type", "")
    if "event-stream" in kind:
        body: Body = EventStream(call)
    elif "json" in kind:
        body = JsonBody(call)
    else:
        body = Body(call)
    watch_response(response, call, body)


class Body:
    """A body that the app reads piece by piece; this kind says nothing about usage, such as audio."""

    ends_call = True
    """Whether the call has ended when the body has."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.reading = False

    def feed(self, piece: bytes) -> bytes:
        """Take a piece; what the app gets of it."""
        return piece

    def end(self) -> bytes:
        """The body is complete; what the app still gets."""
        return b""


class JsonBody(Body):
    """A JSON answer, read once it is complete."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._pieces = bytearray()

    def feed(self, piece: bytes) -> bytes:
        if len(self._pieces) <= BODY_MAX:
            self._pieces += piece
        return piece

    def end(self) -> bytes:
        with guarded("body"):
            observe_json(self.call, bytes(self._pieces))
        return b""


class EventStream(Body):
    """Server-sent events. Where we asked for usage, the event that carries only that is taken out; the rest of such a
    stream reaches the app event by event."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._rest = b""
        self._filtering = call.injected

    def feed(self, piece: bytes) -> bytes:
        *events, self._rest = split_events(self._rest + piece)
        shown = [event for event in events if self._shown(event)]
        return b"".join(shown) if self._filtering else piece

    def end(self) -> bytes:
        rest, self._rest = self._rest, b""
        shown = self._shown(rest)
        return rest if shown and self._filtering else b""

    def _shown(self, event: bytes) -> bool:
        """Whether the app gets to see this event."""
        said = said_by(event)
        shown = True
        if said == b"[DONE]":
            self.call.finish()  # parsers stop here, before the body's end
        elif said.startswith(b"{"):
            with guard_chunk:
                shown = self.call.observe(decode_object(said))
        return shown


class Tail(Body):
    """The last bytes of a stream that the SDK parses. Where an event says that the stream failed, the SDK raises its
    error and drops the rest of that event, the usage up to there included."""

    ends_call = False
    LENGTH = 1 << 14

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._bytes = b""

    def feed(self, piece: bytes) -> bytes:
        self._bytes = (self._bytes + piece)[-self.LENGTH :] if len(piece) < self.LENGTH else piece[-self.LENGTH :]
        return piece

    def observe_failure(self) -> None:
        """Take what the failing event says."""
        for event in split_events(self._bytes):
            said = said_by(event)
            if b'"error"' in said:
                self.call.observe(decode_object(said))


def said_by(event: bytes) -> bytes:
    """The data of a server-sent event."""
    return b"".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))


def split_events(text: bytes) -> list[bytes]:
    """Server-sent events with the blank lines that end them; last what has no end yet."""
    pieces, start = [], 0
    blank = b"\r\n\r\n" if b"\r\n\r\n" in text else b"\n\n"
    while (at := text.find(blank, start)) != -1:
        pieces.append(text[start : at + len(blank)])
        start = at + len(blank)
    return [*pieces, text[start:]]


def decode_object(text: bytes) -> dict[str, object]:
    """A JSON object; empty for anything else, such as a body that was cut."""
    try:
        value = decode(text)
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def observe_json(call: Call, text: bytes) -> None:
    call.observe(decode_object(text))


watched: dict[type, type] = {}


def watch_response(response: Any, call: Call, body: Body) -> None:
    """Have an httpx response tell us when it is closed, which every way of leaving a stream early comes down to, and
    what is read from it.

    Its class is exchanged for a subclass until it is closed. An attribute on the object would be simpler and wrong: a
    closure over the response is a cycle, and SDKs rely on reference counts to close a dropped stream.
    """
    kind = type(response)
    if kind not in watched:
        watched[kind] = watching(kind)
    response._usage_watch = (call, body)
    response.__class__ = watched[kind]


def watching(kind: Any) -> type:
    """A subclass of an httpx Response class that tells what it goes through."""

    class Watched(kind):  # type: ignore[misc]  # the class is only known here
        def close(self) -> None:
            super().close()
            closed(self)

        async def aclose(self) -> None:
            await super().aclose()
            closed(self)

        def iter_bytes(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
            return tap(body_of(self), super().iter_bytes(*args, **kwargs))

        def aiter_bytes(self, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
            return async_tap(body_of(self), super().aiter_bytes(*args, **kwargs))

        def iter_raw(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
            return tap(raw_body_of(self), super().iter_raw(*args, **kwargs))

        def aiter_raw(self, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
            return async_tap(raw_body_of(self), super().aiter_raw(*args, **kwargs))

        def __reduce_ex__(self, protocol: Any) -> Any:
            unwatched(self)
            return kind.__reduce_ex__(self, protocol)

    Watched.__name__, Watched.__qualname__, Watched.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Watched


def tap(body: Body | None, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, shown to the body on their way to the app."""
    if body is None:
        yield from pieces
        return
    with Reading(body):
        for piece in pieces:
            if shown := fed(body, piece):
                yield shown
        if shown := fed(body, None):
            yield shown


async def async_tap(body: Body | None, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """As `tap`; a generator can't be both."""
    if body is None:
        async for piece in pieces:
            yield piece
        return
    with Reading(body):
        async for piece in pieces:
            if shown := fed(body, piece):
                yield shown
        if shown := fed(body, None):
            yield shown


def fed(body: Body, piece: bytes | None) -> bytes:
    """What the app gets for a piece, or, with None, for the end of the body."""
    with guard_chunk:
        return body.end() if piece is None else body.feed(piece)
    return piece or b""


def raw_body_of(response: Any) -> Body | None:
    """As `body_of`, for bytes that are not decoded yet: compressed ones can't be read."""
    return None if response.headers.get("content-encoding") else body_of(response)


def body_of(response: Any) -> Body | None:
    """The body to feed; None where nothing is to be read or somebody further out is reading it already."""
    watch = response.__dict__.get("_usage_watch")
    body: Body | None = watch[1] if watch else None
    return None if body is None or body.reading else body


def unwatched(response: Any) -> tuple[Call, Body]:
    """Give a response its own class back; what watched it."""
    state: tuple[Call, Body] = response.__dict__.pop("_usage_watch")
    response.__class__ = type(response).__mro__[1]
    return state


def closed(response: Any) -> None:
    """A response was closed: by whoever reads it, who decides how the call ended, or by the app that left early."""
    with guarded("close stream"):
        if "_usage_watch" in response.__dict__:
            call, body = unwatched(response)
            if not call.pulling and not (body.reading and body.ends_call):
                call.finish("abandoned")


class Reading(Pulling):
    """Around the reading of a body."""

    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        super().__init__(body.call, ends_stream=True)
        self._body = body

    def __enter__(self) -> None:
        self._body.reading = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._body.reading = False
        if self._body.ends_call:
            super().__exit__(kind, error, traceback)
