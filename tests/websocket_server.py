"""OpenAI's servers as they are over WebSockets, on this machine: they say what a test has them say."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from socket import SHUT_RDWR
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

Event = dict[str, Any]

USAGE: Event = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 69,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 5, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
"""Of a response in a conversation."""
RESPONSES_USAGE: Event = {
    "input_tokens": 40,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 12},
    "total_tokens": 60,
}
CLOSE = {"type": "close"}
"""Said in an event's place, closes the connection properly."""
BREAK = {"type": "break"}
"""The same, without a word."""


class WebSocketServer:
    """Serves while it is entered. To each event of a client it says what `answers` has for its type."""

    def __init__(self) -> None:
        self.greeting: list[Event] = []
        """What it says to whoever connects."""
        self.answers: dict[str, Callable[[Event], list[Event]]] = {}
        self.paths: list[str] = []
        self.heard: list[Event] = []

    @contextmanager
    def running(self) -> Iterator["WebSocketServer"]:
        with serve(self._serve, "127.0.0.1", 0) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.port = server.socket.getsockname()[1]
            yield self

    def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.paths.append(socket.request.path)
        try:
            self._say(socket, self.greeting)
            for message in socket:
                event = json.loads(message)
                self.heard.append(event)
                answer = self.answers.get(event["type"])
                self._say(socket, answer(event) if answer else [])
        except ConnectionClosed:
            pass

    def _say(self, socket: ServerConnection, events: list[Event]) -> None:
        for event in events:
            if event is CLOSE:
                socket.close()
            elif event is BREAK:
                socket.socket.shutdown(SHUT_RDWR)
            else:
                socket.send(json.dumps(event))


def realtime_session(model: str = "gpt-realtime-2025-08-28", transcriber: str | None = None, **more: Any) -> Event:
    transcription = {"model": transcriber} if transcriber else None
    return {
        "type": "session.created",
        "event_id": "event_1",
        "session": {
            "type": "realtime",
            "object": "realtime.session",
            "id": "sess_1",
            "model": model,
            "audio": {"input": {"transcription": transcription}},
            **more,
        },
    }


def realtime_response(own: str = "resp_1", status: str = "completed", **more: Any) -> list[Event]:
    """What a conversation's server says of one response."""
    response: Event = {"object": "realtime.response", "id": own, "status": "in_progress", "usage": None}
    said = {"response_id": own, "item_id": "item_1", "output_index": 0, "content_index": 0}
    return [
        {"type": "response.created", "event_id": "event_2", "response": response},
        {"type": "response.output_audio.delta", "event_id": "event_3", **said, "delta": "AAAA"},
        {"type": "response.output_audio_transcript.delta", "event_id": "event_4", **said, "delta": "Secret"},
        {
            "type": "response.done",
            "event_id": "event_5",
            "response": {**response, "status": status, "usage": USAGE, "output": [], **more},
        },
        {"type": "rate_limits.updated", "event_id": "event_6", "rate_limits": []},
    ]


def responses_response(
    event: Mapping[str, Any], ends: str = "completed", own: str = "resp_1", **more: Any
) -> list[Event]:
    """What the Responses API says of one response."""
    response: Event = {
        "object": "response",
        "id": own,
        "model": f"{event.get('model', 'gpt-5-mini')}-2025-08-07",
        "status": "in_progress",
        "service_tier": "auto",
        "output": [],
        "usage": None,
    }
    lane = {"stream_id": event["stream_id"]} if event.get("stream_id") else {}
    said = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    done = {**response, "status": ends, "service_tier": "default", "usage": RESPONSES_USAGE, **more}
    return [
        {"type": "response.created", "sequence_number": 0, "response": response, **lane},
        {"type": "response.output_text.delta", "sequence_number": 1, **said, "delta": "Secret", **lane},
        {"type": f"response.{ends}", "sequence_number": 2, "response": done, **lane},
    ]


def transcribed(item: str = "item_1", usage: Event | None = None) -> list[Event]:
    """What the server says of something that the user said."""
    used = usage or {
        "type": "tokens",
        "input_tokens": 26,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 26},
        "output_tokens": 7,
        "total_tokens": 33,
    }
    about = {"event_id": "event_1", "item_id": item, "content_index": 0}
    kind = "conversation.item.input_audio_transcription"
    return [
        {"type": "input_audio_buffer.committed", "event_id": "event_1", "item_id": item, "previous_item_id": None},
        {"type": f"{kind}.delta", **about, "delta": "Secret"},
        {"type": f"{kind}.completed", **about, "transcript": "Secret", "usage": used},
    ]
