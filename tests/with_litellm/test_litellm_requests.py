"""A request to LiteLLM's proxy is told of by LiteLLM's functions and by the proxy's callback, in either order, or by
one of them alone; it is one event."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import litellm
import pytest
from anthropic_server import AnthropicServer, anthropic  # noqa: F401  a fixture
from capturing import ASK, Captured
from fastapi import HTTPException
from gemini_server import GeminiServer, gemini  # noqa: F401  a fixture
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
from with_litellm.asking import KEY, achat, run

import usage_tracker
from usage_tracker import tracker
from usage_tracker.attribution import inside
from usage_tracker.capture import litellm_requests
from usage_tracker.capture.litellm_call import requests
from usage_tracker.capture.litellm_requests import settle_all
from usage_tracker.capture.tracked_proxy import RECORDED_IN
from usage_tracker.demo.exchange import Json, Reply, refusal
from usage_tracker.demo.standin import StandIn
from usage_tracker.frameworks.litellm_proxy import instance

DATA = {"model": "fast", "litellm_call_id": "call-1", "metadata": {"tags": ["a"], "user_api_key_team_alias": "web"}}
TOLD = {"litellm_call_id": "call-1", "response_cost": 0.25, "custom_llm_provider": "openai", "model": "gpt-4o"}


@pytest.fixture(autouse=True)
def no_requests() -> Iterator[None]:
    """What an earlier test left under way is not this one's."""
    requests.clear()
    litellm_requests.untold.clear()
    yield
    requests.clear()


def begin(**data: Any) -> None:
    asyncio.run(instance.async_pre_call_hook(None, None, {**DATA, **data}, "acompletion"))


def tell(answer: object = None, **told: Any) -> None:
    asyncio.run(instance.async_log_success_event({**TOLD, **told}, answer, None, None))


def test_the_function_tells_first(captured: Captured, provider: StandIn) -> None:
    begin()
    answer = run(achat(provider, litellm_call_id="call-1"))
    assert captured.all() == []
    tell(answer)
    origin, event = captured.one_call()
    assert (event.model, event.usage.output_tokens) == (answer.model, answer.usage.completion_tokens)
    assert (event.reported_cost, origin.team, origin.tags) == ("0.25", "web", ("a",))
    tell(answer)
    assert captured.all() == []


def test_the_callback_tells_first(captured: Captured, provider: StandIn) -> None:
    async def ask() -> Any:
        await instance.async_pre_call_hook(None, None, DATA, "acompletion")
        stream = await achat(provider, litellm_call_id="call-1", stream=True, stream_options={"include_usage": True})
        await instance.async_log_success_event(TOLD, None, None, None)
        return [chunk async for chunk in stream]

    chunks = asyncio.run(ask())
    event = captured.one()
    assert event.usage.output_tokens == chunks[-1].usage.completion_tokens
    assert (event.streamed, event.reported_cost) == (True, "0.25")


def test_an_answer_that_passed_none_of_the_functions_is_what_the_callback_says(captured: Captured) -> None:
    begin()
    tell(litellm.ModelResponse(model="gpt-4o-2024-08-06", usage=litellm.Usage(prompt_tokens=7, completion_tokens=5)))
    origin, event = captured.one_call()
    assert (event.model, event.request_model, origin.provider) == ("gpt-4o-2024-08-06", "gpt-4o", "openai")
    assert (event.usage.input_tokens, event.usage.output_tokens, event.reported_cost) == (7, 5, "0.25")


HANDED_ON = {"model": "claude-sonnet-4-5", "messages": ASK, "metadata": {"user_id": "u-5"}}
TOLD_OF_IT = {
    "metadata": {"user_api_key_team_alias": "web", "user_id": "u-5"},
    "api_base": "https://api.anthropic.com/v1",
}


def hand_on(**data: Any) -> None:
    """As the proxy tells of it: its id is only in its logging."""
    logging = SimpleNamespace(litellm_call_id="call-1")
    asked = {**data, "litellm_logging_obj": logging}
    asyncio.run(instance.async_pre_call_hook(None, None, asked, "pass_through_endpoint"))


