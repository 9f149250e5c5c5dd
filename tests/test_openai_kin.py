"""SDKs that Stainless generates for providers who answer in OpenAI's words: groq, together, cerebras."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import groq
import pytest
import together
from budgeted import budget, known
from capturing import Captured
from cerebras.cloud import sdk as cerebras

import usage_tracker
from usage_tracker.demo.exchange import Asked, Event, Json, Reply
from usage_tracker.demo.standin import StandIn

KEY = "key-test-0123456789-wxyz"
MODEL = "llama-4-scout"
ASKED: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}]}
USAGE: Json = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35, "queue_time": 0.02}


class Kin(NamedTuple):
    """An SDK and how its provider ends a stream."""

    name: str
    client: Callable[[str], Any]
    async_client: Callable[[str], Any]
    last_chunk: Json
    error: type[Exception]
    stream: type


KINS = [
    Kin(
        "groq",
        lambda url: groq.Groq(api_key=KEY, base_url=url, max_retries=0),
        lambda url: groq.AsyncGroq(api_key=KEY, base_url=url, max_retries=0),
        {"x_groq": {"id": "req_1", "usage": USAGE}},
        groq.RateLimitError,
        groq.Stream,
    ),
    Kin(
        "together",
        lambda url: together.Together(api_key=KEY, base_url=url, max_retries=0),
        lambda url: together.AsyncTogether(api_key=KEY, base_url=url, max_retries=0),
        {"usage": USAGE},
        together.RateLimitError,
        together.Stream,
    ),
    Kin(
        "cerebras-cloud-sdk",
        lambda url: cerebras.Cerebras(api_key=KEY, base_url=url, max_retries=0, warm_tcp_connection=False),
        lambda url: cerebras.AsyncCerebras(api_key=KEY, base_url=url, max_retries=0, warm_tcp_connection=False),
        {"usage": USAGE},
        cerebras.RateLimitError,
        cerebras.Stream,
    ),
]

each_kin = pytest.mark.parametrize("kin", KINS, ids=[kin.name for kin in KINS])


def answer_as(kin: Kin, asked: Asked) -> Reply:
    about: Json = {"id": "c-1", "model": MODEL, "created": 1}
    if not asked.body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
        return Reply({**about, "object": "chat.completion", "choices": [choice], "usage": USAGE})
    about["object"] = "chat.completion.chunk"
    said = [{**about, "choices": [{"index": 0, "delta": {"content": word}}]} for word in ("Hel", "lo.")]
    ends = {**about, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **kin.last_chunk}
    return Reply(events=[Event(fields) for fields in (*said, ends)])


@pytest.fixture
def url(kin: Kin, provider: StandIn) -> str:
    provider.reply = lambda asked: answer_as(kin, asked)
    return provider.url


@each_kin
def test_a_call_is_an_event_of_that_sdk(kin: Kin, url: str, captured: Captured) -> None:
    with kin.client(url) as client:
        client.chat.completions.create(**ASKED, extra_body={"user": "u-1"})
    origin, event = captured.one_call()
    assert (origin.sdk, origin.base_host, origin.user_id) == (kin.name, "127.0.0.1", "u-1")
    assert str(origin.api_key).endswith("…wxyz")
    assert (event.operation, event.request_model, event.model, event.response_id) == ("chat", MODEL, MODEL, "c-1")
    assert (event.status, event.http_status, event.usage.input_tokens, event.usage.output_tokens) == ("ok", 200, 30, 5)


@each_kin
def test_a_stream_has_its_usage_where_the_provider_puts_it(kin: Kin, url: str, captured: Captured) -> None:
    with kin.client(url) as client:
        stream = client.chat.completions.create(**ASKED, stream=True)
        assert len(list(stream)) == 3
        assert type(stream) is kin.stream
    event = captured.one()
    assert (event.status, event.streamed, event.usage.input_tokens, event.usage.output_tokens) == ("ok", True, 30, 5)


@each_kin
def test_nothing_is_added_to_the_request(kin: Kin, url: str, captured: Captured, provider: StandIn) -> None:
    with kin.client(url) as client:
        list(client.chat.completions.create(**ASKED, stream=True))
    assert provider.requests[-1].body == {**ASKED, "stream": True}
    captured.one()


@each_kin
def test_a_stream_that_is_left_early_is_abandoned(kin: Kin, url: str, captured: Captured) -> None:
    with kin.client(url) as client, client.chat.completions.create(**ASKED, stream=True) as stream:
        next(stream)
    assert captured.one().status == "abandoned"


@each_kin
def test_a_raw_response_is_read_with_the_app(kin: Kin, url: str, captured: Captured) -> None:
    with kin.client(url) as client:
        raw = client.chat.completions.with_raw_response.create(**ASKED)
        assert raw.parse().model == MODEL
    assert captured.one().usage.output_tokens == 5


@each_kin
def test_an_async_client_is_counted_in_the_same_way(kin: Kin, url: str, captured: Captured) -> None:
    async def main() -> None:
        async with kin.async_client(url) as client:
            await client.chat.completions.create(**ASKED)
            async for _ in await client.chat.completions.create(**ASKED, stream=True):
                pass

    asyncio.run(main())
    events = [event for _, event in captured.all()]
    assert [(event.streamed, event.usage.output_tokens) for event in events] == [(False, 5), (True, 5)]


@each_kin
def test_a_refused_call_is_an_event_with_its_error(kin: Kin, url: str, captured: Captured, provider: StandIn) -> None:
    provider.fail_next(1, 429)
    with kin.client(url) as client, pytest.raises(kin.error):
        client.chat.completions.create(**ASKED)
    event = captured.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "RateLimitError", 429)


@each_kin
def test_a_budget_refuses_a_call_before_its_request(kin: Kin, url: str, captured: Captured, provider: StandIn) -> None:
    captured.hold_to(known(budget(), spent="1"))

    async def ask(**said: Any) -> None:
        async with kin.async_client(url) as client:
            await client.chat.completions.create(**ASKED, **said)

    with kin.client(url).with_options(max_retries=3) as client:
        for call in (
            lambda: client.chat.completions.create(**ASKED),
            lambda: client.chat.completions.create(**ASKED, stream=True),
            lambda: client.chat.completions.with_raw_response.create(**ASKED),
            lambda: asyncio.run(ask()),
            lambda: asyncio.run(ask(stream=True)),
        ):
            with pytest.raises(usage_tracker.BudgetExceeded):
                call()
    assert [asked for asked in provider.requests if asked.method == "POST"] == []
    assert captured.all() == []


def test_a_reranking_is_counted(provider: StandIn, captured: Captured) -> None:
    provider.reply = lambda asked: Reply(
        {
            "object": "rerank",
            "id": "r-1",
            "model": "m",
            "results": [{"index": 0, "relevance_score": 0.9}],
            "usage": USAGE,
        }
    )
    with together.Together(api_key=KEY, base_url=provider.url) as client:
        client.rerank.create(model="m", query="greeting", documents=["hello", "tree"])
    event = captured.one()
    assert (event.operation, event.model, event.usage.input_tokens) == ("rerank", "m", 30)
