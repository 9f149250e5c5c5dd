"""Clients of the google-genai SDK whose provider is on this machine, and what was captured of their calls."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from capturing import Captured
from gemini_server import GeminiServer
from google import genai
from google.genai import types

from usage_tracker.event import UsageEvent

KEY = "AIza-test-0123456789-wxyz"
MODEL = "gemini-2.5-flash"


def has(*version: int) -> bool:
    """Whether the installed SDK is as new."""
    return tuple(int(part) for part in genai.__version__.split(".")[:2]) >= version


OWN_WARNINGS = [
    "Async interactions client cannot use aiohttp",
    "Inheritance class AiohttpClientSession",
    "Interactions usage is experimental",
    "Pydantic serializer",
    "The [a-z_]+ method (is|with)",
]
if not has(1, 60):
    OWN_WARNINGS += ["The `dict` method is deprecated", "[Uu]nclosed", "Exception ignored in. <(socket|function)"]
QUIET = [pytest.mark.filterwarnings(f"ignore:{message}") for message in OWN_WARNINGS]
"""What the SDK warns of by itself; its first versions leave connections open."""


def since(*version: int) -> pytest.MarkDecorator:
    """Of what older versions of the SDK don't have."""
    return pytest.mark.skipif(not has(*version), reason=f"google-genai has it since {'.'.join(map(str, version))}")


class Google:
    """Clients of the Gemini API and of Vertex AI's."""

    def __init__(self, server: GeminiServer, captured: Captured) -> None:
        self.server = server
        self.one = captured.one
        self.one_call = captured.one_call
        self.all = captured.all
        self.hold_to = captured.hold_to
        self.client = self.make()
        self.vertex = self.make(vertexai=True)

    def make(self, vertexai: bool = False, **options: Any) -> Any:
        """A client; `options` are those of HTTP."""
        http = types.HttpOptions(base_url=self.server.url, **options)
        return genai.Client(vertexai=vertexai, api_key=KEY, http_options=http)

    def events(self) -> list[UsageEvent]:
        return [event for _, event in self.all()]

    def asks(self, ask: Callable[[Any], Awaitable[Any]], client: Any = None) -> Any:
        """What an async client gives."""

        async def main() -> Any:
            asynchronous = (client or self.client).aio
            try:
                return await ask(asynchronous)
            finally:
                if hasattr(asynchronous, "aclose"):
                    await asynchronous.aclose()

        return asyncio.run(main())


@pytest.fixture
def google(captured: Captured) -> Iterator[Google]:
    with GeminiServer() as server:
        yield Google(server, captured)