def test_what_the_proxy_hands_on_as_it_is_is_a_call_too(captured: Captured) -> None:
    hand_on(**HANDED_ON)
    answer = litellm.ModelResponse(model="claude-sonnet-4-5-20250929", usage=litellm.Usage(prompt_tokens=7))
    tell(answer, litellm_params=TOLD_OF_IT, custom_llm_provider="anthropic", model=answer.model)
    origin, event = captured.one_call()
    assert (event.request_model, event.model) == ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929")
    assert (origin.provider, origin.base_host) == ("anthropic", "api.anthropic.com")
    assert (origin.team, origin.user_id) == ("web", "u-5")
    assert (event.usage.input_tokens, event.reported_cost) == (7, "0.25")
    hand_on(**HANDED_ON)
    tell({"response": '{"model": "gpt-4o-2024-08-06", "usage": {"prompt_tokens": 9}}'}, response_cost=0.0)
    assert captured.one().usage.input_tokens == 9
    hand_on(**HANDED_ON)
    request = {**HANDED_ON, "litellm_call_id": "call-1", "litellm_params": TOLD_OF_IT}
    asyncio.run(instance.async_post_call_failure_hook(request, HTTPException(529), None))
    origin, event = captured.one_call()
    assert (event.status, event.http_status, event.request_model) == ("error", 529, "claude-sonnet-4-5")
    assert origin.team == "web"


def test_what_it_hands_on_that_asks_no_model_is_no_call(captured: Captured) -> None:
    hand_on()
    tell({"response": '{"object": "list", "data": []}'}, model="unknown", response_cost=0.0)
    hand_on()
    request = {"litellm_logging_obj": SimpleNamespace(litellm_call_id="call-1")}
    asyncio.run(instance.async_post_call_failure_hook(request, HTTPException(404), None))
    assert captured.all() == []
    assert not requests


def address(path: str, method: str = "POST") -> dict[str, str]:
    return {"url": f"https://api.openai.com/v1/{path}", "request_method": method}


def test_what_it_hands_on_is_the_operation_of_its_address(captured: Captured) -> None:
    """Forms, such as those with an image, are handed on unread; a model may be named by the address alone."""
    hand_on()
    answer = {"response": '{"created": 1785542400, "data": [{"url": "https://example.com/1.png"}]}'}
    tell(answer, model="unknown", response_cost=0.0, passthrough_logging_payload=address("images/edits"))
    event = captured.one()
    assert (event.operation, event.status, event.request_model) == ("image", "ok", None)
    hand_on(model="text-embedding-3-small", input="hello")
    answer = {"response": '{"model": "text-embedding-3-small", "usage": {"prompt_tokens": 2}}'}
    tell(answer, passthrough_logging_payload=address("embeddings"))
    event = captured.one()
    assert (event.operation, event.usage.input_tokens) == ("embeddings", 2)
    hand_on()
    request = {
        "litellm_logging_obj": SimpleNamespace(litellm_call_id="call-1"),
        "passthrough_logging_payload": address("models/gemini-2.5-flash:generateContent"),
    }
    asyncio.run(instance.async_post_call_failure_hook(request, HTTPException(429), None))
    event = captured.one()
    assert (event.operation, event.status, event.http_status) == ("chat", "error", 429)


def test_what_it_hands_on_to_count_tokens_or_look_at_an_earlier_answer_is_no_call(captured: Captured) -> None:
    hand_on(**HANDED_ON)
    counted = {"passthrough_logging_payload": address("messages/count_tokens"), "custom_llm_provider": "anthropic"}
    tell({"response": '{"input_tokens": 9}'}, **counted)
    hand_on()
    answer = {"response": '{"model": "gpt-4o-2024-08-06", "usage": {"prompt_tokens": 9}}'}
    tell(answer, model="unknown", passthrough_logging_payload=address("chat/completions/chatcmpl-1", "GET"))
    assert captured.all() == []
    assert not requests


HASH = "ab" * 32
ALICE = SimpleNamespace(api_key=HASH, user_id="alice", team_alias="web")


