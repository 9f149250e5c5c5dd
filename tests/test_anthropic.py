"""The anthropic SDK against a local stand-in of its API: every way of calling a model is one event, and the app sees
what it would have seen."""

import asyncio
import copy
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic_server import USAGE, AnthropicServer
from budgeted import budget, known
from capturing import Captured
from pydantic import BaseModel, ValidationError

import usage_tracker
from usage_tracker.capture import bodies
from usage_tracker.demo.exchange import Reply
from usage_tracker.event import UsageEvent

KEY = "sk-ant-test-0123456789-wxyz"
MODEL = "claude-opus-5-5"
ASKED: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}
COUNTS = (41, 12, 7, 9, 4, 5)
"""What the stand-in's answers used."""


@pytest.fixture
def server() -> Iterator[AnthropicServer]:
    with AnthropicServer() as server:
        yield server


@pytest.fixture
def client(server: AnthropicServer, captured: Captured) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=KEY, base_url=server.url, max_retries=0) as client:
        yield client


def in_async(server: AnthropicServer, ask: Callable[[anthropic.AsyncAnthropic], Any]) -> Any:
    """What an async client gets."""

    async def main() -> Any:
        async with anthropic.AsyncAnthropic(api_key=KEY, base_url=server.url, max_retries=0) as client:
            return await ask(client)

    return asyncio.run(main())


def counts(event: UsageEvent) -> tuple[int | None, ...]:
    used = event.usage
    return (
        used.input_tokens,
        used.output_tokens,
        used.cache_read_tokens,
        used.cache_write_tokens,
        used.cache_write_1h_tokens,
        used.reasoning_tokens,
    )


def test_a_call_has_its_tokens_models_and_ids(client: anthropic.Anthropic, captured: Captured) -> None:
    answer = client.messages.create(**ASKED)
    origin, event = captured.one_call()
    assert counts(event) == COUNTS
    assert event.usage.units == {"searches": 2}
    assert (event.operation, event.request_model, event.model) == ("chat", MODEL, answer.model)
    assert (event.response_id, event.service_tier) == (answer.id, "standard")
    assert (event.status, event.http_status, event.attempts, event.streamed) == ("ok", 200, 1, False)
    assert event.raw == USAGE
    assert (origin.sdk, origin.provider, origin.base_host) == ("anthropic", "anthropic", "127.0.0.1")


def test_a_key_is_kept_as_a_fingerprint_and_nothing_of_what_was_said(
    client: anthropic.Anthropic, captured: Captured
) -> None:
    client.messages.create(**ASKED)
    kept = repr(captured.one_call())
    assert "…wxyz" in kept
    assert KEY[:-4] not in kept
    assert "hello" not in kept.lower()


def test_a_token_in_place_of_a_key_is_kept_in_the_same_way(server: AnthropicServer, captured: Captured) -> None:
    with anthropic.Anthropic(auth_token="token-0123456789-abcd", base_url=server.url) as client:
        client.messages.create(**ASKED)
    assert str(captured.one_call()[0].api_key).endswith("…abcd")


class Found(BaseModel):
    answer: int


def read_by_helper(messages: Any) -> None:
    with messages.stream(**ASKED) as helper:
        helper.until_done()


async def read_by_async_helper(messages: Any) -> None:
    async with messages.stream(**ASKED) as helper:
        await helper.until_done()


async def read(stream: Any) -> list[Any]:
    return [event async for event in await stream]


def read_bytes(response: Any) -> None:
    with response as opened:
        b"".join(opened.iter_bytes())


WAYS: dict[str, Callable[[Any], object]] = {
    "create": lambda messages: messages.create(**ASKED),
    "create a stream": lambda messages: list(messages.create(**ASKED, stream=True)),
    "stream": read_by_helper,
    "raw": lambda messages: messages.with_raw_response.create(**ASKED).parse(),
    "raw, never parsed": lambda messages: messages.with_raw_response.create(**ASKED),
    "raw stream": lambda messages: list(messages.with_raw_response.create(**ASKED, stream=True).parse()),
    "streaming response": lambda messages: read_bytes(messages.with_streaming_response.create(**ASKED)),
    "streaming response of a stream": lambda messages: read_bytes(
        messages.with_streaming_response.create(**ASKED, stream=True)
    ),
}


