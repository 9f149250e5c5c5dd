"""What passes on one WebSocket, as calls: each response that the server makes, each transcription of what the user
says and, where a session is billed by its length, the session."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from usage_tracker.attribution import Standing, standing
from usage_tracker.capture.call import Call, open_calls
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.event import Status
from usage_tracker.guard import finalizer, guarded
from usage_tracker.providers import openai_events
from usage_tracker.providers.answer import Request, decode_object, fields_of, word
from usage_tracker.providers.openai_events import Session, ending_of, read_refusal, read_request, read_session, type_of

Lane = str | None
"""What tells parallel streams of responses on one socket apart."""

MOST_WAITING = 256
"""Responses that a client asked for and that never came are given up beyond this number."""
MOST_OWNERS = 1024

owners: dict[str, object] = {}
"""Which socket counts a session that several are attached to."""


class SocketSession:
    """The calls of one connection. As a context manager it goes around the host's receiving: a connection that has
    closed ends them; a receiver that was cancelled or timed out ends nothing."""

    def __init__(
        self, recorder: Recorder, client: Client, operation: str, path: str, stands: Standing | None = None
    ) -> None:
        self._stands = standing.get().settled() if stands is None else stands
        """Who its calls are for: whoever has opened it."""
        self.closed = False
        """Whether the app has closed the connection: what it still reads changes nothing."""
        self.recorder = recorder
        self._client = client
        self._operation = operation
        asked = parse_qs(urlsplit(path).query)
        self._asked_model = word("".join(asked.get("model", asked.get("deployment", ()))[:1]))
        attached = openai_events.ATTACHED.search(path)
        self._said = Session(attached[1], billed_whole=True) if attached else Session()
        self._waiting: dict[Lane, deque[tuple[str | None, Call]]] = {}
        """What the client asked for and the server has not begun, with the id of the client's event."""
        self._responses: dict[str | None, Call] = {}
        self._silent: dict[str | None, Call] = {}
        """Those of which nothing has been heard yet."""
        self._in_lane: dict[Lane, str | None] = {}
        self._transcriptions: dict[str | None, Call] = {}
        self._whole: Call | None = None
        self._delegates: SocketSession | None = None
        self._token = object()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if error is not None and hasattr(error, "rcvd_then_sent"):  # websockets' ConnectionClosed and its kinds
            with guarded("closed connection"):
                name = type(error).__name__
                self.end("abandoned", "ok") if name == "ConnectionClosedOK" else self.end("error", "error", name)

    def ask(self, event: Mapping[str, object]) -> Call:
        """The client asks for a response, for whom it runs now."""
        opened, now = self._stands, standing.get()
        meters = tuple(dict.fromkeys((*opened.meters, *now.meters)))
        stands = Standing(now.attribution().over(opened.attribution()), meters)
        call = self._begin(read_request(self._operation, event, self._asked_model), stands)
        waiting = self._waiting.setdefault(word(event.get("stream_id")), deque())
        waiting.append((word(event.get("event_id")), call))
        if len(waiting) > MOST_WAITING:
            self._finish(waiting.popleft()[1], "abandoned")
        return call

    def receive(self, message: bytes | str) -> None:
        """Take what the server sent. Most events are pieces of audio and text, and leave at the first lines."""
        kind = type_of(message)
        step = STEPS.get(kind)
        if step is not None:
            self._take(step, decode_object(message))
        elif self._silent and kind.startswith(b"response.") and kind.endswith(b".delta"):
            self._hear(message)

    def _take(self, step: "Step", fields: Mapping[str, object]) -> None:
        if not self.closed and (not self._said.billed_whole or self._owns_session()):
            step(self, fields)

    def _owns_session(self) -> bool:
        """Whether no other connection of this process counts the same session."""
        if self._said.id is None:
            return True
        if len(owners) >= MOST_OWNERS:
            owners.pop(next(iter(owners)), None)
        return owners.setdefault(self._said.id, self._token) is self._token

    def _begin(self, request: Request, stands: Standing | None = None) -> Call:
        stands = self._stands if stands is None else stands
        return Call(openai_events, self.recorder, self._client, request, True, stands)

    def _finish(self, call: Call, status: Status, error_type: str | None = None) -> None:
        """End a call. Only the session says which model a conversation is with."""
        if call.request.operation == "realtime":
            call.answer.model = call.answer.model or self._said.model
        call.finish(status, error_type)

    def _next(self, lane: Lane) -> Call:
        """The call that a response answers: what was asked first, or else what the server began by itself."""
        waiting = self._waiting.get(lane)
        while waiting:
            _, call = waiting.popleft()
            if id(call) in open_calls:
                return call
        return self._begin(Request(self._operation, self._asked_model))

    def _hear(self, message: bytes | str) -> None:
        """The first of a response."""
        if len(self._responses) == 1:
            call = self._silent.popitem()[1]
        else:
            fields = decode_object(message)
            own = word(fields.get("response_id")) or self._in_lane.get(word(fields.get("stream_id")))
            if own not in self._silent:
                return
            call = self._silent.pop(own)
        call.ttft = (time.perf_counter_ns() - call.started) / 1e6

    def configure(self, fields: Mapping[str, object]) -> None:
        said = read_session(fields)
        known = self._said
        self._said = Session(
            said.id or known.id, said.model or known.model, said.transcriber, said.billed_whole or known.billed_whole
        )
        if self._said.billed_whole and self._owns_session():
            self._whole_session()

    def create(self, fields: Mapping[str, object]) -> None:
        own = word(fields_of(fields.get("response")).get("id"))
        if own in self._responses:
            return
        lane = word(fields.get("stream_id"))
        call = self._next(lane)
        self._responses[own] = self._silent[own] = call
        self._in_lane[lane] = own
        openai_events.observe(call.answer, fields)

    def end_response(self, fields: Mapping[str, object]) -> None:
        own = word(fields_of(fields.get("response")).get("id"))
        call = self._responses.pop(own, None) or self._next(word(fields.get("stream_id")))
        self._silent.pop(own, None)
        openai_events.observe(call.answer, fields)
        self._finish(call, *ending_of(fields))

    def refuse(self, fields: Mapping[str, object]) -> None:
        refusal, lane = read_refusal(fields), word(fields.get("stream_id"))
        asked = [each for waiting in list(self._waiting.values()) for each in waiting]
        about = next((call for event_id, call in asked if event_id and event_id == refusal.event_id), None)
        if about is None and self._operation == "responses":
            # an answer to what was asked last in this lane, or the end of what it is about to answer
            own = self._in_lane.get(lane)
            about = self._next(lane) if self._waiting.get(lane) else self._responses.pop(own, None)
            self._silent.pop(own, None)
        elif about is None and refusal.event_id is None and refusal.about_response:
            about = next((call for _, call in asked if id(call) in open_calls), None)
        if about is not None:
            about.http_status = refusal.http_status
            self._finish(about, "error", refusal.error_type)

    def transcribe(self, fields: Mapping[str, object]) -> None:
        """What the user said is complete, and is transcribed where the session says so."""
        if self._said.transcriber is not None:
            self._transcriptions[word(fields.get("item_id"))] = self._begin_transcription()

    def _begin_transcription(self) -> Call:
        call = self._begin(Request("transcription", self._said.transcriber))
        call.streamed = False
        return call

    def end_transcription(self, fields: Mapping[str, object]) -> None:
        item = word(fields.get("item_id"))
        call = self._transcriptions.pop(item, None) or self._begin_transcription()
        call.answer.response_id = item
        openai_events.observe(call.answer, fields)
        call.finish()

    def _whole_session(self) -> Call:
        if self._whole is None:
            self._whole = self._begin(Request("realtime", self._said.model or self._asked_model))
            self._whole.answer.partial = True
            self._whole.answer.response_id = self._said.id
        return self._whole

    def use(self, fields: Mapping[str, object]) -> None:
        """How long the session has been, in all."""
        openai_events.observe(self._whole_session().answer, fields)

    def end_session(self, fields: Mapping[str, object]) -> None:
        if self._whole is not None or fields.get("usage") is not None:
            self.use(fields)
            self.end("abandoned", "ok")

    def delegate(self, fields: Mapping[str, object]) -> None:
        """What a live session has another model do is a response of that model."""
        inner = fields_of(fields.get("event"))
        step = STEPS.get(str(inner.get("type")).encode())
        if step in (SocketSession.create, SocketSession.end_response):
            if self._delegates is None:
                self._delegates = SocketSession(self.recorder, self._client, "responses", "", self._stands)
            step(self._delegates, {**inner, "stream_id": fields.get("delegation_id")})

    def decide(self, fields: Mapping[str, object]) -> None:
        call = self._begin(Request("decision"))
        openai_events.observe(call.answer, fields_of(fields_of(fields.get("event")).get("decision")))
        call.finish()

    def end(self, status: Status, whole: Status, error_type: str | None = None) -> None:
        """The connection has ended: with `status` what was under way, with `whole` what is billed by its length."""
        open_ones = [call for waiting in list(self._waiting.values()) for _, call in waiting]
        open_ones += [*self._responses.values(), *self._transcriptions.values()]
        for calls in (self._waiting, self._responses, self._silent, self._in_lane, self._transcriptions):
            calls.clear()
        for call in open_ones:
            self._finish(call, status, error_type)
        if self._whole is not None:
            self._whole.answer.partial = whole == "abandoned"
            self._finish(self._whole, whole, error_type)
            self._whole = None
        if self._delegates is not None:
            self._delegates.end(status, whole, error_type)

    @finalizer("drop connection")
    def __del__(self) -> None:
        self.end("abandoned", "abandoned")


Step = Callable[[SocketSession, Mapping[str, object]], Any]

STEPS: Mapping[bytes, Step] = {
    b"conversation.item.input_audio_transcription.completed": SocketSession.end_transcription,
    b"conversation.item.input_audio_transcription.failed": SocketSession.end_transcription,
    b"decision.event": SocketSession.decide,
    b"error": SocketSession.refuse,
    b"input_audio_buffer.committed": SocketSession.transcribe,
    b"response.completed": SocketSession.end_response,
    b"response.created": SocketSession.create,
    b"response.done": SocketSession.end_response,
    b"response.event": SocketSession.delegate,
    b"response.failed": SocketSession.end_response,
    b"response.incomplete": SocketSession.end_response,
    b"session.closed": SocketSession.end_session,
    b"session.created": SocketSession.configure,
    b"session.started": SocketSession.configure,
    b"session.updated": SocketSession.configure,
    b"session.usage.updated": SocketSession.use,
    b"transcription_session.created": SocketSession.configure,
    b"transcription_session.updated": SocketSession.configure,
}
"""What is done with each type of event; the rest is passed over."""
