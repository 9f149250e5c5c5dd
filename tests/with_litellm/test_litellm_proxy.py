"""Every request to LiteLLM's proxy is one event, and what it says is what the proxy answered."""

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import litellm
import openai
import pytest
from capturing import ASK
from with_litellm.litellm_proxy import ALICE, BOB, CALLBACK, Proxy, proxy  # noqa: F401  a fixture
from with_litellm.proxy_auth import hashed

import usage_tracker
from usage_tracker import tracker
from usage_tracker.demo.exchange import Asked, Reply

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("proxy")]
"""It takes its time to start, and so is started once."""

REQUESTS = 500
FRESH = {"no-cache": True}


class Answered(NamedTuple):
    """What the proxy said to a client."""

    status: str
    tokens: tuple[int | None, int | None] = (None, None)
    cost: float | None = None
    """By the header; streams have none."""
    cached: bool = False
    key: str = ALICE


Ask = Callable[[Any, dict[str, Any]], Answered]


def chat(client: Any, metadata: dict[str, Any], model: str = "fast", **more: Any) -> Answered:
    body = {"metadata": metadata, "cache": FRESH, **more}
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK, extra_body=body)
    usage = raw.parse().usage
    assert usage is not None
    return Answered("ok", (usage.prompt_tokens, usage.completion_tokens), cost_of(raw.headers))


def from_cache(client: Any, metadata: dict[str, Any]) -> Answered:
    answered = chat(client, metadata, cache={}, user="the-same")
    return answered._replace(tokens=(0, 0), cost=0.0, cached=True)


def stream(client: Any, metadata: dict[str, Any], model: str = "fast") -> Answered:
    chunks = client.chat.completions.create(
        model=model, messages=ASK, stream=True, stream_options={"include_usage": True},
        extra_body={"metadata": metadata, "cache": FRESH},
    )  # fmt: skip
    usage = [chunk.usage for chunk in chunks if chunk.usage is not None][-1]
    return Answered("ok", (usage.prompt_tokens, usage.completion_tokens))


def embed(client: Any, metadata: dict[str, Any]) -> Answered:
    body = {"metadata": metadata, "cache": FRESH}
    raw = client.embeddings.with_raw_response.create(model="vectors", input=["a", "b"], extra_body=body)
    return Answered("ok", (raw.parse().usage.prompt_tokens, None), cost_of(raw.headers))


def fail(client: Any, metadata: dict[str, Any], model: str = "refused") -> Answered:
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model=model, messages=ASK, extra_body={"metadata": metadata})
    return Answered("error")


def ask_nobody(client: Any, metadata: dict[str, Any]) -> Answered:
    return fail(client, metadata, "unheard-of")


def cost_of(headers: Any) -> float:
    return float(headers.get("x-litellm-response-cost", 0))


def as_bob(ask: Ask) -> Ask:
    return lambda client, metadata: ask(client.with_options(api_key=BOB), metadata)._replace(key=BOB)


KINDS: tuple[Ask, ...] = (chat, stream, embed, from_cache, fail, as_bob(chat), as_bob(stream), ask_nobody, chat, stream)


def test_500_mixed_requests_are_500_events_that_say_what_the_proxy_answered(proxy: Proxy) -> None:  # noqa: F811
    client = proxy.client()
    from_cache(client, {"tags": ["warm"]})

    def ask(number: int) -> Answered:
        return KINDS[number % len(KINDS)](client, {"tags": ["mixed", f"number:{number}"]})

    with ThreadPoolExecutor(8) as threads:
        answered = list(threads.map(ask, range(REQUESTS)))
    events = proxy.events("mixed", REQUESTS)
    assert len(events) == REQUESTS
    by_number = {json.loads(event["tags"])[1]: event for event in events}
    for number, said in enumerate(answered):
        event = by_number[f"number:{number}"]
        assert json.loads(event["tags"]) == ["mixed", f"number:{number}"]
        assert (event["status"], event["api_key"]) == (said.status, hashed(said.key))
        assert event["team"] == ("search" if said.key == ALICE else None)
        assert ("cached" in event["cost_flags"]) == said.cached
        assert (event["input_tokens"], event["output_tokens"]) == said.tokens
        if said.cost is not None:
            assert event["reported_cost"] == pytest.approx(said.cost, abs=1e-12)
        if said.status == "ok":
            assert event["cost"] == pytest.approx(event["reported_cost"], abs=1e-12)


