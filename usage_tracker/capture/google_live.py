"""How the google-genai SDK's live sessions go: messages over a socket, each turn of the model a call.

The server tells a turn's usage with the message that ends the turn, the conversation so far among its prompt; it is
neither a sum over the session nor a difference. `AsyncSession._receive` takes every message, and `AsyncLive.connect`
knows the model. A turn begins with its first message, as what the user says before has no beginning that we could see.
https://github.com/googleapis/python-genai/blob/v2.34.0/google/genai/live.py, https://ai.google.dev/api/live
"""

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any
from weakref import WeakKeyDictionary

from usage_tracker.capture.admission import await_hold, hold_of
from usage_tracker.capture.call import Call, Wrapper
from usage_tracker.capture.google_genai import Clients
from usage_tracker.capture.nesting import nested
from usage_tracker.capture.recorder import Recorder
from usage_tracker.config import Settings
from usage_tracker.guard import finalizer, guarded
from usage_tracker.providers import google_genai
from usage_tracker.providers.answer import Answer, Request, fields_of
from usage_tracker.providers.gemini_fields import read_usage

NEVER_TOLD: Any = object()
"""For the usage of the SDK's first versions, whose messages don't have it."""

guard_connect, guard_message = guarded("connect"), guarded("message")


def wrappers(sdk: str, recorder: Recorder, settings: Settings) -> Mapping[str, Wrapper]:
    """By role."""
    around = AroundSessions(recorder, Clients(sdk, settings.fingerprint_key))
    return {"connect": around.connect, "receive": around.receive}


class AroundSessions:
    """The wrappers of `AsyncLive.connect` and `AsyncSession._receive`."""

    def __init__(self, recorder: Recorder, clients: Clients) -> None:
        self._recorder = recorder
        self._clients = clients
        self._sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()

    def connect(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The app keeps the SDK's own context manager; the generator that it runs passes us."""
        manager = wrapped(*args, **kwargs)
        with guard_connect:
            model = google_genai.model_of(kwargs.get("model"))
            manager.gen = Connection(manager.gen, self, instance._api_client, model)
        return manager

    async def receive(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around the receiving of one message."""
        if nested():
            return await wrapped(*args, **kwargs)
        session = None
        with guard_message:
            session = self.session(instance)
        if session is None:
            return await wrapped(*args, **kwargs)
        with session:
            message = await wrapped(*args, **kwargs)
        with guard_message:
            session.take(message)
        return message

    def session(self, instance: Any, model: str | None = None) -> "Session":
        """What we know of a session of the SDK."""
        found = self._sessions.get(instance)
        if found is None:
            found = Session(self, instance._api_client, model)
            self._sessions[instance] = found
        return found

    async def admit(self, api_client: Any, model: str | None) -> None:
        """Before a session is opened: budgets hold it as they would its first turn. Raises BudgetExceeded."""
        call, hold = None, None
        with guard_connect:
            if self._recorder.gate is not None:
                call = self.begin(api_client, model)
                hold = hold_of(call, None)
        if call is not None:
            if hold is not None:
                await await_hold(hold, call)
            call.drop()

    def begin(self, api_client: Any, model: str | None) -> Call:
        request = Request("realtime", model)
        return Call(google_genai, self._recorder, self._clients.of(api_client), request, streamed=True)


class Connection:
    """In the place of the generator within `connect`'s context manager: it gives the session, and ends it."""

    def __init__(self, generator: Any, around: AroundSessions, api_client: Any, model: str | None) -> None:
        self._generator = generator
        self._around = around
        self._api_client = api_client
        self._model = model
        self._session: Session | None = None

    async def __anext__(self) -> Any:
        if self._session is not None:
            self._end()
        else:
            await self._around.admit(self._api_client, self._model)
        session = await anext(self._generator)
        with guard_connect:
            self._session = self._around.session(session, self._model)
        return session

    async def athrow(self, *error: Any) -> Any:
        self._end()
        return await self._generator.athrow(*error)

    async def aclose(self) -> None:
        self._end()
        await self._generator.aclose()

    def _end(self) -> None:
        with guard_connect:
            if self._session is not None:
                self._session.end()


class Session:
    """A session and its turn under way. Around the receiving of a message it notes an error that ends the session."""

    def __init__(self, around: AroundSessions, api_client: Any, model: str | None) -> None:
        self._around = around
        self._api_client = api_client
        self._model = model
        self._turn: Call | None = None
        self._complete = False
        """Whether the turn has ended, and only its usage may still come."""
        self._spoke = False
        """Whether the model has said something in it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        # a receiving task may be cancelled and the session go on: that ends no turn
        if isinstance(error, Exception) and self._turn is not None:
            self.end(None if is_regular_close(error) else error)

    def take(self, message: Any) -> None:
        """Take what a message says; the last of a turn makes the event."""
        content, usage = message.server_content, getattr(message, "usage_metadata", NEVER_TOLD)
        speaks = message.tool_call is not None or (content is not None and is_models(content))
        if self._complete and speaks:
            self.end()
        if self._turn is None:
            if not speaks and usage in (None, NEVER_TOLD):
                return
            self._turn = self._around.begin(self._api_client, self._model)
        turn = self._turn
        google_genai.observe(turn.answer, fields_of(message))
        self._spoke = self._spoke or message.tool_call is not None or (content is not None and is_said(content))
        if not self._complete and content is not None and content.turn_complete:
            self._complete, turn.stopped = True, perf_counter_ns()
        # some servers tell of the prompt only, and total that
        turn.answer.partial = not self._complete or (self._spoke and not tells_output(turn.answer))
        if self._complete and (turn.answer.raw is not None or usage is not None):
            self.end()

    def end(self, error: Exception | None = None) -> None:
        """The turn has ended, or the session has, within it or not."""
        turn, complete = self._turn, self._complete
        self._turn, self._complete, self._spoke = None, False, False
        if turn is not None and error is not None and not complete:
            turn.fail(error)
        elif turn is not None:
            turn.finish("ok" if complete else "abandoned")

    @finalizer("drop connection")
    def __del__(self) -> None:
        self.end()


def tells_output(answer: Answer) -> bool:
    """Whether the usage says that something was generated."""
    return bool(read_usage(answer.raw or {}).output_tokens)


def is_regular_close(error: Exception) -> bool:
    """Whether the socket was closed by a side that was done or went away, of which the SDK makes an error by its code,
    or lets websockets'. https://datatracker.ietf.org/doc/html/rfc6455#section-7.4.1"""
    return vars(error).get("code") in (1000, 1001) or type(error).__name__ == "ConnectionClosedOK"


def is_models(content: Any) -> bool:
    """Whether the model has its say, or a turn of its ends; what is heard of the user is not that."""
    said = fields_of(content)
    return is_said(content) or any(said.get(name) for name in ("generation_complete", "turn_complete"))


def is_said(content: Any) -> bool:
    """Whether the model has its say."""
    said = fields_of(content)
    return any(said.get(name) for name in ("model_turn", "output_transcription"))
