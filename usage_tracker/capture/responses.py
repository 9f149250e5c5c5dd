"""HTTP responses, watched while the app reads them: when they are closed, and what passes through."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, nullcontext
from copyreg import __newobj__  # type: ignore[attr-defined]  # typeshed leaves it out
from typing import Any

from usage_tracker.capture.bodies import AwsEventStream, Body, EventStream, JsonBody, JsonLines
from usage_tracker.capture.call import Call
from usage_tracker.capture.pulling import Pulling
from usage_tracker.guard import finalizer, guarded

guard_piece = guarded("piece of a body")


def answered_raw(call: Call, response: Any) -> None:
    """Read an HTTP response, or watch over it where its body is still to come."""
    if response.is_closed:
        read_body(response, call)
    else:
        observe_body(response, call)


def observe_body(response: Any, call: Call) -> None:
    """Watch an HTTP response whose body the app reads itself, as bytes, text, lines, JSON, or through the SDK's parser;
    or may read, past a stream that parses it."""
    watch_response(response, call, body_in(response, call))


def read_body(response: Any, call: Call) -> None:
    """Read an HTTP response whose body is all there, and end the call."""
    body = body_in(response, call)
    shown = body.feed(response.content) + body.end()
    if call.injected:
        response._content = shown
    call.finish()


def body_in(response: Any, call: Call) -> Body:
    """What kind of body a response has: by its header or, where that is missing or says something else, by what was
    asked, as SDKs parse what they have asked for whatever it is called."""
    kind = response.headers.get("content-type", "")
    if "event-stream" in kind:
        return EventStream(call)
    if "vnd.amazon.eventstream" in kind:
        return AwsEventStream(call)
    if "json" in kind:
        return JsonBody(call)
    if call.request.operation == "speech":
        return Body(call)
    return EventStream(call) if call.streamed else JsonBody(call)


def observe_results(result: Any, call: Call) -> None:
    """Watch the results of a batch, which come line by line: an SDK's `JSONLDecoder`, or a raw response. What else the
    app may have made of them is passed over."""
    call.streamed = False
    call.finish()  # it is no event; what it brings is, line by line, also if the app reads it later or not to its end
    response = getattr(result, "http_response", result)
    if not hasattr(response, "is_closed"):
        return
    body = JsonLines(call, call.provider.batch_of(response.request.url.path))
    if "_raw_iterator" in result.__dict__:
        pieces = result._raw_iterator
        result._raw_iterator = async_tap(body, pieces) if hasattr(pieces, "__anext__") else tap(body, pieces)
    elif response.is_closed:
        body.feed(response.content)
        body.end()
    else:
        watch_response(response, call, body)


def keep_quick(thing: Any) -> None:
    """Give an object a dict of its own, once somebody has looked at its `__dict__` or will exchange its class: CPython
    3.11 looks up what lies in the one that it makes then at length, in some 300 instructions, and the SDK does so four
    times with each chunk."""
    if thing.__class__ is type(thing):  # another instrumentation's proxy has none to give
        thing.__dict__ = {**thing.__dict__}


watched: dict[type, type] = {}


def watch_response(response: Any, call: Call, body: Body | None) -> None:
    """Have an httpx response tell us when it is closed, which every way of leaving a stream early comes down to, and,
    where it has a body for us, what is read from it.

    Its class is exchanged for a subclass until it is closed. An attribute on the object would be simpler and wrong: a
    closure over the response is a cycle, and SDKs rely on reference counts to close a dropped stream.
    """
    kind = type(response)
    if kind not in watched:
        watched[kind] = watching(kind)
    keep_quick(response)
    response._usage_watch = (call, body)
    response.__class__ = watched[kind]


def watching(kind: Any) -> type:
    """A subclass of an httpx Response class that tells what it goes through. Whoever took one of its methods may call
    it when the response has its own class back, which `super()` would refuse."""
    tell_closed = closed  # the module's name for it is gone when the interpreter ends

    class Watched(kind):  # type: ignore[misc]  # the class is only known here
        def close(self) -> None:
            kind.close(self)
            tell_closed(self)

        async def aclose(self) -> None:
            await kind.aclose(self)
            tell_closed(self)

        def iter_bytes(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
            body, pieces = body_of(self), kind.iter_bytes(self, *args, **kwargs)
            return pieces if body is None else tap(body, pieces)

        def aiter_bytes(self, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
            body, pieces = body_of(self), kind.aiter_bytes(self, *args, **kwargs)
            return pieces if body is None else async_tap(body, pieces)

        def iter_raw(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
            body, pieces = raw_body_of(self), kind.iter_raw(self, *args, **kwargs)
            return pieces if body is None else tap(body, pieces)

        def aiter_raw(self, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
            body, pieces = raw_body_of(self), kind.aiter_raw(self, *args, **kwargs)
            return pieces if body is None else async_tap(body, pieces)

        def __del__(self) -> None:
            tell_closed(self)

        def __reduce_ex__(self, protocol: Any) -> Any:
            watch = unwatched(self)
            try:
                make, *rest = kind.__reduce_ex__(self, protocol)
            finally:
                self._usage_watch = watch
                self.__class__ = Watched
            # pickle insists that what copyreg's own function makes is of the class that the object has
            return (kind.__new__ if make is __newobj__ else make, *rest)

    Watched.__name__, Watched.__qualname__, Watched.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Watched


def tap(body: Body, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, shown to the body on their way to the app."""
    with Reading(body):
        for piece in pieces:
            if shown := fed(body, piece):
                body.pulling = False
                yield shown
                body.pulling = True
        if shown := fed(body, None):
            yield shown