def test_its_configuration_has_the_line_that_the_guide_says() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "litellm.md").read_text()
    [said] = re.findall(r"^```yaml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert said == f"litellm_settings:\n  callbacks: {CALLBACK}\n"


def test_a_request_is_its_keys_users_unless_it_says_whose(proxy: Proxy) -> None:  # noqa: F811
    chat(proxy.client(), {"tags": ["whose"]})
    assert proxy.one("whose")["user_id"] == "alice"
    chat(proxy.client(), {"tags": ["said whose"]}, user="u-7")
    assert proxy.one("said whose")["user_id"] == "u-7"


def test_attempts_and_fallbacks_are_the_one_request(proxy: Proxy) -> None:  # noqa: F811
    chat(proxy.client(), {"tags": ["rescued"]}, model="gone")
    event = proxy.one("rescued")
    assert (event["status"], event["model"], event["attempts"]) == ("ok", "gpt-4.1-mini-2025-04-14", 3)
    proxy.provider.fail_next(2, 503)
    fail(proxy.client(), {"tags": ["overloaded"], "no-cache": True}, model="ours")
    event = proxy.one("overloaded")
    assert (event["status"], event["http_status"], event["attempts"]) == ("error", 503, 2)


def test_prices_of_the_proxys_own_configuration_are_kept_of_streams_too(proxy: Proxy) -> None:  # noqa: F811
    said = stream(proxy.client(), {"tags": ["priced"]}, model="ours")
    assert said.tokens[0] is not None
    assert said.tokens[1] is not None
    event = proxy.one("priced")
    assert event["reported_cost"] == pytest.approx(said.tokens[0] * 0.001 + said.tokens[1] * 0.002)


def test_a_request_that_is_not_to_be_logged_is_told_of_at_once_and_costs(proxy: Proxy) -> None:  # noqa: F811
    quiet: dict[str, Any] = {"no-log": True}
    said = chat(proxy.client(), {"tags": ["quiet"]}, **quiet)
    assert proxy.one("quiet")["reported_cost"] == pytest.approx(said.cost, abs=1e-12)


def test_a_stream_that_breaks_or_is_left_is_one_event(proxy: Proxy) -> None:  # noqa: F811
    proxy.provider.cut_next(3)
    with pytest.raises(openai.APIError):
        stream(proxy.client(), {"tags": ["cut"]})
    assert proxy.one("cut")["status"] == "error"
    proxy.provider.chunk_delay = 0.2
    client: Any = proxy.client()
    chunks = client.chat.completions.create(
        model="fast", messages=ASK, stream=True, extra_body={"metadata": {"tags": ["left"]}, "cache": FRESH}
    )  # fmt: skip
    next(iter(chunks))
    chunks.close()
    proxy.provider.chunk_delay = 0.0
    event = proxy.one("left")
    assert event["status"] in ("abandoned", "cancelled")
    assert event["output_tokens"] is None


@pytest.mark.parametrize("streamed", [False, True])
def test_other_apis_words_are_one_event_too(proxy: Proxy, streamed: bool) -> None:  # noqa: F811
    for place, asked, operation in (
        ("/v1/messages", {"messages": ASK, "max_tokens": 50}, "chat"),
        ("/v1/responses", {"input": "Say hello."}, "responses"),
    ):
        tag = f"{operation} {streamed}"
        body = {"model": "fast", "stream": streamed, "litellm_metadata": {"tags": [tag]}, **asked}
        answer = httpx.post(f"{proxy.url}{place}", json=body, headers={"authorization": f"Bearer {ALICE}"}, timeout=60)
        assert answer.status_code == 200
        event = proxy.one(tag)
        assert (event["operation"], event["status"], event["api_key"]) == (operation, "ok", hashed(ALICE))
        assert event["input_tokens"]
        assert event["output_tokens"]


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent?alt=sse"])
def test_geminis_words_to_another_providers_model_are_one_event_at_once(proxy: Proxy, verb: str) -> None:  # noqa: F811
    """LiteLLM asks the model by a call within, which has an id of its own."""
    asked = {"contents": [{"role": "user", "parts": [{"text": f"Say {verb}."}]}]}
    headers = {"authorization": f"Bearer {ALICE}", "x-litellm-tags": verb}
    for cached in (False, True):
        place = f"{proxy.url}/v1beta/models/fast:{verb}"
        assert httpx.post(place, json=asked, headers=headers, timeout=60).status_code == 200
        event = proxy.events(verb, 1 + cached)[-1]
        assert (event["operation"], event["status"], event["team"]) == ("chat", "ok", "search")
        assert (event["reported_cost"] > 0, "cached" in event["cost_flags"]) == (not cached, cached)


def test_what_it_hands_on_as_it_is_is_one_event_too(proxy: Proxy) -> None:  # noqa: F811
    client: Any = proxy.client().with_options(base_url=f"{proxy.url}/openai/v1")
    answer = client.chat.completions.create(
        model="gpt-4o", messages=ASK, extra_body={"metadata": {"tags": "handed on"}}
    )  # fmt: skip
    event = proxy.one("handed on")
    assert (event["status"], event["request_model"], event["model"]) == ("ok", "gpt-4o", answer.model)
    assert (event["input_tokens"], event["output_tokens"]) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert (event["api_key"], event["team"]) == (hashed(ALICE), "search")


def test_an_app_leaves_its_call_to_a_proxy_that_records_it_in_the_same_store(proxy: Proxy, tmp_path: Path) -> None:  # noqa: F811
    usage_tracker.install(dsn=proxy.dsn, spool_dir=tmp_path / "spool")
    heard: list[Any] = []
    assert tracker.installed is not None
    tracker.installed.pipeline().recorder.listeners.append(lambda *call: heard.append(call))
    try:
        chat(proxy.client(), {"tags": ["shared"]})
        stream(proxy.client(), {"tags": ["shared"]})
        fail(proxy.client(), {"tags": ["shared"]})
        assert usage_tracker.stats().captured == 0
        assert len(heard) == 3
        assert len(proxy.events("shared", 3)) == 3
    finally:
        usage_tracker.uninstall()


def ranked(asked: Asked) -> Reply | None:
    answer = {"id": "r-1", "results": [{"index": 0, "relevance_score": 0.9}], "meta": {"billed_units": {}}}
    return Reply(answer) if asked.path.endswith("/rerank") else None


def test_an_app_that_asks_by_litellm_leaves_its_calls_to_it_too(
    proxy: Proxy,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which asks by no SDK for most of them."""
    monkeypatch.setattr(proxy.provider, "reply", ranked)
    at = {"api_key": ALICE, "api_base": proxy.url}
    at_proxy: dict[str, Any] = {**at, "extra_headers": {"x-litellm-tags": "by litellm"}}
    usage_tracker.install(dsn=proxy.dsn, spool_dir=tmp_path / "spool")
    try:
        litellm.responses(model="litellm_proxy/fast", input="Say hello.", **at_proxy)
        list(litellm.responses(model="litellm_proxy/fast", input="Say hello.", stream=True, **at_proxy))
        asyncio.run(litellm.aresponses(model="litellm_proxy/fast", input="Say hello.", **at_proxy))
        litellm.completion(model="anthropic/fast", messages=ASK, max_tokens=50, **at_proxy)
        list(litellm.completion(model="anthropic/fast", messages=ASK, max_tokens=50, stream=True, **at_proxy))
        assert usage_tracker.stats().captured == 0
        litellm.rerank(model="litellm_proxy/ranking", query="boats", documents=["a"], **at)
        assert usage_tracker.stats().captured == 0
        assert len(proxy.events("by litellm", 5)) == 5
    finally:
        usage_tracker.uninstall()


def test_an_app_with_a_store_of_its_own_keeps_its_call(proxy: Proxy, tmp_path: Path) -> None:  # noqa: F811
    usage_tracker.install(dsn=f"sqlite:///{tmp_path}/own.db", spool_dir=tmp_path / "spool")
    try:
        said = chat(proxy.client(), {"tags": ["apart"]})
        assert usage_tracker.flush(60)
        assert usage_tracker.stats().stored == 1
    finally:
        usage_tracker.uninstall()
    own = proxy._replace(dsn=f"sqlite:///{tmp_path}/own.db").one("apart")
    assert own["reported_cost"] == pytest.approx(said.cost)
    assert own["reported_cost"] == proxy.one("apart")["reported_cost"]
