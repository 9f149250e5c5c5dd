"""Receivers on the loopback that stand in for what sinks send to, and count what they got."""

import gzip
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Receiver:
    """Takes POSTs. `answers` are the statuses of the next ones, before each is 200; a negative one is taken, and the
    answer never comes. Over TLS with a certificate and its key."""

    def __init__(self, port: int = 0, certificate: tuple[Path, Path] | None = None) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        """What was taken."""
        self.answers: list[int] = []
        self.refused = 0
        self.largest = 1 << 30
        """Bytes of a post; a larger one is refused with 413."""
        self.reads_all = True
        """Whether it reads what is too large before it answers; otherwise it closes at once, which resets."""
        self.wrong: Callable[[bytes], bool] = lambda body: False
        """Which posts are refused with `status_of_wrong`."""
        self.status_of_wrong = 400
        self.headers: dict[str, str] = {}
        self.said = ("application/json", b"{}")
        """Type and content of each answer."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length) if receiver.reads_all or length <= receiver.largest else b" " * length
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if receiver.answers:
                    status = receiver.answers.pop(0)
                else:
                    status = 413 if len(body) > receiver.largest else 200
                    status = receiver.status_of_wrong if receiver.wrong(body) else status
                if status < 300:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    receiver.posts.append((self.path, headers, body))
                else:
                    receiver.refused += 1
                if status < 0:
                    time.sleep(30)
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                kind, content = receiver.said
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                """Tests have enough to say."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def shutdown_request(self, request: Any) -> None:
                if receiver.reads_all:
                    super().shutdown_request(request)
                else:
                    self.close_request(request)

            def handle_error(self, *args: object) -> None:
                """A client that was killed."""

        self._server = Server(("127.0.0.1", port), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.posts]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


class Proxy:
    """A proxy of HTTP that leads to one receiver, whatever name it is asked for; over TLS with a certificate and its
    key."""

    def __init__(self, to: Receiver, certificate: tuple[Path, Path] | None = None) -> None:
        self.asked: list[bytes] = []
        """The first line of each request."""
        self._to = to
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if certificate else ''}://localhost:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._lead, args=(self._server.accept()[0],), daemon=True).start()

    def _lead(self, wire: socket.socket) -> None:
        with suppress(OSError):
            wire = self._context.wrap_socket(wire, server_side=True) if self._context else wire
            with wire, socket.create_connection(("127.0.0.1", self._to.port)) as there:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += wire.recv(1)
                self.asked.append(head.partition(b"\r\n")[0])
                wire.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=self._pass_on, args=(there, wire), daemon=True)
                back.start()
                self._pass_on(wire, there)
                back.join()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while said := source.recv(65536):
                target.sendall(said)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._server.close()


class Dripping:
    """Takes one connection, over TLS with a certificate and its key, and says the beginning of an answer; then a byte
    now and then, for ever, which is in time for who waits for each."""

    def __init__(self, beginning: bytes, certificate: tuple[Path, Path] | None = None) -> None:
        self._beginning = beginning
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._drip, daemon=True).start()

    def _drip(self) -> None:
        with suppress(OSError):
            wire, _ = self._server.accept()
            wire = self._context.wrap_socket(wire, server_side=True) if self._context else wire
            with wire:
                wire.sendall(self._beginning)
                while True:
                    wire.sendall(b"x")
                    time.sleep(0.02)

    def close(self) -> None:
        self._server.close()


def each_once(bodies: list[Any], key: str, member: str) -> tuple[list[Any], Counter[str]]:
    """What a receiver that knows keys keeps of all it got, and how often each key came."""
    first = {body[key]: body[member] for body in reversed(bodies)}
    return [event for events in first.values() for event in events], Counter(body[key] for body in bodies)
