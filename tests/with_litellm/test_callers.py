"""Frameworks above the SDKs that want LiteLLM or an older openai: each model call is one event."""

import asyncio
from typing import Any

import pytest
from budgeted import budget, known
from capturing import KEY, Captured
from pydantic import BaseModel

from usage_tracker import BudgetExceeded, attribute, measure
from usage_tracker.attribution import current
from usage_tracker.demo.standin import StandIn
from usage_tracker.event import UsageEvent


def used(event: UsageEvent) -> tuple[int | None, int | None]:
    return event.usage.input_tokens, event.usage.output_tokens


def test_dspy(captured: Captured, provider: StandIn) -> None:
    """Unless it is told to use LiteLLM, it has an HTTP client of its own, which no SDK sees."""
    import dspy

    model = dspy.LM("openai/gpt-4o-mini", api_key=KEY, api_base=provider.base_url, cache=False, engine="litellm")
    model("Say hello.")
    origin, event = captured.one_call()
    told = model.history[-1]["usage"]
    assert (origin.sdk, event.status) == ("litellm", "ok")
    assert used(event) == (told["prompt_tokens"], told["completion_tokens"])


def test_smolagents(captured: Captured, provider: StandIn) -> None:
    from smolagents import LiteLLMModel, OpenAIModel

    asked: Any = [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]
    for model, sdk in (
        (OpenAIModel("gpt-4o-mini", api_base=provider.base_url, api_key=KEY), "openai"),
        (LiteLLMModel("openai/gpt-4o-mini", api_base=provider.base_url, api_key=KEY), "litellm"),
    ):
        told = model.generate(asked).token_usage
        origin, event = captured.one_call()
        assert origin.sdk == sdk
        assert used(event) == (told.input_tokens, told.output_tokens)


def test_llama_index(captured: Captured, provider: StandIn) -> None:
    from llama_index.llms.openai import OpenAI

    model = OpenAI(model="gpt-4o-mini", api_key=KEY, api_base=provider.base_url)
    told = model.complete("Say hello.").raw.usage
    assert used(captured.one()) == (told.prompt_tokens, told.completion_tokens)
    list(model.stream_complete("Say hello."))
    event = captured.one()
    assert (event.streamed, event.status) == (True, "ok")


class TestLlamaIndex:
    """Who calls are for, through its threads, tasks and callbacks."""

    @pytest.fixture
    def model(self, provider: StandIn) -> Any:
        from llama_index.llms.openai import OpenAI

        return OpenAI(model="gpt-4o-mini", api_key=KEY, api_base=provider.base_url)

    def test_tasks_that_run_at_once(self, captured: Captured, model: Any) -> None:
        from llama_index.core.async_utils import run_jobs

        async def ask(user: str) -> None:
            with attribute(user=user):
                await run_jobs([model.acomplete("Say hello.") for _ in range(2)])

        async def main() -> None:
            await asyncio.gather(ask("u-1"), ask("u-2"))

        asyncio.run(main())
        assert sorted(str(origin.user_id) for origin, _ in captured.all()) == ["u-1", "u-1", "u-2", "u-2"]

    def test_callbacks(self, captured: Captured, model: Any) -> None:
        from llama_index.core.callbacks import CallbackManager
        from llama_index.core.callbacks.base_handler import BaseCallbackHandler

        seen = []

        class Watching(BaseCallbackHandler):  # type: ignore[misc]  # it is not installed where types are checked
            def on_event_start(self, *args: Any, **kwargs: Any) -> str:
                seen.append(current.get().user)
                return ""

            def on_event_end(self, *args: Any, **kwargs: Any) -> None:
                seen.append(current.get().user)

            def start_trace(self, trace_id: str | None = None) -> None: ...
            def end_trace(self, *args: Any, **kwargs: Any) -> None: ...

        model.callback_manager = CallbackManager([Watching([], [])])
        with attribute(user="u-1"):
            model.complete("Say hello.")
        assert seen
        assert set(seen) == {"u-1"}
        assert captured.one_call()[0].user_id == "u-1"

    def test_a_chat_whose_answer_a_thread_of_its_own_reads(self, captured: Captured, model: Any) -> None:
        from llama_index.core.chat_engine import SimpleChatEngine
        from llama_index.core.memory import ChatMemoryBuffer

        memory = ChatMemoryBuffer.from_defaults()  # the default one leaves a database open
        engine = SimpleChatEngine.from_defaults(llm=model, memory=memory)
        with attribute(user="u-1"), measure() as used:
            answer = engine.stream_chat("Say hello.")
        assert list(answer.response_gen)
        origin, event = captured.one_call()
        assert (origin.user_id, event.streamed, event.status, used.calls) == ("u-1", True, "ok", 1)

    def test_a_refusal_is_neither_wrapped_nor_retried(self, captured: Captured, model: Any, provider: StandIn) -> None:
        captured.hold_to(known(budget(), spent="1"))
        for ask in (
            lambda: model.complete("Say hello."),
            lambda: list(model.stream_complete("Say hello.")),
            lambda: asyncio.run(model.acomplete("Say hello.")),
        ):
            with pytest.raises(BudgetExceeded):
                ask()
        assert provider.requests == []


class Person(BaseModel):
    """What the model is asked for."""

    name: str
    age: int


def test_instructor(captured: Captured, provider: StandIn) -> None:
    import instructor
    import openai

    asked: Any = {"model": "gpt-4o-mini", "response_model": Person, "messages": [{"role": "user", "content": "x"}]}
    with openai.OpenAI(api_key=KEY, base_url=provider.base_url) as bare:
        client = instructor.from_openai(bare, mode=instructor.Mode.JSON_SCHEMA)
        person, answer = client.create_with_completion(**asked)
        assert isinstance(person, Person)
        assert used(captured.one()) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
        list(client.create_partial(**asked))
        event = captured.one()
        assert (event.streamed, event.status) == (True, "ok")
