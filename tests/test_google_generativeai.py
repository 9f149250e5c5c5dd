"""The legacy SDK of Gemini, over REST and gRPC: one call of a model, one event, and the app notices nothing."""

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from budgeted import budget, known
from capturing import Captured, within
from generative_service import MODEL, OVERLOADED, GenerativeService, chunk, genai
from google.ai.generativelanguage_v1beta import GenerativeServiceAsyncClient, GenerativeServiceClient
from google.api_core.exceptions import GoogleAPICallError
from google.generativeai.types import BlockedPromptException, GenerateContentResponse
from leaving import leave_by_break, leave_by_exception

import usage_tracker
from usage_tracker import tracker
from usage_tracker.capture import Call, Client
from usage_tracker.providers import google_generativeai
from usage_tracker.providers.answer import Request
from usage_tracker.sdk_coverage import covered

KEY = "AIza-0123456789-wxyz"
TOLD = {
    "promptTokenCount": 12,
    "candidatesTokenCount": 6,
    "thoughtsTokenCount": 9,
    "totalTokenCount": 27,
    "cachedContentTokenCount": 4,
}
ONCE = {"request_options": {"retry": None}}

leaves_sockets = pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
"""The SDK never closes the socket of a stream over REST that is dropped."""


@pytest.fixture(scope="module")
def running() -> Iterator[GenerativeService]:
    with GenerativeService() as running:
        yield running


@pytest.fixture
def service(running: GenerativeService) -> GenerativeService:
    vars(running).update(answers=[], failure=None, breaks_after=None, requests=[])
    running.answer = [
        chunk("He", promptTokenCount=12, totalTokenCount=12),
        chunk("ll", promptTokenCount=12, candidatesTokenCount=3, totalTokenCount=15),
        chunk("o", ends=True, **TOLD),
    ]
    genai.configure(api_key=KEY, transport="rest", client_options={"api_endpoint": running.url})
    return running


@pytest.fixture(params=["rest", "grpc"])
def model(request: pytest.FixtureRequest, service: GenerativeService, captured: Captured) -> Any:
    """A model whose requests go over that transport."""
    made = genai.GenerativeModel("gemini-2.5-flash")
    if request.param == "grpc":
        made._client = service.client()
    return made


def ask(service: GenerativeService, do: Callable[[Any], Any]) -> Any:
    """What a coroutine function gives for a model whose async requests go over gRPC, the only way that they work."""

    async def main() -> Any:
        made = genai.GenerativeModel("gemini-2.5-flash")
        made._async_client = service.async_client()
        return await do(made)

    return asyncio.run(main())


def test_a_call_has_its_tokens_and_models(model: Any, captured: Captured) -> None:
    answer = model.generate_content("Say hello.")
    assert type(answer) is GenerateContentResponse
    event = captured.one()
    assert (event.operation, event.status, event.streamed) == ("chat", "ok", False)
    assert (event.request_model, event.model) == ("gemini-2.5-flash", MODEL)
    assert (event.usage.input_tokens, event.usage.output_tokens) == (12, 15)
    assert (event.usage.reasoning_tokens, event.usage.cache_read_tokens) == (9, 4)
    assert not event.usage.estimated
    assert event.duration_ms > 0


def test_a_call_belongs_to_the_key_host_and_scope_that_it_was_made_with(
    service: GenerativeService, captured: Captured
) -> None:
    with usage_tracker.attribute(project="alpha"):
        genai.GenerativeModel("gemini-2.5-flash").generate_content("Say hello.")
    origin, _ = captured.one_call()
    assert (origin.sdk, origin.provider, origin.base_host) == ("google-generativeai", "gemini", "127.0.0.1")
    assert origin.project == "alpha"
    assert origin.api_key is not None
    assert origin.api_key.endswith("…wxyz")
    assert KEY[:-4] not in origin.api_key


def test_the_store_is_told_its_version_and_not_that_of_the_clients_it_is_made_of(captured: Captured) -> None:
    assert tracker.installed
    versions = {sdk.name: sdk.version for sdk in covered(tracker.installed.patches.states())}
    assert versions["google-generativeai"] == genai.__version__


def test_nothing_of_what_was_said_is_kept(model: Any, captured: Captured) -> None:
    assert model.generate_content("Say hello.").text == "o"
    list(model.generate_content("Say hello.", stream=True))
    kept = repr(captured.all())
    assert "Say hello" not in kept
    assert "'o'" not in kept


def test_an_async_call_is_the_same(service: GenerativeService, captured: Captured) -> None:
    answer = ask(service, lambda model: model.generate_content_async("Say hello."))
    assert type(answer).__name__ == "AsyncGenerateContentResponse"
    assert captured.one().usage.output_tokens == 15


