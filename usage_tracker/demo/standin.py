"""A provider on this machine that speaks OpenAI's API, for the demo and for tests: `with StandIn() as provider: …`.

It listens on 127.0.0.1 only and answers the real SDKs: chat, completions, responses, embeddings, images, audio,
moderations and batches, at OpenAI's paths and Azure's. What it says is invented, and the same for the same request.
"""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from usage_tracker.demo.answers import Answers
from usage_tracker.demo.exchange import Asked, Event, Json, Reply, refusal

MESSAGES = {
    401: "Incorrect API key provided.",
    404: "The model does not exist or you do not have access to it.",
    429: "Rate limit reached for requests.",
    503: "The engine is currently overloaded, please try again later.",
}
CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with one request."""

    reply: Reply | None = None
    """Sent instead of the real reply."""
    cut_after: int | None = None
    """Events, or bytes of a body, after which the connection is cut."""
    error_after: int | None = None
    """Events after which the stream says that it failed."""


class StandIn:
    """The provider, from entering the context to leaving it. Requests are answered in threads of their own."""

    def __init__(self, *, seed: int = 0) -> None:
        self.requests: list[Asked] = []
        """Every request, in the order of arrival; answered or refused."""
        self.delay = 0.0
        """Seconds before an answer begins."""
        self.chunk_delay = 0.0
        """Seconds before each event of a stream."""
        self.refuses_stream_options = False
        """Answer 400 to a request that has `stream_options`, as servers do that don't know it."""
        self.reply: Callable[[Asked], Reply | None] = lambda asked: None
        """Asked first; a reply that it gives is sent as it is."""
        self._answers = Answers(seed)
        self._troubles: deque[Trouble] = deque()
        self._lock = threading.Lock()
        self._server: Server | None = None

    def __enter__(self) -> Self:
        self._server = Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="stand-in", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.hang_up()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, which is an `azure_endpoint`."""
        if self._server is None:
            raise RuntimeError("the stand-in does not run: use it as a context manager")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def base_url(self) -> str:
        """The `base_url` of an OpenAI client."""
        return f"{self.url}/v1"

    def fail_next(
        self, times: int = 1, status: int = 500, *, retry_after: float | None = None, message: str | None = None
    ) -> None:
        """Refuse the next requests with that status."""
        reply = refusal(status, message or MESSAGES.get(status, "The request failed."), code=CODES.get(status))
        if retry_after is not None:
            # the header in milliseconds is OpenAI's own, so that a test needn't wait for a whole second
            waits = {"retry-after": f"{retry_after:g}", "retry-after-ms": f"{retry_after * 1000:g}"}
            reply = reply._replace(headers=waits)
        self._troubles.extend([Trouble(reply=reply)] * times)

    def cut_next(self, after: int = 3) -> None:
        """Cut the connection of the next request, after so many events of its stream or bytes of its body."""
        self._troubles.append(Trouble(cut_after=after))

    def break_next_stream(self, after: int = 3) -> None:
        """Let the next stream say that it failed, after so many events."""
        self._troubles.append(Trouble(error_after=after))

    def take(self, asked: Asked, authorized: bool) -> tuple[Reply, Trouble]:
        """What to answer, and what goes wrong with it."""
        with self._lock:
            self.requests.append(asked)
            number = len(self.requests)
            trouble = self._troubles.popleft() if self._troubles else Trouble()
            if trouble.reply is not None:
                return trouble.reply, trouble
            if not authorized:
                return refusal(401, "You didn't provide an API key."), trouble
            if self.refuses_stream_options and "stream_options" in asked.body:
                return refusal(400, "Unrecognized request argument supplied: stream_options"), trouble
            return self.reply(asked) or self._answers.reply(asked, number), trouble


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, provider: StandIn) -> None:
        self.provider = provider
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close what clients keep open for a next request."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up in the middle of streams; nobody needs to read that. Anything else is a bug of ours."""
        import sys

        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed has them narrower


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        provider = self.server.provider
        asked, authorized = self._read()
        reply, trouble = provider.take(asked, authorized)
        time.sleep(provider.delay)
        headers = {
            "x-request-id": f"req_{len(provider.requests):012x}",
            "openai-version": "2020-10-01",
            **reply.headers,
        }
        if reply.events is None:
            self._send(reply, headers, trouble.cut_after)
        else:
            self._stream(self._events(reply, trouble), headers, trouble.cut_after, reply.done)

    do_GET = do_POST  # noqa: N815  the name is the base class's

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Nothing to stderr."""

    def _read(self) -> tuple[Asked, bool]:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        kind = self.headers.get("content-type", "")
        address = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        keys = [headers.pop(name, None) for name in ("authorization", "api-key")]
        body = form_fields(content, kind) if kind.startswith("multipart/") else json_fields(content)
        return Asked(self.command, address.path, dict(parse_qsl(address.query)), headers, body), any(keys)

    def _send(self, reply: Reply, headers: Mapping[str, str], cut_after: int | None) -> None:
        body = reply.body
        content = (
            json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
        )
        self.send_response(reply.status)
        for name, value in {"content-type": reply.kind, "content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[:cut_after])
        if cut_after is not None:
            self._cut()

    def _events(self, reply: Reply, trouble: Trouble) -> Iterator[Event]:
        for number, event in enumerate(reply.events or ()):
            if number == trouble.error_after:
                yield failure(event)
                return
            yield event

    def _stream(self, events: Iterator[Event], headers: Mapping[str, str], cut_after: int | None, done: bool) -> None:
        self.send_response(200)
        for name, value in {"content-type": "text/event-stream; charset=utf-8", **headers}.items():
            self.send_header(name, value)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        named = False
        for event in islice(events, cut_after):
            time.sleep(self.server.provider.chunk_delay)
            named = event.name is not None
            line = f"event: {event.name}\n" if named else ""
            self._chunk(f"{line}data: {json.dumps(event.fields)}\n\n".encode())
        if cut_after is not None:
            self._cut()
            return
        if done and not named:
            self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def _cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def failure(instead_of: Event) -> Event:
    """How a stream says that it failed: an error chunk, or an `error` event where events have names."""
    message = "The server had an error while processing your request."
    if instead_of.name is None:
        return Event({"error": {"message": message, "type": "server_error", "param": None, "code": None}})
    number = instead_of.fields.get("sequence_number", 0)
    fields = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": number}
    return Event(fields, "error")


def json_fields(content: bytes) -> Json:
    """The fields of a JSON body; none where it has no object."""
    try:
        fields = json.loads(content or b"{}")
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def form_fields(content: bytes, kind: str) -> Json:
    """The fields of a multipart form: text as it is, an uploaded file as its bytes."""
    whole = BytesParser().parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + content)
    fields: Json = {}
    for part in whole.walk():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str):
            fields[name] = value_of(part)
    return fields


def value_of(part: Message) -> bytes | str:
    value = part.get_payload(decode=True)
    assert isinstance(value, bytes)
    return value if part.get_filename() is not None else value.decode()
