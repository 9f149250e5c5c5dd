"""How the openai SDK talks over WebSockets: realtime, responses, translations and live sessions, sync and async.

A connection hands out what it received with `recv_bytes`, whether the app iterates, receives, dispatches to handlers or
parses for itself; it sends with `send`, or in a lane of a session of responses.
https://github.com/openai/openai-python/blob/v3.54.0/src/openai/resources/realtime/realtime.py,
https://github.com/openai/openai-python/blob/v3.54.0/src/openai/lib/responses_websocket/_session.py
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from usage_tracker.capture.admission import Hold, await_hold, hold_to_await
from usage_tracker.capture.call import Call, Wrapper
from usage_tracker.capture.fingerprint import fingerprint
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.capture.socket_sessions import SocketSession
from usage_tracker.config import Settings
from usage_tracker.guard import guarded
from usage_tracker.providers import openai_events
from usage_tracker.providers.answer import fields_of

guard_open, guard_receive, guard_send = guarded("open connection"), guarded("received event"), guarded("sent event")
guard_close = guarded("close connection")

NO_EVENT: Mapping[str, object] = {}
HELD = "_usage_session"
"""The attribute of a connection that holds what we know of it."""


def wrappers(sdk: str, recorder: Recorder, settings: Settings) -> Mapping[str, Wrapper]:
    """By role."""
    around = AroundConnection(recorder, settings.fingerprint_key)
    return {
        "open": around.open,
        "receive": around.receive,
        "send": around.send,
        "send in lane": around.send_in_lane,
        "close": around_close,
    }


class AroundConnection:
    """The wrappers of a connection's methods, sync or async: a result that has to be awaited is."""

    def __init__(self, recorder: Recorder, fingerprint_key: str) -> None:
        self._recorder = recorder

        @lru_cache(maxsize=256)
        def client(host: str | None, key: str | None, azure: bool) -> Client:
            return Client(openai_events.SDK, host, azure, fingerprint(key, fingerprint_key))

        self._client = client

    def session(self, connection: Any) -> SocketSession:
        """What is known of a connection; from its start, or from now on if it was open before us."""
        held: SocketSession | None = vars(connection).get(HELD)
        if held is None:
            request = getattr(connection._connection, "request", None)  # of the handshake
            headers = getattr(request, "headers", None)
            if not isinstance(headers, Mapping):  # a stand-in for a socket, of the app's tests
                request, headers = None, {}
            operation = "responses" if "Responses" in type(connection).__name__ else "realtime"
            host = re.sub(r":\d+$", "", last_of(headers, "Host")) or None
            key = last_of(headers, "api-key") or last_of(headers, "Authorization").removeprefix("Bearer ")
            client = self._client(host, key or None, "api-key" in headers)
            held = SocketSession(self._recorder, client, operation, getattr(request, "path", ""))
            vars(connection)[HELD] = held
        held.recorder = self._recorder  # of now: a connection may outlive an install
        return held

    def open(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Around `__init__`, which takes a socket that is connected."""
        wrapped(*args, **kwargs)
        with guard_open:
            self.session(instance)

    def receive(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around `recv_bytes`."""
        session = None
        with guard_open:
            session = self.session(instance)
        if session is None:
            return wrapped(*args, **kwargs)
        with session:
            message = wrapped(*args, **kwargs)
        if hasattr(message, "__await__"):
            return received(session, message)
        with guard_receive:
            session.receive(message)
        return message

    def send(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around `send` of a connection."""
        return passed_on(lambda event: self.session(instance).ask(event), wrapped, args, kwargs)

    def send_in_lane(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around `send` of a lane, which goes past the connection's own to its socket."""

        def ask(event: Mapping[str, object]) -> Call:
            in_lane = {**event, "stream_id": instance._state.stream_id}
            return self.session(instance._session.connection).ask(in_lane)

        return passed_on(ask, wrapped, args, kwargs)


def last_of(headers: Any, name: str) -> str:
    """The last value of a header, which is the app's where it has set one that is there anyway; empty without one."""
    values = headers.get_all(name) if hasattr(headers, "get_all") else [headers.get(name)]
    return values[-1] or "" if values else ""


async def received(session: SocketSession, message: Any) -> Any:
    with session:
        message = await message
    with guard_receive:
        session.receive(message)
    return message


class Sending:
    """Around the host's sending: what could not be sent was not asked."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if kind is not None:
            with guard_send:
                self._call.finish("error" if isinstance(error, Exception) else "cancelled", kind.__name__)


def passed_on(
    ask: Callable[[Mapping[str, object]], Call], wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Send an event. Most are audio, and pass; one that asks for a response is held to budgets before."""
    call, event = None, NO_EVENT
    with guard_send:
        event = fields_of(args[0] if args else kwargs["event"])
        if event.get("type") == "response.create":
            call = ask(event)
    if call is None:
        return wrapped(*args, **kwargs)
    hold = hold_to_await(call, event.get("response") or event, wrapped)
    with Sending(call):
        result = wrapped(*args, **kwargs)
    return sent(call, hold, result) if hasattr(result, "__await__") else result


async def sent(call: Call, hold: Hold | None, result: Any) -> Any:
    if hold is not None:
        await await_hold(hold, call, result)
    with Sending(call):
        return await result


def around_close(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around `close` of a connection: what is under way will not be heard of again."""
    with guard_close:
        session = vars(instance).get(HELD)
        if session is not None:
            session.closed = True
            session.end("abandoned", "ok")
    return wrapped(*args, **kwargs)