@pytest.mark.parametrize("beta", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_asking_is_one_event(
    client: anthropic.Anthropic, captured: Captured, way: str, beta: bool
) -> None:
    WAYS[way](client.beta.messages if beta else client.messages)
    event = captured.one()
    assert counts(event) == COUNTS
    assert (event.operation, event.status, event.streamed) == ("chat", "ok", way.endswith("stream"))
    assert event.raw == USAGE


ASYNC_WAYS: dict[str, Callable[[Any], Any]] = {
    "create": lambda messages: messages.create(**ASKED),
    "create a stream": lambda messages: read(messages.create(**ASKED, stream=True)),
    "stream": read_by_async_helper,
    "raw": lambda messages: messages.with_raw_response.create(**ASKED),
}


@pytest.mark.parametrize("beta", [False, True])
@pytest.mark.parametrize("way", ASYNC_WAYS)
def test_every_way_of_asking_with_an_async_client_is_one_event(
    server: AnthropicServer, captured: Captured, way: str, beta: bool
) -> None:
    in_async(server, lambda client: ASYNC_WAYS[way](client.beta.messages if beta else client.messages))
    event = captured.one()
    assert (counts(event), event.status) == (COUNTS, "ok")


@pytest.mark.parametrize("beta", [False, True])
def test_structured_output_is_one_call(client: anthropic.Anthropic, captured: Captured, beta: bool) -> None:
    messages: Any = client.beta.messages if beta else client.messages
    assert messages.parse(**ASKED, output_format=Found).parsed_output == Found(answer=42)
    assert counts(captured.one()) == COUNTS


@pytest.mark.parametrize("middleware", [(), (lambda request, call_next: call_next(request),)])
def test_an_answer_that_is_not_what_was_asked_for_has_used_what_it_says(
    client: anthropic.Anthropic, captured: Captured, middleware: Any
) -> None:
    class Sought(Found):
        name: str

    asking = client.with_middleware(*middleware) if middleware else client
    with pytest.raises(ValidationError):
        asking.messages.parse(**ASKED, output_format=Sought)
    event = captured.one()
    assert (event.status, event.error_type, counts(event)) == ("error", "ValidationError", COUNTS)


def test_a_tool_runner_makes_a_call_for_each_time_that_it_asks_the_model(
    client: anthropic.Anthropic, captured: Captured
) -> None:
    @anthropic.beta_tool
    def weather(place: str) -> str:
        """The weather at a place.

        Args:
            place: Where.
        """
        return f"sunny at {place}"

    runner = client.beta.messages.tool_runner(**ASKED, tools=[weather])
    assert [message.stop_reason for message in runner] == ["tool_use", "end_turn"]
    assert [counts(event) for _, event in captured.all()] == [COUNTS, COUNTS]


def test_the_completions_of_old_are_counted(client: anthropic.Anthropic, captured: Captured) -> None:
    client.post("/v1/complete", body={"model": "claude-2.1", "prompt": "Hello"}, cast_to=object)
    event = captured.one()
    assert (event.operation, event.request_model, event.model) == ("completion", "claude-2.1", "claude-2.1")
    assert event.usage.input_tokens is None


def test_counting_tokens_is_free(client: anthropic.Anthropic, captured: Captured) -> None:
    client.messages.count_tokens(model=MODEL, messages=ASKED["messages"])
    client.beta.messages.count_tokens(model=MODEL, messages=ASKED["messages"])
    assert captured.all() == []


def test_a_refused_call_is_an_event_with_its_error(
    server: AnthropicServer, client: anthropic.Anthropic, captured: Captured
) -> None:
    server.fail_next(1, 429)
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(**ASKED)
    event = captured.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "RateLimitError", 429)
    assert counts(event) == (None,) * 6


def test_retries_are_one_event_that_counts_its_attempts(
    server: AnthropicServer, client: anthropic.Anthropic, captured: Captured
) -> None:
    server.fail_next(2, 529, retry_after=0.001)
    client.with_options(max_retries=2).messages.create(**ASKED)
    assert (captured.one().attempts, len(server.requests)) == (3, 3)


