"""One call, one event: what the app sees is what it would have seen, and what it used is in the event."""

import asyncio
import gc
import inspect
import os
import re
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from capturing import ASK, KEY, Capturing, since, within
from in_process import async_openai_client

import usage_tracker
import usage_tracker.providers.openai
from usage_tracker import providers, tracker
from usage_tracker.capture import Call, Client, stainless
from usage_tracker.demo.exchange import Reply
from usage_tracker.providers import alike
from usage_tracker.providers.answer import Request

ASKED: dict[str, Any] = {"model": "gpt-4o-mini", "messages": ASK}


def test_a_call_has_its_tokens_models_ids_and_times(capturing: Capturing) -> None:
    answer = capturing.client.chat.completions.create(**ASKED)
    origin, event = capturing.one_call()
    assert answer.usage is not None
    assert (event.usage.input_tokens, event.usage.output_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert (event.operation, event.request_model, event.model) == ("chat", "gpt-4o-mini", answer.model)
    assert (event.response_id, event.status, event.http_status, event.attempts) == (answer.id, "ok", 200, 1)
    assert event.raw == answer.usage.model_dump(exclude_none=True)
    assert 0 < event.duration_ms < 60_000
    assert (origin.sdk, origin.provider, origin.base_host, origin.app) == ("openai", "openai", "127.0.0.1", "tests")


def test_what_a_litellm_proxy_says_that_a_call_cost_is_kept(capturing: Capturing) -> None:
    def reply(cost: str, usage: dict[str, Any]) -> Reply:
        answer = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [], "usage": usage}
        return Reply(answer, headers={"x-litellm-response-cost": cost})

    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    stated = {("2.85e-05", None): "0.0000285", ("0.0012", 0.001): "0.001", ("None", None): None}
    for (header, charge), kept in stated.items():
        answer = reply(header, usage if charge is None else {**usage, "cost": charge})
        capturing.provider.reply = lambda _, answer=answer: answer  # type: ignore[misc]
        capturing.client.chat.completions.create(**ASKED)
        assert capturing.one().reported_cost == kept


def test_an_async_call_is_the_same(capturing: Capturing) -> None:
    async def main() -> Any:
        async with capturing.aclient as client:
            return await client.chat.completions.create(**ASKED)

    answer = asyncio.run(main())
    assert capturing.one().response_id == answer.id


def test_a_call_with_a_key_that_is_no_text_failed(capturing: Capturing) -> None:
    client = capturing.client.with_options(api_key=os.fsdecode(b"sk-test-0123456789-w\xe9yz"))
    with pytest.raises(UnicodeEncodeError):
        client.chat.completions.create(**ASKED)
    origin, event = capturing.one_call()
    assert (event.status, event.error_type) == ("error", "UnicodeEncodeError")
    assert origin.api_key is not None
    assert origin.api_key.endswith("…w?yz")


def test_a_key_is_kept_as_a_fingerprint(capturing: Capturing) -> None:
    capturing.client.chat.completions.create(**ASKED)
    origin, _ = capturing.one_call()
    assert origin.api_key is not None
    assert origin.api_key.endswith("…wxyz")
    assert KEY[:-4] not in origin.api_key


def test_of_a_short_key_no_part_is_kept(capturing: Capturing) -> None:
    """As people make one up for a gateway of their own: its last four would be half of it."""
    for key, shown in (("pa55word", ""), ("pa55word-of-15-c", "…15-c")):
        capturing.client.with_options(api_key=key).chat.completions.create(**ASKED)
        said = capturing.one_call()[0].api_key
        assert said is not None
        assert re.fullmatch(f"[0-9a-f]{{16}}{shown}", said)


@since(1, 106)
def test_a_key_that_the_app_gives_anew_for_each_request_is_not_known(capturing: Capturing) -> None:
    """Such as Entra ID's tokens: the client has that of the request before, and each would be a payer of its own."""
    tokens = iter(["entra-token-0001", "entra-token-0002"])
    with openai.OpenAI(api_key=lambda: next(tokens), base_url=capturing.provider.base_url) as client:
        for _ in range(2):
            client.chat.completions.create(**ASKED)
    assert [origin.api_key for origin, _ in capturing.all()] == [None, None]