def test_over_grpc_what_the_sdk_has_no_name_for_is_told(service: GenerativeService, captured: Captured) -> None:
    audio = [{"modality": "TEXT", "tokenCount": 2}, {"modality": "AUDIO", "tokenCount": 10}]
    service.answer = [chunk(ends=True, **TOLD | {"toolUsePromptTokenCount": 3}, promptTokensDetails=audio)]
    made = genai.GenerativeModel("gemini-2.5-flash")
    made._client = service.client()
    made.generate_content("Say hello.")
    event = captured.one()
    usage = event.usage
    assert (usage.input_tokens, usage.tool_tokens, usage.input_audio_tokens) == (15, 3, 10)
    assert (usage.output_tokens, usage.reasoning_tokens) == (15, 9)
    assert event.raw == {**TOLD, "toolUsePromptTokenCount": 3, "promptTokensDetails": audio}


def test_a_stream_is_read_to_its_end(model: Any, captured: Captured) -> None:
    answer = model.generate_content("Say hello.", stream=True)
    assert type(answer) is GenerateContentResponse
    assert [piece.text for piece in answer] == ["He", "ll", "o"]
    assert [piece.text for piece in answer] == ["He", "ll", "o"]
    assert (answer.text, answer.usage_metadata.total_token_count) == ("Hello", 27)
    event = captured.one()
    assert (event.status, event.streamed, event.usage.output_tokens) == ("ok", True, 15)
    assert event.ttft_ms is not None
    assert 0 < event.ttft_ms <= event.duration_ms


def test_a_stream_is_resolved(model: Any, captured: Captured) -> None:
    answer = model.generate_content("Say hello.", stream=True)
    answer.resolve()
    assert answer.text == "Hello"
    assert captured.one().status == "ok"


@leaves_sockets
def test_what_a_stream_pulls_from_looks_like_itself(model: Any) -> None:
    iterator = model.generate_content("Say hello.", stream=True)._iterator
    own = type(iterator).__mro__[1]
    assert type(iterator).__name__ == own.__name__ in ("ResponseIterator", "_StreamingResponseIterator")
    iterator.cancel()


def leave_unread(answer: Any) -> None:
    """Nothing but the first chunk, which the SDK has fetched, is read."""


@leaves_sockets
@pytest.mark.parametrize("leave", [leave_by_break, leave_by_exception, leave_unread])
def test_a_stream_that_is_left_early_is_abandoned_with_what_is_known(
    model: Any, captured: Captured, leave: Callable[[Any], None]
) -> None:
    leave(model.generate_content("Say hello.", stream=True))
    event = captured.one()
    assert (event.status, event.usage.input_tokens, event.usage.reasoning_tokens) == ("abandoned", 12, None)
    assert event.usage.output_tokens in (3, None)


@leaves_sockets
def test_a_stream_that_breaks_is_an_error(model: Any, service: GenerativeService, captured: Captured) -> None:
    service.breaks_after = 2
    with pytest.raises((GoogleAPICallError, ValueError)) as raised:
        list(model.generate_content("Say hello.", stream=True))
    event = captured.one()
    assert (event.status, event.error_type) == ("error", raised.type.__name__)
    assert event.usage.input_tokens == 12


def test_a_stream_belongs_to_who_started_it(model: Any, captured: Captured) -> None:
    with usage_tracker.attribute(project="alpha"):
        answer = model.generate_content("Say hello.", stream=True)
    with usage_tracker.attribute(project="beta"):
        answer.resolve()
    assert captured.one_call()[0].project == "alpha"


def test_an_async_stream_is_read_to_its_end(service: GenerativeService, captured: Captured) -> None:
    async def read(model: Any) -> list[str]:
        answer = await model.generate_content_async("Say hello.", stream=True)
        return [piece.text async for piece in answer]

    assert ask(service, read) == ["He", "ll", "o"]
    event = captured.one()
    assert (event.status, event.streamed, event.usage.output_tokens) == ("ok", True, 15)


def test_an_async_stream_that_is_left_early_is_abandoned(service: GenerativeService, captured: Captured) -> None:
    async def leave(model: Any) -> None:
        async for _ in await model.generate_content_async("Say hello.", stream=True):
            break

    ask(service, leave)
    assert captured.one().status == "abandoned"


def test_an_async_stream_that_breaks_is_an_error(service: GenerativeService, captured: Captured) -> None:
    service.breaks_after = 2

    async def read(model: Any) -> None:
        answer = await model.generate_content_async("Say hello.", stream=True)
        with pytest.raises(GoogleAPICallError):
            await answer.resolve()

    ask(service, read)
    event = captured.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "InternalServerError", 500)