def test_a_server_that_can_not_be_reached_is_an_error_without_http_status(
    client: anthropic.Anthropic, captured: Captured
) -> None:
    with pytest.raises(anthropic.APIConnectionError):
        client.with_options(base_url="http://127.0.0.1:9").messages.create(**ASKED)
    event = captured.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "APIConnectionError", None)


def test_a_cancelled_call_is_cancelled(server: AnthropicServer, captured: Captured) -> None:
    server.delay = 5

    async def ask(client: anthropic.AsyncAnthropic) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.messages.create(**ASKED), 0.1)

    in_async(server, ask)
    assert captured.one().status == "cancelled"


@pytest.mark.parametrize(
    ("user_id", "user", "session", "tags"),
    [
        ("u-1", "u-1", None, ()),
        ("user_0af3_account__session_5b1c-22", "user_0af3", "5b1c-22", ()),
        ('{"device_id": "d-1", "account_uuid": "", "session_id": "s-1"}', "d-1", "s-1", ()),
        ('{"user": "tim", "job": "nightly"}', "tim", None, ("job:nightly",)),
    ],
)
def test_who_a_call_is_for_is_read_from_its_metadata(
    client: anthropic.Anthropic, captured: Captured, user_id: str, user: str, session: str | None, tags: tuple[str]
) -> None:
    with usage_tracker.attribute(project="alpha"):
        client.messages.create(**ASKED, metadata={"user_id": user_id})
    origin, _ = captured.one_call()
    assert (origin.project, origin.user_id, origin.session_id, origin.tags) == ("alpha", user, session, tags)


def test_what_the_sdk_hands_back_is_its_own(client: anthropic.Anthropic, captured: Captured) -> None:
    answer = client.messages.create(**ASKED)
    assert type(answer) is anthropic.types.Message
    assert answer._request_id is None
    assert pickle.loads(pickle.dumps(answer)) == copy.deepcopy(answer) == answer
    raw = client.messages.with_raw_response.create(**ASKED)
    assert raw.parse() is raw.parse()
    captured.all()


# the clouds


def bedrock(server: AnthropicServer) -> Any:
    return anthropic.AnthropicBedrock(api_key="bedrock-0123456789", aws_region="us-east-1", base_url=server.url)


def vertex(server: AnthropicServer) -> Any:
    return anthropic.AnthropicVertex(region="us-east5", project_id="p", access_token="token", base_url=server.url)


def foundry(server: AnthropicServer) -> Any:
    return anthropic.AnthropicFoundry(api_key=KEY, base_url=server.url)


def aws(server: AnthropicServer) -> Any:
    return anthropic.AnthropicAWS(api_key=KEY, base_url=server.url, aws_region="us-east-1", workspace_id="w")


CLOUDS = [(bedrock, "bedrock"), (vertex, "vertex"), (foundry, "azure"), (aws, "anthropic")]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("cloud", "provider"), CLOUDS)
def test_the_clients_of_clouds_say_who_serves(
    server: AnthropicServer, captured: Captured, cloud: Callable[[Any], Any], provider: str, streamed: bool
) -> None:
    model = "anthropic.claude-opus-5-5-v1:0" if cloud is bedrock else MODEL
    with cloud(server) as client:
        answer = client.messages.create(**{**ASKED, "model": model}, stream=streamed)
        assert not streamed or list(answer)
    origin, event = captured.one_call()
    assert (origin.provider, origin.sdk, event.request_model, event.model) == (
        provider, "anthropic", model, server.model,
    )  # fmt: skip
    assert (counts(event), event.streamed, event.status) == (COUNTS, streamed, "ok")


@pytest.mark.parametrize("size", [1, 100, None])
def test_bedrocks_binary_events_are_read_with_an_app_that_reads_bytes(
    server: AnthropicServer, captured: Captured, size: int | None
) -> None:
    with (
        bedrock(server) as client,
        client.messages.with_streaming_response.create(**ASKED, stream=True) as response,
    ):
        assert b"".join(response.iter_bytes(size)).count(b":event-type") == 10
    event = captured.one()
    assert (counts(event), event.status, event.response_id) == (COUNTS, "ok", "msg_00000001")