@since(3)
def test_what_stands_for_a_key_where_there_is_none_is_no_key(capturing: Capturing) -> None:
    def token() -> str:
        raise LookupError("nobody is logged in")

    identity: Any = {"provider": {"token_type": "jwt", "get_token": token}}
    identity |= {"identity_provider_id": "idp-1", "service_account_id": "account-1"}
    client = openai.OpenAI(workload_identity=identity, base_url=capturing.provider.base_url, max_retries=0)
    with client, pytest.raises((LookupError, openai.OpenAIError)):
        client.chat.completions.create(**ASKED)
    origin, event = capturing.one_call()
    assert (origin.api_key, event.status) == (None, "error")


def test_nothing_of_what_was_said_is_kept(capturing: Capturing) -> None:
    answer = capturing.client.chat.completions.create(**ASKED)
    kept = repr(capturing.one_call())
    assert "Say hello" not in kept
    assert str(answer.choices[0].message.content) not in kept


def test_a_refused_call_is_an_event_with_its_error(capturing: Capturing) -> None:
    capturing.provider.fail_next(1, 429)
    with pytest.raises(openai.RateLimitError):
        capturing.client.chat.completions.create(**ASKED)
    event = capturing.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "RateLimitError", 429)
    assert event.usage.input_tokens is None


def test_retries_are_one_event_that_counts_its_attempts(capturing: Capturing) -> None:
    capturing.provider.fail_next(2, 503, retry_after=0.001)
    capturing.client.with_options(max_retries=2).chat.completions.create(**ASKED)
    assert (capturing.one().attempts, len(capturing.provider.requests)) == (3, 3)


@since(1, 46)  # it tells the server, and so us, how often it has tried
def test_retries_that_all_failed_are_counted_too(capturing: Capturing) -> None:
    capturing.provider.fail_next(2, 503, retry_after=0.001)
    with pytest.raises(openai.InternalServerError):
        capturing.client.with_options(max_retries=1).chat.completions.create(**ASKED)
    assert capturing.one().attempts == 2


def test_a_server_that_can_not_be_reached_is_an_error_without_http_status(capturing: Capturing) -> None:
    client = capturing.client.with_options(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**ASKED)
    event = capturing.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "APIConnectionError", None)


def test_a_cancelled_call_is_cancelled(capturing: Capturing) -> None:
    capturing.provider.delay = 5

    async def main() -> None:
        async with capturing.aclient as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.chat.completions.create(**ASKED), 0.1)

    asyncio.run(main())
    assert capturing.one().status == "cancelled"


pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK's own, of some endpoints

CALLS: dict[str, Any] = {
    "chat": lambda client: client.chat.completions.create(**ASKED),
    "completion": lambda client: client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say hello."),
    "responses": lambda client: client.responses.create(model="gpt-5-mini", input="Say hello."),
    "embeddings": lambda client: client.embeddings.create(model="text-embedding-3-small", input="Say hello."),
    "image": lambda client: client.images.generate(model="gpt-image-1", prompt="A cat"),
    "speech": lambda client: client.audio.speech.create(model="tts-1", voice="alloy", input="Say hello."),
    "transcription": lambda client: client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF")),
    "translation": lambda client: client.audio.translations.create(model="whisper-1", file=("a.wav", b"RIFF")),
    "moderation": lambda client: client.moderations.create(input="Say hello."),
    "batch": lambda client: client.batches.create(
        input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
    ),
}


OPERATIONS = [pytest.param(name, marks=since(1, 66) if name == "responses" else ()) for name in CALLS]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_endpoint_gives_one_event(capturing: Capturing, operation: str) -> None:
    CALLS[operation](capturing.client)
    event = capturing.one()
    assert (event.operation, event.status, event.http_status) == (operation, "ok", 200)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_endpoint_gives_one_event_through_a_raw_response(capturing: Capturing, operation: str) -> None:
    class Raw:
        def __init__(self, wrapped: Any) -> None:
            self._wrapped = wrapped

        def __getattr__(self, name: str) -> Any:
            raw = getattr(self._wrapped, "with_raw_response", None)
            found = getattr(raw, name, None) if raw is not None else None
            return found if callable(found) else Raw(getattr(self._wrapped, name))

    raw = CALLS[operation](Raw(capturing.client))
    assert raw.http_response.status_code == 200
    raw.parse()
    assert capturing.one().operation == operation


