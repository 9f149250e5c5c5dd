"""Bodies of answers that the app reads itself, and what they say of usage on their way."""

import re
from binascii import Error as NoBase64
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from usage_tracker.capture.aws_frames import Frame, take_frames
from usage_tracker.capture.call import Call
from usage_tracker.guard import guarded
from usage_tracker.providers.answer import UNREADABLE, decode_object, decode_objects

BODY_MAX = 64 << 20
"""What is beyond this is not kept for reading: a JSON body, an event of a stream, or a line."""

BLANK_LINE = re.compile(rb"\r\n\r?\n|\n\r?\n|\r\r")
"""What ends an event; a proxy may send its own in another way than those that it passes on.
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream"""
NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*')
"""What a server that was asked for usage says in each event until it knows it; never within a text, whose quotes are
escaped."""

guard_event = guarded("event")


class Body:
    """A body that the app reads piece by piece; this kind says nothing about usage, such as audio."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.reading = False
        """Whether somebody reads it, now and then."""
        self.pulling = False
        """Whether a piece is being read, so that who reads decides how it ends; between pieces the app may leave."""

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
    """Server-sent events. Where we asked for usage, the event that carries only that is taken out, and from the others
    that there is none yet; such a stream reaches the app event by event."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._rest = bytearray()
        self._filtering = call.injected

    def feed(self, piece: bytes) -> bytes:
        searched = max(0, len(self._rest) - 3)
        self._rest += piece
        ends = b"\n" in piece or b"\r" in piece  # seldom in the pieces of an image, which are many
        if not ends or BLANK_LINE.search(self._rest, searched) is None:
            held = b""
            if len(self._rest) > BODY_MAX:
                held, self._rest = bytes(self._rest), bytearray()
            return held if self._filtering else piece
        *events, rest = split_events(bytes(self._rest), searched)
        self._rest = bytearray(rest)
        shown = [event for event in events if self._shown(event)]
        return NO_USAGE.sub(b"", b"".join(shown)) if self._filtering else piece

    def end(self) -> bytes:
        rest = bytes(self._rest)
        self._rest.clear()
        shown = self._shown(rest)
        return NO_USAGE.sub(b"", rest) if shown and self._filtering else b""

    def _shown(self, event: bytes) -> bool:
        """Whether the app gets to see this event."""
        said = said_by(event)
        shown = True
        if said == b"[DONE]":
            self.call.finish()  # parsers stop here, before the body's end
        elif said.startswith(b"{"):
            with guard_event:
                self.call.latest = fields = decode_object(said)
                shown = self.call.observe(fields)
        return shown


class AwsEventStream(Body):
    """Bedrock's stream: server-sent events within Amazon's binary ones."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._rest = bytearray()

    def feed(self, piece: bytes) -> bytes:
        self._rest += piece
        for frame in take_frames(self._rest):
            with guard_event:
                self.call.observe(event_in(frame))
        return piece


class JsonLines(Body):
    """The results of a batch, one to a line; each message among them is an event."""

    def __init__(self, call: Call, batch: str | None) -> None:
        super().__init__(call)
        self._batch = batch
        self._rest = bytearray()

    def feed(self, piece: bytes) -> bytes:
        self._rest += piece
        if b"\n" in piece:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                self._take(line)
        if len(self._rest) > BODY_MAX:
            self._rest.clear()
        return piece

    def end(self) -> bytes:
        rest, self._rest = self._rest, bytearray()
        self._take(rest)
        return b""

    def _take(self, line: bytearray) -> None:
        with guard_event:
            part = self.call.provider.read_result(decode_object(bytes(line)), self._batch)
            if part is not None:
                self.call.complete(part)


def said_by(event: bytes) -> bytes:
    """The data of a server-sent event."""
    return b"".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))


def split_events(text: bytes, searched: int) -> list[bytes]:
    """Server-sent events with the blank lines that end them; last what has no end yet. The first `searched` bytes are
    known to have none."""
    pieces, start = [], 0
    for blank in BLANK_LINE.finditer(text, searched):
        pieces.append(text[start : blank.end()])
        start = blank.end()
    return [*pieces, text[start:]]


def event_in(frame: Frame) -> dict[str, object]:
    """The event that a frame of Bedrock's holds, or its error.
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html"""
    error = frame.headers.get(":exception-type") or frame.headers.get(":error-code")
    if error is not None:
        return {"type": "error", "error": {"type": error}}
    inner = decode_object(frame.payload).get("bytes")
    try:
        return decode_object(a2b_base64(inner)) if isinstance(inner, str) else {}
    except NoBase64:
        return {}


def skim(decode_known: Callable[[Any], Mapping[str, object]], text: str | bytes) -> Mapping[str, object]:
    """A JSON object, as far as a decoder knows its shape; all of it where it has another."""
    try:
        return decode_known(text)
    except msgspec.ValidationError:
        return decode_object(text.encode("utf-8", "replace") if isinstance(text, str) else text)
    except UNREADABLE:
        return {}


def observe_json(call: Call, text: bytes) -> None:
    """Read an answer, or the list of all pieces of one: a stream of Gemini's that was asked for without `alt=sse`."""
    for fields in decode_objects(text):
        call.observe(fields)