def test_an_async_stream_that_is_cancelled_says_so(captured: Captured) -> None:
    async def read(model: Any) -> None:
        answer = await model.generate_content_async("Say hello.", stream=True)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(answer.resolve(), 0.05)

    with GenerativeService() as service:
        service.answer = [chunk(promptTokenCount=12, totalTokenCount=12)] * 2
        service.waits_after = 1
        ask(service, read)
    event = captured.one()
    assert (event.status, event.error_type) == ("cancelled", "CancelledError")


def test_a_refused_call_is_an_error_with_its_status(model: Any, service: GenerativeService, captured: Captured) -> None:
    service.failure = OVERLOADED
    for stream in (False, True):
        with pytest.raises(GoogleAPICallError) as raised:
            model.generate_content("Say hello.", stream=stream, **ONCE)
        event = captured.one()
        assert (event.status, event.error_type, event.http_status) == ("error", raised.type.__name__, 429)
        assert event.usage.input_tokens is None


def test_what_never_becomes_a_request_is_no_call(model: Any, service: GenerativeService, captured: Captured) -> None:
    with pytest.raises(TypeError):
        model.generate_content("")
    assert captured.all() == []
    assert service.requests == []


@leaves_sockets
def test_a_prompt_that_was_blocked_is_a_call(model: Any, service: GenerativeService, captured: Captured) -> None:
    blocked = {"promptFeedback": {"blockReason": 1}, "usageMetadata": {"promptTokenCount": 12, "totalTokenCount": 12}}
    service.answer = [blocked]
    with pytest.raises(BlockedPromptException):
        model.start_chat().send_message("Say hello.")
    with pytest.raises(BlockedPromptException):
        list(model.generate_content("Say hello.", stream=True))
    found = [(event.status, event.usage.input_tokens, event.usage.output_tokens) for _, event in captured.all()]
    assert found == [("ok", 12, 0)] * 2


def test_each_turn_of_a_chat_is_a_call(model: Any, captured: Captured) -> None:
    chat = model.start_chat()
    chat.send_message("Say hello.")
    chat.send_message("And now?", stream=True).resolve()
    assert [(event.status, event.streamed) for _, event in captured.all()] == [("ok", False), ("ok", True)]
    assert len(chat.history) == 4


def test_each_round_of_function_calling_is_a_call(service: GenerativeService, captured: Captured) -> None:
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    wants = chunk(ends=True, promptTokenCount=12, candidatesTokenCount=6, totalTokenCount=18)
    wants["candidates"][0]["content"]["parts"] = [{"functionCall": {"name": "double", "args": {"number": 4}}}]
    service.answers = [[wants]]
    chat = genai.GenerativeModel("gemini-2.5-flash", tools=[double]).start_chat(enable_automatic_function_calling=True)
    assert chat.send_message("Double four.").text == "o"
    assert [event.usage.output_tokens for _, event in captured.all()] == [6, 15]

    async def send(model: Any) -> Any:
        service.answers = [[wants]]
        chat = genai.GenerativeModel("gemini-2.5-flash", tools=[double]).start_chat(
            enable_automatic_function_calling=True
        )
        chat.model._async_client = model._async_client
        return await chat.send_message_async("Double four.")

    assert ask(service, send).text == "o"
    assert [event.usage.output_tokens for _, event in captured.all()] == [6, 15]


def test_an_embedding_is_a_call_whose_tokens_nobody_tells(service: GenerativeService, captured: Captured) -> None:
    assert genai.embed_content("models/text-embedding-004", "hello")["embedding"] == [0.5]
    genai.embed_content(model="models/text-embedding-004", content="hello", client=service.client())
    events = [event for _, event in captured.all()]
    assert [(event.operation, event.request_model, event.status) for event in events] == [
        ("embeddings", "text-embedding-004", "ok")
    ] * 2
    assert [event.usage.input_tokens for event in events] == [None, None]


def test_an_async_embedding_is_the_same(service: GenerativeService, captured: Captured) -> None:
    def embed(model: Any) -> Any:
        return genai.embed_content_async(model="models/text-embedding-004", content="hello", client=model._async_client)

    assert ask(service, embed)["embedding"] == [0.5]
    assert captured.one().operation == "embeddings"


def test_a_long_list_is_embedded_in_several_calls(service: GenerativeService, captured: Captured) -> None:
    assert len(genai.embed_content("models/text-embedding-004", ["hello"] * 250)["embedding"]) == 250
    assert len(captured.all()) == len(service.requests) == 3