def test_an_endpoint_that_the_sdk_has_not_is_read_as_well(capturing: Capturing) -> None:
    client = capturing.client
    kind = type(client.chat.completions.with_raw_response.create(**ASKED).http_response)
    whole = capturing.one()
    response = client.post("/chat/completions", cast_to=kind, body=ASKED)
    assert type(response) is kind
    event = capturing.one()
    assert event.usage == whole.usage
    assert (event.response_id, event.http_status) == (response.json()["id"], 200)


def test_an_absolute_url_says_which_host_is_called(capturing: Capturing) -> None:
    """As its price depends on who serves it; and whether a stream may be asked for its usage."""
    url = capturing.provider.base_url.replace("127.0.0.1", "localhost") + "/chat/completions"
    hosts = []
    for path in (url, "/chat/completions", url):
        capturing.client.post(path, cast_to=object, body=ASKED)
        hosts.append(capturing.one_call()[0].base_host)
    assert hosts == ["localhost", "127.0.0.1", "localhost"]


def test_speech_is_counted_in_characters(capturing: Capturing) -> None:
    CALLS["speech"](capturing.client)
    assert capturing.one().usage.units == {"characters": 10}


@pytest.mark.parametrize("way", [lambda speech: speech, lambda speech: speech.with_raw_response])
def test_speech_as_events_tells_its_tokens(capturing: Capturing, way: Callable[[Any], Any]) -> None:
    speech = way(capturing.client.audio.speech)
    speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Say hello.", extra_body={"stream_format": "sse"})
    event = capturing.one()
    assert (event.usage.input_tokens, event.usage.output_tokens) == (3, 20)
    assert event.usage.units == {"characters": 10}


def test_an_event_stream_that_is_taken_whole_is_read(capturing: Capturing) -> None:
    asked = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
    response = capturing.client.chat.completions.with_raw_response.create(**ASKED, extra_body=asked)
    assert b"[DONE]" in response.http_response.content
    event = capturing.one()
    assert (event.status, event.model) == ("ok", "gpt-4o-mini-2024-07-18")
    assert event.usage.output_tokens


def test_what_was_asked_for_and_not_delivered_is_not_counted(capturing: Capturing) -> None:
    capturing.provider.fail_next(1, 500)
    with pytest.raises(openai.InternalServerError):
        CALLS["speech"](capturing.client)
    assert capturing.one().usage.units is None


@since(1, 66)
def test_what_is_free_or_counted_already_is_no_event(capturing: Capturing) -> None:
    response = CALLS["responses"](capturing.client)
    capturing.one()
    capturing.client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        capturing.client.responses.retrieve("resp_unknown")
    capturing.client.models.list()
    assert capturing.captured == []


def test_azure_is_the_provider_whatever_its_host(capturing: Capturing) -> None:
    client = openai.AzureOpenAI(api_key=KEY, api_version="2024-10-21", azure_endpoint=capturing.provider.url)
    client.chat.completions.create(**{**ASKED, "model": "my-deployment"})
    origin, event = capturing.one_call()
    assert (origin.provider, event.request_model) == ("azure", "my-deployment")
    assert event.model != "my-deployment"
    client.close()


def test_a_client_of_one_deployment_asks_for_that_where_its_calls_name_no_model(capturing: Capturing) -> None:
    """As LangChain's `AzureChatOpenAI` has it: a call of it that failed had no model at all, and an image no price."""
    url, version = capturing.provider.url, "2024-10-21"
    for client in (
        openai.OpenAI(api_key=KEY, base_url=f"{url}/openai/deployments/ours", default_query={"api-version": version}),
        openai.AzureOpenAI(api_key=KEY, api_version=version, base_url=f"{url}/openai/deployments/ours"),
        openai.AzureOpenAI(api_key=KEY, api_version=version, azure_endpoint=url, azure_deployment="ours"),
    ):
        with client:
            client.images.generate(prompt="A cat")
            client.chat.completions.create(**ASKED)
            capturing.provider.fail_next(1, 401)
            with pytest.raises(openai.AuthenticationError):
                client.post("/chat/completions", body={"messages": ASK}, cast_to=object)
        told = [(event.status, event.request_model) for _, event in capturing.all()]
        assert told == [("ok", "ours"), ("ok", "gpt-4o-mini"), ("error", "ours")]