def hand_on_to(url: str, method: str = "POST", form: dict[str, str] | None = None, **asked: Any) -> Any:
    """As the proxy does it: JSON it reads at once, all else piece by piece. What it says of where it is recorded."""
    assert tracker.installed is not None
    tracker.installed.pipeline().recorder.store_mark = "here"

    async def relay() -> Any:
        logging = SimpleNamespace(litellm_call_id="call-1")
        await instance.async_pre_call_hook(
            ALICE, None, {**asked, "litellm_logging_obj": logging}, "pass_through_endpoint"
        )
        async with httpx.AsyncClient(headers={"authorization": "Bearer sk-upstream"}) as client:
            files = None if form is None else {"file": ("hello.wav", b"hello")}
            sent = client.build_request(method, url, json=asked or None, data=form, files=files)
            response = await client.send(sent, stream=True)
            if response.headers["content-type"] == "application/json":
                await response.aread()
            headers = await instance.async_post_call_response_headers_hook({}, ALICE, response)
            assert b"".join([piece async for piece in response.aiter_bytes()])
            return headers

    return asyncio.run(relay())


def test_what_it_hands_on_used_is_what_the_provider_says(captured: Captured, provider: StandIn) -> None:
    """Not what LiteLLM makes of it: of an image's tokens it tells nothing, and of some answers nothing at all."""
    assert hand_on_to(f"{provider.base_url}/images/generations", model="gpt-image-1", prompt="a boat")
    assert captured.all() == []
    tell(litellm.ImageResponse(created=1, data=[]), model="gpt-image-1", litellm_params=TOLD_OF_IT)
    origin, event = captured.one_call()
    assert (event.operation, event.request_model, event.http_status) == ("image", "gpt-image-1", 200)
    assert (event.usage.output_tokens, event.reported_cost) == (1056, "0.25")
    assert (origin.team, origin.user_id, origin.api_key) == ("web", "u-5", HASH)


@pytest.mark.parametrize(
    ("answer", "units", "tokens"),
    [
        ({"id": "r-1", "results": [], "meta": {"billed_units": {"search_units": 2}}}, {"searches": 2}, None),
        ({"model": "rank-1", "results": [], "usage": {"prompt_tokens": 9, "total_tokens": 9}}, None, 9),
    ],
)
def test_what_ranks_documents_and_is_handed_on_used_what_its_answer_says(
    captured: Captured, provider: StandIn, answer: Json, units: object, tokens: int | None
) -> None:
    """As Cohere's, which is billed by searches, and as Together's, by tokens."""
    provider.reply = lambda asked: Reply(answer)
    assert hand_on_to(f"{provider.url}/v2/rerank", model="rank-1", query="boats", documents=["a"])
    tell({"response": json.dumps(answer)}, response_cost=0.0, model="rank-1")
    event = captured.one()
    assert (event.operation, event.request_model) == ("rerank", "rank-1")
    assert (event.usage.units, event.usage.input_tokens) == (units, tokens)


def test_a_transcription_that_is_handed_on_is_an_event_at_once(captured: Captured, provider: StandIn) -> None:
    """Of which the callback tells nobody."""
    assert hand_on_to(f"{provider.base_url}/audio/transcriptions", form={"model": "whisper-1"})
    origin, event = captured.one_call()
    assert (event.operation, event.request_model) == ("transcription", "whisper-1")
    assert (origin.team, origin.user_id, event.usage.units) == ("web", "alice", {"seconds": 1})


