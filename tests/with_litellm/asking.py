"""How LiteLLM is asked in these tests: each of its functions, and the local providers that answer."""

import asyncio
import gc
import io
import time
from collections.abc import Callable, Coroutine
from typing import Any

import litellm
from capturing import Captured

from usage_tracker.demo.standin import StandIn

KEY = "sk-test-0123456789-wxyz"
ASK = [{"role": "user", "content": "Say hello."}]
CONTENTS = [{"role": "user", "parts": [{"text": "Say hello."}]}]


def at(provider: StandIn) -> dict[str, Any]:
    """The arguments with which LiteLLM calls that provider, of OpenAI's API."""
    return {"api_key": KEY, "api_base": provider.base_url, "max_retries": 0}


def at_anthropic(server: StandIn) -> dict[str, Any]:
    return {"api_key": KEY, "api_base": server.url}


def at_gemini(server: StandIn) -> dict[str, Any]:
    return {"api_key": KEY, "api_base": f"{server.url}/v1beta"}


def chat(provider: StandIn, **more: Any) -> Any:
    """A chat with OpenAI's API."""
    return litellm.completion(**{"model": "openai/gpt-4o-mini", "messages": ASK, **at(provider), **more})


def achat(provider: StandIn, **more: Any) -> Any:
    """The same, to be awaited."""
    return litellm.acompletion(**{"model": "openai/gpt-4o-mini", "messages": ASK, **at(provider), **more})


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What it gives; of a stream all pieces."""

    async def main() -> Any:
        answer = await coroutine
        return [piece async for piece in answer] if hasattr(answer, "__anext__") else answer

    return asyncio.run(main())


def wait_for(captured: Captured, events: int = 1) -> None:
    """Until there are so many: from threads that nobody waits for, or of streams that LiteLLM's logging still holds
    when the app has dropped them."""
    deadline = time.monotonic() + 60
    while len(captured.captured) < events and time.monotonic() < deadline:
        time.sleep(0.01)
        gc.collect()


def picture() -> io.BytesIO:
    file = io.BytesIO(b"\x89PNG")
    file.name = "a.png"
    return file


ENDPOINTS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "completion": ("chat", lambda: {"model": "openai/gpt-4o-mini", "messages": ASK}),
    "text_completion": (
        "completion",
        lambda: {"model": "text-completion-openai/gpt-3.5-turbo-instruct", "prompt": "Say hello."},
    ),
    "embedding": ("embeddings", lambda: {"model": "openai/text-embedding-3-small", "input": ["Say hello."]}),
    "responses": ("responses", lambda: {"model": "openai/gpt-5-mini", "input": "Say hello."}),
    "image_generation": ("image", lambda: {"model": "openai/gpt-image-1", "prompt": "A cat"}),
    "image_edit": ("image", lambda: {"model": "openai/gpt-image-1", "prompt": "A cat", "image": picture()}),
    "speech": ("speech", lambda: {"model": "openai/tts-1", "input": "Say hello.", "voice": "alloy"}),
    "transcription": ("transcription", lambda: {"model": "openai/whisper-1", "file": ("a.wav", b"RIFF")}),
    "moderation": ("moderation", lambda: {"model": "openai/omni-moderation-latest", "input": "Say hello."}),
    "create_batch": (
        "batch",
        lambda: {
            "custom_llm_provider": "openai",
            "completion_window": "24h",
            "endpoint": "/v1/chat/completions",
            "input_file_id": "file-1",
        },
    ),
}
"""Functions that OpenAI's API answers, with their operation and arguments."""