def test_each_client_of_a_deployment_asks_for_its_own_where_calls_name_an_empty_model(capturing: Capturing) -> None:
    for deployment in ("ours", "theirs"):
        url = f"{capturing.provider.url}/openai/deployments/{deployment}"
        with openai.OpenAI(api_key=KEY, base_url=url) as client:
            client.chat.completions.create(**ASKED | {"model": ""})
    assert [event.request_model for _, event in capturing.all()] == ["ours", "theirs"]


@since(1, 92)
def test_structured_output_is_one_call(capturing: Capturing) -> None:
    from pydantic import BaseModel

    class Answer(BaseModel):
        answer: int

    parsed = capturing.client.chat.completions.parse(**ASKED, response_format=Answer)
    assert type(parsed).__name__.startswith("ParsedChatCompletion")
    assert capturing.one().usage.output_tokens


@since(1, 92)
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("operation", ["chat", "responses"])
def test_an_answer_that_is_not_what_was_asked_for_has_used_what_it_says(
    capturing: Capturing, operation: str, asynchronous: bool
) -> None:
    from pydantic import BaseModel, ValidationError, field_validator

    class Answer(BaseModel):
        answer: int

        @field_validator("answer")
        @classmethod
        def is_wanted(cls, answer: int) -> int:
            raise ValueError("another")

    def ask(client: Any) -> Any:
        if operation == "chat":
            return client.chat.completions.parse(**ASKED, response_format=Answer)
        return client.responses.parse(model="gpt-4o-mini", input="Say hello.", text_format=Answer)

    async def ask_in_async() -> None:
        async with capturing.aclient as client:
            await ask(client)

    with pytest.raises(ValidationError):
        asyncio.run(ask_in_async()) if asynchronous else ask(capturing.client)
    event = capturing.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "ValidationError", 200)
    assert (event.model, event.response_id is not None) == ("gpt-4o-mini-2024-07-18", True)
    assert event.usage.input_tokens
    assert event.usage.output_tokens


@since(1, 92)
def test_an_answer_that_was_cut_short_has_used_what_it_says(capturing: Capturing) -> None:
    from pydantic import BaseModel

    class Answer(BaseModel):
        answer: int

    choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": '{"ans'}}
    usage = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice]}
    capturing.provider.reply = lambda asked: Reply({**body, "usage": usage})
    with pytest.raises(openai.LengthFinishReasonError):
        capturing.client.chat.completions.parse(**ASKED, response_format=Answer)
    event = capturing.one()
    assert (event.status, event.error_type) == ("error", "LengthFinishReasonError")
    assert (event.model, event.usage.input_tokens, event.usage.output_tokens) == ("gpt-4o", 8, 3)


def test_callables_made_before_the_call_are_covered(capturing: Capturing) -> None:
    create = capturing.client.chat.completions.create
    for call in (create, partial(create, temperature=0), capturing.client.chat.completions.with_raw_response.create):
        call(**ASKED)
        assert capturing.one().status == "ok"


def test_the_outermost_call_is_the_one_that_counts(capturing: Capturing) -> None:
    with within(outer_call(capturing)) as outer:
        capturing.client.chat.completions.create(**ASKED)
    assert capturing.captured == []
    outer.finish()
    assert (capturing.one_call()[0].sdk, outer.http_status) == ("outer", 200)


class Interrupted(Call):
    """A call that Ctrl-C interrupts at the one moment at which `with` can't tell it any more."""

    def __exit__(self, *error: object) -> bool:
        raise KeyboardInterrupt