def test_what_the_callback_gives_up_to_tell_of_is_an_event_after_a_while(
    captured: Captured, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an image that OpenAI edited."""
    monkeypatch.setattr(litellm_requests, "UNTOLD_SECONDS", 0.0)
    assert hand_on_to(f"{provider.base_url}/images/edits", form={"model": "gpt-image-1", "prompt": "a boat"})
    begin(litellm_call_id="call-2")
    origin, event = captured.one_call()
    assert (event.operation, event.request_model, event.usage.output_tokens) == ("image", "gpt-image-1", 1056)
    assert (origin.team, origin.user_id) == ("web", "alice")


@pytest.mark.parametrize("asked_for_usage", [False, True])
def test_counts_that_litellm_makes_up_for_what_it_hands_on_are_not_believed(
    captured: Captured, provider: StandIn, asked_for_usage: bool
) -> None:
    options = {"include_usage": asked_for_usage}
    url = f"{provider.base_url}/chat/completions"
    hand_on_to(url, model="gpt-4o", messages=ASK, stream=True, stream_options=options)
    tell(litellm.ModelResponse(model="gpt-4o", usage=litellm.Usage(prompt_tokens=0, completion_tokens=56)), stream=True)
    event = captured.one()
    assert (event.streamed, event.status, event.model) == (True, "ok", "gpt-4o-2024-08-06")
    assert (event.usage.input_tokens is not None, event.reported_cost is not None) == (asked_for_usage,) * 2
    assert event.usage.input_tokens != 0


def test_a_stream_that_is_handed_on_and_breaks_is_one_event(captured: Captured, provider: StandIn) -> None:
    provider.cut_next(3)
    with pytest.raises(httpx.RemoteProtocolError) as raised:
        hand_on_to(f"{provider.base_url}/chat/completions", model="gpt-4o", messages=ASK, stream=True)
    assert captured.all() == []
    request = {"litellm_call_id": "call-1", "litellm_params": TOLD_OF_IT}
    asyncio.run(instance.async_post_call_failure_hook(request, raised.value, None))
    assert (captured.one().status, requests) == ("error", {})


def test_a_batch_of_claudes_that_is_handed_on_used_what_its_results_say(
    captured: Captured,
    anthropic: AnthropicServer,  # noqa: F811
) -> None:
    batches = f"{anthropic.url}/v1/messages/batches"
    params = {"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": ASK}
    hand_on_to(batches, requests=[{"custom_id": "a", "params": params}, {"custom_id": "b", "params": params}])
    tell(None)
    event = captured.one()
    assert (event.operation, event.awaits) == ("batch", "msgbatch_0000")
    hand_on_to(f"{batches}/msgbatch_0000/results", "GET")
    tell(None)
    assert [(event.completes, event.usage.output_tokens) for _, event in captured.all()] == [("msgbatch_0000", 12)] * 2


def test_a_stream_of_geminis_that_is_handed_on_as_a_list_used_what_its_last_piece_says(
    captured: Captured,
    gemini: GeminiServer,  # noqa: F811
) -> None:
    """As it comes where nobody asked for `alt=sse`; LiteLLM can't read it, and tells nobody. It is an event at once."""
    contents: list[object] = []
    url = f"{gemini.url}/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    assert hand_on_to(url, contents=contents)
    event = captured.one()
    assert (event.request_model, event.model) == ("gemini-2.5-flash", "gemini-2.5-flash-001")
    assert (event.usage.input_tokens, event.usage.output_tokens) == (29, 17)


@pytest.mark.parametrize(("publisher", "read"), [("anthropic", True), ("mistralai", False)])
def test_of_others_models_on_vertex_that_are_asked_as_claude_is_the_callback_is_believed(
    captured: Captured,
    anthropic: AnthropicServer,  # noqa: F811
    publisher: str,
    read: bool,
) -> None:
    url = f"{anthropic.url}/v1/projects/p/locations/l/publishers/{publisher}/models/some-model:rawPredict"
    assert (hand_on_to(url, messages=ASK) is not None) == read
    tell(litellm.ModelResponse(model="some-model", usage=litellm.Usage(prompt_tokens=7, completion_tokens=5)))
    event = captured.one()
    assert (event.usage.input_tokens, event.usage.output_tokens) == ((41, 12) if read else (7, 5))


def test_who_asks_keeps_a_batch_of_geminis_that_is_handed_on(
    captured: Captured,
    gemini: GeminiServer,  # noqa: F811
) -> None:
    """Its answers lie in a file, of which nobody knows here what it is."""
    contents: list[object] = []
    requested = {"inputConfig": {"requests": {"requests": [{"request": {"contents": contents}}]}}}
    url = f"{gemini.url}/v1beta/models/gemini-2.5-flash:batchGenerateContent"
    assert hand_on_to(url, batch=requested) is None
    assert hand_on_to(f"{gemini.url}/v1beta/batches/b-1", "GET") is None
    tell(None)
    assert (captured.all(), requests) == ([], {})


@pytest.mark.parametrize(
    "path", ["/v1/messages/count_tokens", "/v1/projects/p/publishers/anthropic/models/count-tokens:rawPredict"]
)
def test_counted_tokens_that_are_handed_on_are_forgotten_though_the_callback_never_tells_of_them(
    captured: Captured,
    anthropic: AnthropicServer,  # noqa: F811
    path: str,
) -> None:
    """LiteLLM reads them as a message, which fails."""
    assert hand_on_to(f"{anthropic.url}{path}", model="claude-sonnet-4-5", messages=ASK) is None
    assert not requests
    settle_all()
    assert captured.all() == []


def test_tokens_that_could_not_be_counted_are_no_call(captured: Captured) -> None:
    hand_on(**HANDED_ON)
    request = {
        "litellm_logging_obj": SimpleNamespace(litellm_call_id="call-1"),
        "passthrough_logging_payload": address("messages/count_tokens?beta=true"),
    }
    asyncio.run(instance.async_post_call_failure_hook(request, HTTPException(429), None))
    assert (captured.all(), requests) == ([], {})


def test_looks_at_what_an_unknown_provider_does_are_forgotten_though_the_callback_never_tells_of_them(
    captured: Captured, provider: StandIn
) -> None:
    """As of AssemblyAI's transcripts, after which apps look every few seconds."""
    provider.reply = lambda asked: Reply({"id": "t-1", "status": "processing"})
    assert hand_on_to(f"{provider.url}/v2/transcript/t-1", "GET") is None
    assert (captured.all(), requests) == ([], {})


def test_a_request_that_fails_twice_and_then_is_answered_is_one_event(captured: Captured, provider: StandIn) -> None:
    begin()
    for _ in range(2):
        provider.fail_next()
        with pytest.raises(litellm.InternalServerError):
            run(achat(provider, litellm_call_id="call-1"))
    tell(run(achat(provider, litellm_call_id="call-1")))
    event = captured.one()
    assert (event.status, event.error_type, event.http_status, event.attempts) == ("ok", None, 200, 3)


def test_what_is_answered_after_a_tracked_proxy_has_failed_is_an_event_here(provider: StandIn, tmp_path: Path) -> None:
    """That proxy has recorded its own answer, the error, and nothing of whom was asked instead."""
    usage_tracker.install(dsn=f"sqlite:///{tmp_path}/usage.db", ship=False, spool_dir=tmp_path / "spool")
    try:
        assert tracker.installed is not None
        mark = tracker.installed.pipeline().recorder.store_mark
        assert mark is not None
        begin()
        provider.reply = lambda asked: refusal(429, "Busy.")._replace(headers={RECORDED_IN: mark})
        with pytest.raises(litellm.RateLimitError):
            run(achat(provider, litellm_call_id="call-1"))
        provider.reply = lambda asked: None
        tell(run(achat(provider, litellm_call_id="call-1")))
        assert usage_tracker.stats().captured == 1
    finally:
        usage_tracker.uninstall()


def test_what_other_callbacks_send_afterwards_tells_nothing_of_the_request(
    captured: Captured, provider: StandIn
) -> None:
    """As to a service that meters, in the context of the request."""

    async def ask() -> Any:
        await instance.async_pre_call_hook("", None, DATA, "acompletion")
        answer = await achat(provider, litellm_call_id="call-1")
        inside.set(requests["call-1"])
        provider.reply = lambda asked: Reply(status=204)
        await AsyncHTTPHandler().post(provider.url, headers={"authorization": f"Bearer {KEY}"})
        return answer

    tell(asyncio.run(ask()))
    assert captured.one().http_status == 200


def test_each_model_that_a_request_asks_at_the_same_time_is_an_event(captured: Captured, provider: StandIn) -> None:
    """As of `"model": "gpt-4o,gpt-4o-mini"`."""

    async def ask() -> list[Any]:
        await instance.async_pre_call_hook("", None, DATA, "acompletion")
        asked = {"litellm_call_id": "call-1", "metadata": DATA["metadata"]}
        models = ("openai/gpt-4o", "openai/gpt-4o-mini")
        return await asyncio.gather(*(achat(provider, model=model, **asked) for model in models))

    answers = asyncio.run(ask())
    for _ in answers:
        tell(None)
    calls = sorted(captured.all(), key=lambda call: str(call[1].request_model))
    assert [(event.response_id, event.usage.output_tokens, event.attempts) for _, event in calls] == [
        (answer.id, answer.usage.completion_tokens, 1) for answer in answers
    ]
    assert {origin.team for origin, _ in calls} == {"web"}
    assert "0.25" not in {event.reported_cost for _, event in calls}


OTHERS = {"team": "payers", "team_id": "payers", "user_api_key_team_alias": "payers", "project": "payers"}
PROJECT = SimpleNamespace(**vars(ALICE), project_alias="boats")


@pytest.mark.parametrize("models", [["gpt-4o"], ["gpt-4o", "gpt-4o-mini"]])
def test_a_keys_team_and_project_pay_whatever_its_holder_writes(
    captured: Captured, provider: StandIn, models: list[str]
) -> None:
    asked = {**DATA, "metadata": OTHERS, "litellm_metadata": OTHERS}

    async def ask() -> None:
        await instance.async_pre_call_hook(PROJECT, None, asked, "acompletion")
        said = {"litellm_call_id": "call-1", "metadata": OTHERS}
        await asyncio.gather(*(achat(provider, model=f"openai/{model}", **said) for model in models))

    asyncio.run(ask())
    tell(None)
    calls = captured.all()
    assert {(origin.team, origin.project) for origin, _ in calls} == {("web", "boats")}
    assert len(calls) == len(models)


def test_a_keys_team_pays_for_what_is_handed_on_whatever_its_holder_writes(
    captured: Captured, provider: StandIn
) -> None:
    hand_on_to(f"{provider.base_url}/chat/completions", model="gpt-4o", messages=ASK, metadata=OTHERS)
    tell(None, litellm_params={"metadata": {**OTHERS, "user_api_key_team_alias": "web"}})
    assert captured.one_call()[0].team == "web"
    hand_on_to(f"{provider.url}/unknown", model="gpt-4o", metadata=OTHERS)
    tell(litellm.ModelResponse(model="gpt-4o", usage=litellm.Usage(prompt_tokens=7)))
    assert captured.one_call()[0].team == "web"


def test_a_request_that_the_proxy_gives_up_has_its_last_error(captured: Captured, provider: StandIn) -> None:
    begin()
    provider.fail_next(status=429)
    with pytest.raises(litellm.RateLimitError) as raised:
        run(achat(provider, litellm_call_id="call-1"))
    assert captured.all() == []
    asyncio.run(instance.async_post_call_failure_hook(DATA, raised.value, None))
    event = captured.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "RateLimitError", 429)


def test_what_the_callback_never_tells_of_is_an_event_after_a_while_or_at_the_end(
    captured: Captured, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin()
    run(achat(provider, litellm_call_id="call-1"))
    monkeypatch.setattr(litellm_requests, "UNTOLD_SECONDS", 0.0)
    begin(litellm_call_id="call-2")
    assert captured.one().status == "ok"
    settle_all()
    assert captured.one().status == "abandoned"


def test_two_requests_that_chose_the_same_id_are_two_events(captured: Captured) -> None:
    begin()
    begin()
    tell()
    assert len(captured.all()) == 2


def test_calls_that_the_proxy_makes_for_itself_are_calls_of_their_own(captured: Captured, provider: StandIn) -> None:
    begin()
    run(achat(provider, messages=ASK))
    assert captured.one().status == "ok"
    tell()
    assert captured.one().status == "ok"
