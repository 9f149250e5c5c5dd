"""What requests of a WSGI app call is for whom they are, also while the server sends the body."""

import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from capturing import ASK, Capturing

from usage_tracker.attribution import NOBODY, current
from usage_tracker.frameworks.wsgi import AttributionMiddleware

REQUEST: Any = {"model": "gpt-4o-mini", "messages": ASK}


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests say enough."""


@contextmanager
def served(app: Any) -> Iterator[str]:
    """By the standard library's server, over HTTP."""
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def get(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        found: bytes = answer.read()
        return found


def test_a_streamed_body_is_for_whom_the_request_is_and_the_next_request_is_not(capturing: Capturing) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        capturing.client.chat.completions.create(**REQUEST)
        for chunk in capturing.client.chat.completions.create(**REQUEST, stream=True):
            yield chunk.id.encode()

    seen = []

    def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.append(current.get())
        return middleware(environ, start_response)

    middleware = AttributionMiddleware(
        app, lambda environ: {"user": environ["REMOTE_USER"]}, headers={"team": "x-team"}
    )

    def signed_in(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["REMOTE_USER"] = environ["HTTP_X_NAME"]
        return watched(environ, start_response)

    with served(validator(signed_in)) as url:
        assert get(url, **{"X-Name": "u-1", "X-Team": "search"})
        assert get(url, **{"X-Name": "u-2"})
    assert [(origin.user_id, origin.team) for origin, _ in capturing.all()] == [
        ("u-1", "search"), ("u-1", "search"), ("u-2", None), ("u-2", None),
    ]  # fmt: skip
    assert seen == [NOBODY, NOBODY], "the server's thread keeps nothing"


def called(app: Any) -> Any:
    environ: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper}
    setup_testing_defaults(environ)
    return app(environ, lambda *_: None)


def test_bodies_that_are_there_stay_the_objects_that_they_were() -> None:
    for body in ([b"whole"], FileWrapper(BytesIO(b"file"))):
        assert called(AttributionMiddleware(lambda *_, body=body: body)) is body


def test_a_body_that_is_left_early_is_closed_inside() -> None:
    closed = []

    def app(*_: object) -> Iterator[bytes]:
        try:
            yield b"first"
            yield b"second"
        finally:
            closed.append(current.get().user)

    body = called(AttributionMiddleware(app, lambda _: {"user": "u-1"}))
    assert next(iter(body)) == b"first"
    body.close()
    assert closed == ["u-1"]
    assert current.get() == NOBODY


def test_an_error_of_the_app_is_its_own() -> None:
    def app(*_: object) -> Iterator[bytes]:
        yield b"first"
        raise KeyError("the app's")

    body = called(AttributionMiddleware(app))
    next(iter(body))
    with pytest.raises(KeyError, match="the app's"):
        next(body)
    assert current.get() == NOBODY