def test_a_call_that_was_interrupted_while_it_was_left_is_no_outer_one(capturing: Capturing) -> None:
    assert tracker.installed is not None
    recorder = tracker.installed.pipeline().recorder
    call = Interrupted(providers.openai, recorder, Client("outer"), Request("chat"), streamed=False)
    with pytest.raises(KeyboardInterrupt), call:
        pass
    capturing.client.chat.completions.create(**ASKED)
    events = [(origin.sdk, event.status) for origin, event in capturing.all()]
    assert events == [("outer", "cancelled"), ("openai", "ok")]


def test_what_a_call_left_behind_makes_calls_of_its_own(capturing: Capturing) -> None:
    with outer_call(capturing) as outer:
        left_behind = copy_context()
    outer.finish()
    capturing.one()
    left_behind.run(lambda: capturing.client.chat.completions.create(**ASKED))
    assert capturing.one_call()[0].sdk == "openai"


def test_tasks_that_share_a_context_keep_their_own(capturing: Capturing) -> None:
    async def main() -> list[Any]:
        async with capturing.aclient as client:
            shared = copy_context()
            asked = [asyncio.create_task(client.chat.completions.create(**ASKED), context=shared) for _ in range(3)]
            return await asyncio.gather(*asked)

    answers = asyncio.run(main())
    told = sorted((event.status, str(event.response_id)) for _, event in capturing.captured)
    assert told == sorted(("ok", answer.id) for answer in answers)


def test_a_call_that_goes_with_its_event_loop_is_cancelled_without_a_word(capturing: Capturing) -> None:
    async def ask() -> None:
        reached = asyncio.Event()

        async def never(_: Any) -> Any:
            reached.set()
            await asyncio.Event().wait()

        client = async_openai_client(never)  # type: ignore[arg-type]  # the transport awaits it
        asyncio.create_task(client.chat.completions.create(**ASKED))  # noqa: RUF006  nobody waits for it
        await reached.wait()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask())
    loop.close()
    assert [(event.status, event.error_type) for _, event in capturing.all()] == [("cancelled", "GeneratorExit")]


def outer_call(capturing: Capturing) -> Call:
    """A call of an SDK that calls models through openai's."""
    assert tracker.installed is not None
    recorder = tracker.installed.pipeline().recorder
    return Call(providers.openai, recorder, Client("outer"), Request("chat"), streamed=False)


def test_who_a_call_is_for_comes_from_scope_and_request(capturing: Capturing) -> None:
    with usage_tracker.attribute(project="alpha", tags=["tier:pro"]):
        capturing.client.chat.completions.create(
            **ASKED, user="u-1", extra_body={"metadata": {"tags": ["job:7"], "team": "core"}}
        )
    origin, _ = capturing.one_call()
    assert (origin.project, origin.team, origin.user_id) == ("alpha", "core", "u-1")
    assert set(origin.tags) == {"tier:pro", "job:7"}


def test_what_the_scope_says_goes_before_what_the_request_says(capturing: Capturing) -> None:
    with usage_tracker.attribute(user="scope"):
        capturing.client.chat.completions.create(**ASKED, user="request")
    assert capturing.one_call()[0].user_id == "scope"


def test_a_stream_belongs_to_who_started_it(capturing: Capturing) -> None:
    with usage_tracker.attribute(project="alpha"):
        stream = capturing.client.chat.completions.create(**ASKED, stream=True)
    with usage_tracker.attribute(project="beta"):
        list(stream)
    assert capturing.one_call()[0].project == "alpha"


def test_concurrent_calls_keep_their_own(capturing: Capturing) -> None:
    async def ask(client: Any, number: int) -> tuple[str, str]:
        with usage_tracker.attribute(user=f"u-{number}"):
            answer = await client.chat.completions.create(**ASKED)
        return f"u-{number}", answer.id

    async def main() -> list[tuple[str, str]]:
        async with capturing.aclient as client:
            return await asyncio.gather(*(ask(client, number) for number in range(20)))

    expected = set(asyncio.run(main()))
    assert {(origin.user_id, event.response_id) for origin, event in capturing.captured} == expected


def test_threads_share_a_client(capturing: Capturing) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: capturing.client.chat.completions.create(**ASKED).id, range(40)))
    assert sorted(str(event.response_id) for _, event in capturing.captured) == sorted(answers)


