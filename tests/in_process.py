"""Clients of the openai SDK whose provider is a function within the process: fast, and free to answer nonsense."""

from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import httpx2
import openai
from capturing import KEY

Respond = Callable[[httpx2.Request], httpx2.Response]

LIBRARY: Any = import_module("httpx2" if int(openai.__version__.partition(".")[0]) >= 3 else "httpx")
"""Which the SDK takes clients of."""
JSON, EVENTS = "application/json", "text/event-stream; charset=utf-8"


class Answer(NamedTuple):
    """What the provider sends, piece by piece."""

    pieces: tuple[bytes, ...]
    status: int = 200
    kind: str = JSON
    cut: bool = False
    """Whether the connection breaks after the last piece."""

    def response(self) -> httpx2.Response:
        return httpx2.Response(self.status, headers={"content-type": self.kind}, stream=Pieces(self.pieces, self.cut))


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body as it arrives, for sync and async clients alike."""

    def __init__(self, pieces: tuple[bytes, ...], cut: bool) -> None:
        self._pieces = pieces
        self._cut = cut

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._cut:
            raise httpx2.RemoteProtocolError("peer closed connection without sending complete message body")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def openai_client(respond: Respond) -> openai.OpenAI:
    transport = LIBRARY.Client(transport=LIBRARY.MockTransport(respond))
    return openai.OpenAI(api_key=KEY, max_retries=0, http_client=transport)


def async_openai_client(respond: Respond) -> openai.AsyncOpenAI:
    transport = LIBRARY.AsyncClient(transport=LIBRARY.MockTransport(respond))
    return openai.AsyncOpenAI(api_key=KEY, max_retries=0, http_client=transport)