def test_requests_by_hand_to_a_clouds_own_paths_are_counted(
    client: anthropic.Anthropic, server: AnthropicServer, captured: Captured
) -> None:
    for path in ("/model/anthropic.claude-opus-5-5/invoke", "/projects/p/publishers/anthropic/models/x:rawPredict"):
        client.post(path, body={"messages": ASKED["messages"]}, cast_to=object)
        assert counts(captured.one()) == COUNTS


# batches


def asked_for(*models: str) -> list[Any]:
    return [{"custom_id": f"c-{at}", "params": {**ASKED, "model": model}} for at, model in enumerate(models)]


def test_a_batch_awaits_what_it_uses(client: anthropic.Anthropic, captured: Captured) -> None:
    batch = client.messages.batches.create(requests=asked_for(MODEL, MODEL))
    event = captured.one()
    assert (event.operation, event.request_model, event.service_tier) == ("batch", MODEL, "batch")
    assert (event.awaits, event.response_id, event.completes) == (batch.id, batch.id, None)
    assert counts(event) == (None,) * 6
    client.messages.batches.retrieve(batch.id)
    client.messages.batches.cancel(batch.id)
    assert captured.all() == []


RESULTS: dict[str, Callable[[anthropic.Anthropic, str], object]] = {
    "results": lambda client, batch: list(client.messages.batches.results(batch)),
    "of the beta": lambda client, batch: list(client.beta.messages.batches.results(batch)),
    "next": lambda client, batch: [next(results) for results in [client.messages.batches.results(batch)] for _ in "ab"],
    "raw": lambda client, batch: list(client.beta.messages.batches.with_raw_response.results(batch).parse()),
    "bytes": lambda client, batch: read_bytes(client.beta.messages.batches.with_streaming_response.results(batch)),
    "by their address": lambda client, batch: client.get(results_of(batch), cast_to=httpx2.Response).text,
}


def results_of(batch: str) -> str:
    return f"/v1/messages/batches/{batch}/results"


@pytest.mark.parametrize("way", RESULTS)
def test_each_result_of_a_batch_brings_what_it_used_once(
    client: anthropic.Anthropic, captured: Captured, way: str
) -> None:
    batch = client.messages.batches.create(requests=asked_for(MODEL, MODEL, "bad", "late")).id
    captured.one()
    for _ in range(2):
        RESULTS[way](client, batch)
    events = [event for _, event in captured.all()]
    assert [(event.completes, event.response_id) for event in events] == [
        (batch, f"msg_{batch}_0"),
        (batch, f"msg_{batch}_1"),
    ]
    for event in events:
        assert counts(event) == COUNTS
        assert (event.operation, event.service_tier, event.status, event.streamed) == ("batch", "batch", "ok", False)


def test_results_that_the_app_takes_as_text_are_the_apps(client: anthropic.Anthropic, captured: Captured) -> None:
    batch = client.messages.batches.create(requests=asked_for(MODEL)).id
    captured.one()
    assert f"msg_{batch}_0" in client.get(results_of(batch), cast_to=str)
    assert captured.all() == []


def test_an_async_client_brings_a_batches_results_too(server: AnthropicServer, captured: Captured) -> None:
    async def ask(client: anthropic.AsyncAnthropic) -> int:
        batch = await client.messages.batches.create(requests=asked_for(MODEL, MODEL))
        results = await client.messages.batches.results(batch.id)
        assert type(results).__name__ == "AsyncJSONLDecoder"
        return len([result async for result in results])

    assert in_async(server, ask) == 2
    assert [event.completes is None for _, event in captured.all()] == [True, False, False]