def test_the_modules_own_client_goes_wherever_it_is_sent(capturing: Capturing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "api_key", KEY)
    monkeypatch.setattr(openai, "http_client", capturing.client._client)
    hosts = []
    for host in ("127.0.0.1", "localhost"):
        monkeypatch.setattr(openai, "base_url", capturing.provider.base_url.replace("127.0.0.1", host) + "/")
        openai.chat.completions.create(**ASKED)
        hosts.append(capturing.one_call()[0].base_host)
    openai._reset_client()  # as the tests of the SDK do
    assert hosts == ["127.0.0.1", "localhost"]


def test_a_client_may_go_when_the_names_of_our_modules_are_gone(
    capturing: Capturing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the interpreter's end they are None, and what Python complains of then is on the app's stderr."""
    complaints: list[Any] = []
    with monkeypatch.context() as end:
        end.setattr(sys, "unraisablehook", complaints.append)
        client = openai.OpenAI(api_key="sk-x", base_url=capturing.provider.base_url)
        gone = weakref.ref(client)
        client.chat.completions.create(**ASKED)
        client.close()
        for name, value in list(vars(stainless).items()):
            if inspect.isfunction(value):
                end.setattr(stainless, name, None)
        del client
        gc.collect()
        assert gone() is None
    assert complaints == []


@pytest.mark.guarded_errors_expected
def test_an_error_of_ours_is_not_the_apps(
    capturing: Capturing, monkeypatch: pytest.MonkeyPatch, guarded_errors: list[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("ours")

    for place in ("read_request", "observe", "usage_of"):
        before = len(guarded_errors)
        with monkeypatch.context() as broken:
            broken.setattr(alike, "plans", {})  # or answers like earlier ones are read by what was learned of those
            broken.setattr(f"usage_tracker.providers.openai.{place}", fail)
            assert capturing.client.chat.completions.create(**ASKED).choices
            assert [chunk for chunk in capturing.client.chat.completions.create(**ASKED, stream=True) if chunk.choices]
        assert len(guarded_errors) > before, place


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"status_code": 429}, 429),
        ({"code": 503}, 503),
        ({"status_code": None, "code": 100}, 100),
        ({"code": 599}, 599),
        ({"code": 600}, None),
        ({"code": "invalid"}, None),
        ({"code": 1006}, None),
        ({}, None),
    ],
)
def test_an_errors_http_status_is_what_the_sdk_calls_so(
    capturing: Capturing, told: dict[str, object], status: int | None
) -> None:
    error = RuntimeError()
    vars(error).update(told)
    with pytest.raises(RuntimeError), outer_call(capturing):
        raise error
    assert capturing.one().http_status == status


def test_an_errors_http_status_may_be_that_of_its_class(capturing: Capturing) -> None:
    class UnavailableError(Exception):
        code = 503

    with pytest.raises(UnavailableError), outer_call(capturing):
        raise UnavailableError
    assert capturing.one().http_status == 503


@pytest.mark.parametrize(("said", "attempts"), [("2", 3), ("many", 1), ("", 1)])
def test_attempts_are_told_by_the_request_of_an_error_or_of_what_it_came_of(
    capturing: Capturing, said: str, attempts: int
) -> None:
    cause = ConnectionError()
    vars(cause)["request"] = SimpleNamespace(headers={"x-stainless-retry-count": said})
    with pytest.raises(RuntimeError), outer_call(capturing):
        raise RuntimeError from cause
    assert capturing.one().attempts == attempts


def test_requests_that_an_sdk_shows_us_are_counted_as_attempts(capturing: Capturing) -> None:
    with outer_call(capturing) as outer:
        outer.attempted()
        outer.attempted()
    outer.finish()
    assert capturing.one().attempts == 2


def test_an_errors_property_is_not_read(capturing: Capturing) -> None:
    class ForeignError(Exception):
        @property
        def code(self) -> int:
            raise AssertionError("it would warn")

    with pytest.raises(ForeignError), outer_call(capturing):
        raise ForeignError
    assert capturing.one().http_status is None
