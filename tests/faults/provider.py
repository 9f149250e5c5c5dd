"""What the apps of the bench call: any chat completion gets an answer with an id of its own, within microseconds."""

import asyncio
import json
import threading
from itertools import count
from typing import Self
from uuid import uuid4


class Provider:
    """Answers on 127.0.0.1 from entering the context to leaving it."""

    def __init__(self) -> None:
        self.answered = 0
        """Calls, of all apps."""
        self.base_url = ""
        self._name = uuid4().hex[:8]
        self._numbers = count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="provider of the bench", daemon=True)
        self._open: set[asyncio.BaseTransport] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        listening = self._loop.create_server(lambda: Connection(self), "127.0.0.1", 0, backlog=512)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for transport in list(self._open):
            transport.close()
        await asyncio.sleep(0)

    def answer(self) -> bytes:
        """A whole response with a new id."""
        self.answered += 1
        content = json.dumps(
            {
                "id": f"chatcmpl-{self._name}-{next(self._numbers)}",
                "object": "chat.completion",
                "created": 1_700_000_000,
                "model": "gpt-4o-mini-2024-07-18",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
            }
        ).encode()
        return (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content) + content
        )

    def opened(self, transport: asyncio.BaseTransport) -> None:
        self._open.add(transport)

    def closed(self, transport: asyncio.BaseTransport) -> None:
        self._open.discard(transport)


class Connection(asyncio.Protocol):
    """One client's connection, with one request after the other."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._provider.opened(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._provider.closed(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) != -1:
            head = self._received[:end].lower()
            _, found, rest = head.partition(b"content-length:")
            whole = end + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._transport.write(self._provider.answer())