async def async_tap(body: Body, pieces: Any) -> AsyncIterator[bytes]:
    """As `tap`; a generator can't be both. Closed early, it closes the pieces there and then: those of an async
    generator would otherwise hold the connection until the event loop gets round to them."""
    async with aclosing(pieces) if hasattr(pieces, "aclose") else nullcontext():
        with Reading(body):
            async for piece in pieces:
                if shown := fed(body, piece):
                    body.pulling = False
                    yield shown
                    body.pulling = True
            if shown := fed(body, None):
                yield shown


def fed(body: Body, piece: bytes | None) -> bytes:
    """What the app gets for a piece, or, with None, for the end of the body."""
    with guard_piece:
        return body.end() if piece is None else body.feed(piece)
    return piece or b""


def raw_body_of(response: Any) -> Body | None:
    """As `body_of`, for bytes that are not decoded yet: compressed ones can't be read."""
    body = body_of(response)
    return None if body is None or response.headers.get("content-encoding") else body


def body_of(response: Any) -> Body | None:
    """The body to feed; None where nothing is to be read, or somebody further out is reading it already, such as the
    SDK's own iterator, whose chunks are looked at instead."""
    watch = response.__dict__.get("_usage_watch")
    body: Body | None = watch[1] if watch else None
    return None if body is None or body.reading or body.call.is_pulled() else body


def unwatched(response: Any) -> tuple[Call, Body | None]:
    """Give a response its own class back; what watched it."""
    state: tuple[Call, Body | None] = response.__dict__.pop("_usage_watch")
    response.__class__ = type(response).__mro__[1]
    return state


@finalizer("close stream")
def closed(response: Any) -> None:
    """A response was closed: by whoever reads it, who decides how the call ended, or by the app that left early."""
    if "_usage_watch" in response.__dict__:
        call, body = unwatched(response)
        if not call.is_pulled() and not (body is not None and body.pulling):
            call.finish("abandoned")


class Reading(Pulling):
    """Around the reading of a body."""

    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        super().__init__(body.call, ends_stream=True)
        self._body = body

    def __enter__(self) -> None:
        self._body.reading = self._body.pulling = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._body.reading = self._body.pulling = False
        super().__exit__(kind, error, traceback)
