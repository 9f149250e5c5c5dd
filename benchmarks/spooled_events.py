"""Made-up events of a realistic spread, in a spool folder as the processes of a host leave them.

Twenty models, 50 projects, 20 teams, 5,000 users, 200 keys, 30 tags: users are unevenly busy and work on two projects
each, a project uses three models and four keys. Every event has its provider's usage object and an answer's id. What
succeeded at providers that are called by the SDKs of OpenAI and Anthropic is kept as it was told, as apps keep it, and
read by who ships it.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from usage_tracker.event import CallKind, Origin, Usage, UsageEvent
from usage_tracker.journal import Journal, Spool
from usage_tracker.providers.told import READERS, encode_usage

PROCESSES = 16
PROJECTS, TEAMS, USERS = 50, 20, 5000
MODELS = (
    ("openai", "gpt-4o-mini-2024-07-18"), ("openai", "gpt-4o-2024-08-06"), ("openai", "gpt-4.1-2025-04-14"),
    ("openai", "gpt-4.1-mini-2025-04-14"), ("openai", "o3-2025-04-16"), ("openai", "o4-mini-2025-04-16"),
    ("openai", "gpt-5-2025-08-07"), ("openai", "gpt-5-mini-2025-08-07"), ("anthropic", "claude-sonnet-4-20250514"),
    ("anthropic", "claude-opus-4-20250514"), ("anthropic", "claude-3-5-haiku-20241022"),
    ("anthropic", "claude-3-7-sonnet-20250219"), ("gemini", "gemini-2.5-pro"), ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-2.0-flash"), ("groq", "llama-3.3-70b-versatile"), ("mistral", "mistral-large-latest"),
    ("deepseek", "deepseek-chat"), ("openai", "text-embedding-3-small"), ("openai", "ft:of-the-house"),
)  # fmt: skip
"""The last one has no price."""


class Calls:
    """Makes calls, the same ones for the same seed. `users`: how many make them; 0: nobody says who."""

    def __init__(self, seed: int = 1, users: int = USERS) -> None:
        self._chance = random.Random(seed)
        self._users = users
        self._origins: dict[tuple[int, int, int, int], Origin] = {}

    def make(self, count: int, span: float, process: int = 0) -> Iterator[tuple[Origin, UsageEvent]]:
        """Calls in the order of their time, the last one now; `span` is what they are spread over, in seconds."""
        chance, start = self._chance.random, time.time_ns() - int(span * 1e9)
        for number in range(count):
            user = int((self._users or PROJECTS) * chance() * chance())
            project = (user * 31 + (17 if chance() < 0.5 else 0)) % PROJECTS
            provider, model = MODELS[(project * 7 + int(chance() ** 2 * 3) * 5) % len(MODELS)]
            origin = self._origin(provider, project, user, process)
            yield origin, self._event(start + int(span * 1e9 * number / count), provider, model, number)

    def _origin(self, provider: str, project: int, user: int, process: int) -> Origin:
        key = project + PROJECTS * int(self._chance.random() * 4)
        found = self._origins.get((project, user, key, process))
        if found is None or found.provider != provider:
            tags = (*((f"tier:{user % 3}",) if user % 4 else ()), *((f"feature:{user % 22}",) if user % 2 else ()))
            found = Origin(
                provider=provider, sdk=provider, base_host=f"api.{provider}.com", api_key=f"{key:016x}…{key:04}",
                app="shop", project=f"project-{project}", team=f"team-{project % TEAMS}",
                user_id=f"user-{user}" if self._users else None, tags=tags, host="host-1", pid=1000 + process,
            )  # fmt: skip
            self._origins[project, user, key, process] = found
        return found

    def _event(self, started_at: int, provider: str, model: str, number: int) -> UsageEvent:
        chance = self._chance
        into, out = int(chance.expovariate(1 / 900)) + 8, int(chance.expovariate(1 / 250)) + 1
        cached, reasoning = into // 4, out // 2 if model.startswith(("o", "gpt-5")) else 0
        duration = 200 + chance.expovariate(1 / 1800)
        streamed = number % 3 == 0
        if chance.random() < 0.02:
            return UsageEvent(
                started_at=started_at, duration_ms=duration, operation="chat", request_model=model, status="error",
                error_type="RateLimitError", http_status=429, attempts=3,
            )  # fmt: skip
        raw = {
            "prompt_tokens": into,
            "completion_tokens": out,
            "total_tokens": into + out,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
        }
        return UsageEvent(
            started_at=started_at, duration_ms=duration, ttft_ms=duration / 5 if streamed else None, operation="chat",
            request_model=model, model=model, streamed=streamed, response_id=f"chatcmpl-{chance.getrandbits(96):024x}",
            http_status=200, raw=raw,
            usage=Usage(
                input_tokens=into, output_tokens=out, cache_read_tokens=cached, reasoning_tokens=reasoning,
                input_audio_tokens=0, output_audio_tokens=0,
            ),
        )  # fmt: skip


def fill(folder: Path, events: int, *, processes: int = PROCESSES, users: int = USERS, span: float = 3600.0) -> None:
    """Put events into the spool folder as that many processes leave them that have ended, one after the other."""
    calls = Calls(users=users)
    for process in range(processes):
        share = events * (process + 1) // processes - events * process // processes
        journal = Journal(Spool(folder, max_bytes=1 << 40))
        kinds: dict[tuple[Origin, str | None, bool], CallKind] = {}
        for origin, event in calls.make(share, span, process):
            if event.status == "ok" and origin.provider != "gemini":
                key = origin, event.request_model, event.streamed
                kind = kinds.get(key) or kinds.setdefault(key, kind_of(origin, event))
                journal.append_call(kind, told(kind, event))
            else:
                journal.append(origin, event)
        journal.close()
        assert not journal.dropped, "the disk is full"


def kind_of(origin: Origin, event: UsageEvent) -> CallKind:
    reader = "anthropic" if origin.provider == "anthropic" else "openai"
    operation = "embeddings" if str(event.model).startswith("text-embedding") else "chat"
    return CallKind(
        origin=origin, by_model=False, reader=reader, operation=operation, request_model=event.request_model,
        streamed=event.streamed, names=READERS[reader].PLAIN[operation].names,
    )  # fmt: skip


def told(kind: CallKind, event: UsageEvent) -> tuple[Any, ...]:
    """The call as the fields of Told. An SDK's usage object is a list of its fields, as `encode_usage` makes it."""
    usage = event.usage
    fields: Any = event.raw
    if kind.reader == "anthropic":
        fields = {
            "cache_creation": [{"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0}, None, False],
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": usage.cache_read_tokens, "inference_geo": None,
            "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "server_tool_use": None,
            "service_tier": "standard",
        }  # fmt: skip
    elif kind.operation == "chat":
        fields = {name: [part, None, False] if type(part) is dict else part for name, part in fields.items()}
    values = {
        "type": "message",
        "id": event.response_id,
        "model": event.model,
        "service_tier": "default",
        "usage": msgspec.Raw(encode_usage([fields, None, False])),
    }
    said = (tuple(values[name] for name in kind.names),)
    return event.started_at, event.duration_ms, event.ttft_ms, event.http_status, event.attempts, said