def test_counting_tokens_is_no_call(captured: Captured) -> None:
    methods = vars(GenerativeServiceClient)
    patched = {name for name, method in methods.items() if type(method).__name__ == "Patched"}
    assert "generate_content" in patched
    assert "count_tokens" in methods.keys() - patched


def test_whatever_was_taken_hold_of_before_is_covered(service: GenerativeService, captured: Captured) -> None:
    usage_tracker.uninstall()
    model, embed = genai.GenerativeModel("gemini-2.5-flash"), genai.embed_content
    model.generate_content("Say hello.")
    held, stream = model.generate_content, model.generate_content("Say hello.", stream=True)
    usage_tracker.install(ship=False, app="tests")
    captured = Captured()
    held("Say hello.")
    embed("models/text-embedding-004", "hello")
    stream.resolve()
    assert [event.operation for _, event in captured.all()] == ["chat", "embeddings"]


def test_a_stream_that_is_open_when_we_leave_goes_on(model: Any, captured: Captured) -> None:
    answer = model.generate_content("Say hello.", stream=True)
    usage_tracker.uninstall()
    answer.resolve()
    assert answer.text == "Hello"


def test_the_outermost_call_is_the_one_that_counts(model: Any, captured: Captured) -> None:
    assert tracker.installed is not None
    recorder = tracker.installed.pipeline().recorder
    with within(Call(google_generativeai, recorder, Client("outer"), Request("chat"), streamed=False)) as outer:
        model.generate_content("Say hello.")
    outer.finish()
    assert captured.one_call()[0].sdk == "outer"


@pytest.mark.parametrize("method", ["generate_content", "stream_generate_content", "embed_content"])
def test_the_service_clients_methods_stay_what_they_were(captured: Captured, method: str) -> None:
    for client in (GenerativeServiceClient, GenerativeServiceAsyncClient):
        patched = getattr(client, method)
        usage_tracker.uninstall()
        original = getattr(client, method)
        assert type(original) is type(lambda: None)
        assert inspect.signature(patched) == inspect.signature(original)
        assert inspect.iscoroutinefunction(patched) == inspect.iscoroutinefunction(original)
        assert (patched.__name__, patched.__doc__) == (original.__name__, original.__doc__)
        usage_tracker.install(ship=False, app="tests")


def test_answers_can_be_copied_and_pickled_as_before(model: Any) -> None:
    answer = model.generate_content("Say hello.")
    for again in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer), copy.copy(answer)):
        assert (type(again), again.text) == (type(answer), answer.text)


def test_a_request_may_be_a_dict_or_arguments(service: GenerativeService, captured: Captured) -> None:
    client: Any = service.client()
    contents = [{"parts": [{"text": "Say hello."}]}]
    client.generate_content({"model": "models/gemini-2.5-flash", "contents": contents})
    client.generate_content(model="models/gemini-2.5-flash", contents=contents)
    assert [event.request_model for _, event in captured.all()] == ["gemini-2.5-flash"] * 2


def test_a_server_that_can_not_be_reached_is_an_error(captured: Captured) -> None:
    channel = grpc.insecure_channel("127.0.0.1:9")
    transport = GenerativeServiceClient.get_transport_class("grpc")(channel=channel)
    model = genai.GenerativeModel("gemini-2.5-flash")
    model._client = GenerativeServiceClient(transport=transport)
    with pytest.raises(GoogleAPICallError):
        model.generate_content("Say hello.", **ONCE)
    event = captured.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "ServiceUnavailable", 503)


@pytest.mark.guarded_errors_expected
def test_an_error_of_ours_is_not_the_apps(
    service: GenerativeService, captured: Captured, monkeypatch: pytest.MonkeyPatch, guarded_errors: list[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("ours")

    model = genai.GenerativeModel("gemini-2.5-flash")
    for place in ("read_request", "observe", "usage_of"):
        before = len(guarded_errors)
        with monkeypatch.context() as broken:
            broken.setattr(f"usage_tracker.providers.google_generativeai.{place}", fail)
            assert model.generate_content("Say hello.").text == "o"
            assert len(list(model.generate_content("Say hello.", stream=True))) == 3
        assert len(guarded_errors) > before, place


def test_a_budget_refuses_a_call_before_its_request(model: Any, service: GenerativeService) -> None:
    assert tracker.installed is not None
    tracker.installed.pipeline().enforcing.use(known(budget(), spent="1"))
    for stream in (False, True):
        with pytest.raises(usage_tracker.BudgetExceeded):
            model.generate_content("Hi", stream=stream)

    async def work(made: Any) -> None:
        for stream in (False, True):
            with pytest.raises(usage_tracker.BudgetExceeded):
                await made.generate_content_async("Hi", stream=stream)

    ask(service, work)
    assert service.requests == []