def test_of_a_line_of_results_without_end_no_more_is_kept_than_of_any_body(
    server: AnthropicServer, client: anthropic.Anthropic, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = client.messages.batches.create(requests=asked_for(MODEL)).id
    line = client.get(results_of(batch), cast_to=str).encode()
    captured.one()
    monkeypatch.setattr(bodies, "BODY_MAX", 1 << 16)
    reply = Reply(b"x" * (32 << 20) + b"\n" + line, kind="application/x-jsonl")
    other = server.reply
    server.reply = lambda asked: reply if asked.path == results_of(batch) else other(asked)
    tracemalloc.start()
    with client.beta.messages.batches.with_streaming_response.results(batch) as response:
        received = sum(map(len, response.iter_bytes()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert received == len(reply.body)
    assert peak < 16 << 20
    assert captured.one().completes == batch


def test_results_that_are_not_read_are_no_events_yet(client: anthropic.Anthropic, captured: Captured) -> None:
    batch = client.messages.batches.create(requests=asked_for(MODEL, MODEL))
    captured.one()
    results = client.messages.batches.results(batch.id)
    assert type(results).__name__ == "JSONLDecoder"
    assert captured.all() == []
    results.close()
    assert captured.all() == []


# middleware


def fallback(client: Any, server: AnthropicServer) -> Any:
    from anthropic.lib.middleware import BetaRefusalFallbackMiddleware

    server.refusing = {"claude-fable-5"}
    return client.with_middleware(BetaRefusalFallbackMiddleware([{"model": MODEL}])).beta.messages


REFUSED = {**ASKED, "model": "claude-fable-5"}


def test_what_a_middleware_asked_first_is_an_event_by_itself(
    client: anthropic.Anthropic, server: AnthropicServer, captured: Captured
) -> None:
    answer = fallback(client, server).create(**REFUSED)
    assert answer.model == server.model
    events = [event for _, event in captured.all()]
    assert [(event.model, event.response_id) for event in events] == [
        ("claude-fable-5", "msg_00000001"),
        (server.model, "msg_00000002"),
    ]
    assert [counts(event) for event in events] == [COUNTS, COUNTS]


def test_an_async_middleware_is_counted_in_the_same_way(server: AnthropicServer, captured: Captured) -> None:
    in_async(server, lambda client: fallback(client, server).create(**REFUSED))
    assert [event.model for _, event in captured.all()] == ["claude-fable-5", server.model]


def test_a_stream_that_a_middleware_joined_counts_all_of_it(
    client: anthropic.Anthropic, server: AnthropicServer, captured: Captured
) -> None:
    assert list(fallback(client, server).create(**REFUSED, stream=True))
    assert len(server.requests) == 2
    event = captured.one()
    assert (event.usage.input_tokens, event.usage.output_tokens) == (82, 24)


def test_what_a_middleware_had_in_a_cache_of_its_own_used_nothing(
    client: anthropic.Anthropic, captured: Captured
) -> None:
    answer = client.messages.create(**ASKED)
    captured.one()
    assert client.with_middleware(lambda request, call_next: answer).messages.create(**ASKED) is answer
    event = captured.one()
    assert (event.cached, event.status, event.usage.input_tokens, event.usage.output_tokens) == (True, "ok", 0, 0)


def test_a_middleware_that_asks_once_is_one_event(client: anthropic.Anthropic, captured: Captured) -> None:
    client.with_middleware(lambda request, call_next: call_next(request)).messages.create(**ASKED)
    assert counts(captured.one()) == COUNTS


def test_a_budget_refuses_a_call_before_its_request(
    client: anthropic.Anthropic, server: AnthropicServer, captured: Captured
) -> None:
    """And nothing of the SDK's wraps the refusal or tries again."""
    captured.hold_to(known(budget(), spent="1"))
    patient = client.with_options(max_retries=3)

    def streamed() -> None:
        with patient.messages.stream(**ASKED) as stream:
            stream.until_done()

    async def streamed_async(client: anthropic.AsyncAnthropic) -> None:
        async with client.messages.stream(**ASKED) as stream:
            await stream.until_done()

    for call in (
        lambda: patient.messages.create(**ASKED),
        lambda: patient.messages.create(**ASKED, stream=True),
        lambda: patient.messages.with_raw_response.create(**ASKED),
        lambda: in_async(server, lambda client: client.messages.create(**ASKED)),
        lambda: in_async(server, lambda client: client.messages.create(**ASKED, stream=True)),
        lambda: in_async(server, streamed_async),
        streamed,
    ):
        with pytest.raises(usage_tracker.BudgetExceeded) as refused:
            call()
        assert refused.value.__cause__ is None
    assert server.requests == []
    assert captured.all() == []
