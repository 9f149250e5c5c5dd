"""Frameworks above the SDKs that take the newest openai: whatever they do with it, each model call is one event."""

import asyncio
from typing import Any

import pytest
from anthropic_server import AnthropicServer
from budgeted import budget, known
from capturing import KEY, Captured
from gemini_server import GeminiServer

from usage_tracker import BudgetExceeded, attribute, measure
from usage_tracker.attribution import current
from usage_tracker.demo.standin import StandIn
from usage_tracker.event import UsageEvent

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks' own


def used(event: UsageEvent) -> tuple[int | None, int | None]:
    return event.usage.input_tokens, event.usage.output_tokens


class TestLangchainOpenai:
    @pytest.fixture
    def model(self, provider: StandIn) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model="gpt-4o-mini", api_key=KEY, base_url=provider.base_url, stream_usage=True)

    def test_invoke_is_one_event_with_the_frameworks_own_figures(self, captured: Captured, model: Any) -> None:
        told = model.invoke("Say hello.").usage_metadata
        origin, event = captured.one_call()
        assert (origin.sdk, event.operation, event.status) == ("openai", "chat", "ok")
        assert used(event) == (told["input_tokens"], told["output_tokens"])

    def test_a_stream_is_one_event(self, captured: Captured, model: Any) -> None:
        told = [chunk.usage_metadata for chunk in model.stream("Say hello.") if chunk.usage_metadata][-1]
        event = captured.one()
        assert event.streamed
        assert used(event) == (told["input_tokens"], told["output_tokens"])

    def test_async_is_the_same(self, captured: Captured, model: Any) -> None:
        async def main() -> list[Any]:
            answer = await model.ainvoke("Say hello.")
            return [answer, *[chunk async for chunk in model.astream("Say hello.")]]

        asyncio.run(main())
        assert [event.streamed for _, event in captured.all()] == [False, True]

    def test_the_responses_api_is_the_same(self, captured: Captured, provider: StandIn) -> None:
        from langchain_openai import ChatOpenAI

        model = ChatOpenAI(model="gpt-5-mini", api_key=KEY, base_url=provider.base_url, use_responses_api=True)
        told = model.invoke("Say hello.").usage_metadata
        event = captured.one()
        assert (event.operation, *used(event)) == ("responses", told["input_tokens"], told["output_tokens"])

    def test_batches_and_branches_in_threads_are_for_whom_their_caller_runs(
        self, captured: Captured, model: Any
    ) -> None:
        from langchain_core.runnables import RunnableParallel

        for user in ("u-1", "u-2"):
            with attribute(user=user), measure() as used:
                model.batch(["Say hello.", "Say goodbye.", "Say nothing."])
                RunnableParallel(first=model, second=model).invoke("Say hello.")
            assert used.calls == 5
        assert [origin.user_id for origin, _ in captured.all()] == ["u-1"] * 5 + ["u-2"] * 5

    def test_concurrent_async_batches_know_only_themselves(self, captured: Captured, model: Any) -> None:
        async def ask(user: str) -> None:
            with attribute(user=user):
                await model.abatch(["Say hello.", "Say goodbye."])

        async def main() -> None:
            await asyncio.gather(ask("u-1"), ask("u-2"))

        asyncio.run(main())
        assert sorted(str(origin.user_id) for origin, _ in captured.all()) == ["u-1", "u-1", "u-2", "u-2"]

    def test_callbacks_and_a_stream_that_is_read_later(self, captured: Captured, model: Any) -> None:
        from langchain_core.callbacks import BaseCallbackHandler

        seen = []

        class Watching(BaseCallbackHandler):  # type: ignore[misc]  # it is not installed where types are checked
            def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
                seen.append(current.get().user)

            def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
                seen.append(current.get().user)

        settings: Any = {"callbacks": [Watching()]}
        with attribute(user="u-1"):
            model.invoke("Say hello.", settings)
            asyncio.run(model.ainvoke("Say hello.", settings))
            stream = model.stream("Say hello.")
            first = next(stream)
        assert [first, *stream]
        assert seen == ["u-1"] * 4
        assert [origin.user_id for origin, _ in captured.all()] == ["u-1"] * 3

    def test_a_refusal_is_neither_wrapped_nor_retried(self, captured: Captured, model: Any, provider: StandIn) -> None:
        captured.hold_to(known(budget(), spent="1"))
        for ask in (
            lambda: model.invoke("Say hello."),
            lambda: list(model.stream("Say hello.")),
            lambda: asyncio.run(model.ainvoke("Say hello.")),
            lambda: model.with_retry(retry_if_exception_type=(OSError,)).invoke("Say hello."),
        ):
            with pytest.raises(BudgetExceeded):
                ask()
        assert provider.requests == []


def test_langchain_anthropic(captured: Captured, anthropic: AnthropicServer) -> None:
    from langchain_anthropic import ChatAnthropic

    model = ChatAnthropic(model="claude-sonnet-5", api_key=KEY, base_url=anthropic.url)
    told = model.invoke("Say hello.").usage_metadata
    origin, event = captured.one_call()
    assert (origin.sdk, event.status) == ("anthropic", "ok")
    assert used(event) == (told["input_tokens"], told["output_tokens"])
    list(model.stream("Say hello."))
    assert captured.one().usage.output_tokens


def test_langchain_google_genai(captured: Captured, gemini: GeminiServer) -> None:
    from langchain_google_genai import ChatGoogleGenerativeAI

    model = ChatGoogleGenerativeAI(model="gemini-2.5-flash", api_key=KEY, base_url=gemini.url)
    told = model.invoke("Say hello.").usage_metadata
    origin, event = captured.one_call()
    assert (origin.sdk, event.status) == ("google-genai", "ok")
    assert event.usage.output_tokens == told["output_tokens"]
    list(model.stream("Say hello."))
    assert captured.one().usage.output_tokens


class TestPydanticAi:
    @pytest.fixture
    def agent(self, provider: StandIn) -> Any:
        from pydantic_ai import Agent
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        return Agent(OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=provider.base_url, api_key=KEY)))

    def test_a_run_is_one_event_with_the_frameworks_own_figures(self, captured: Captured, agent: Any) -> None:
        ran = asyncio.run(agent.run("Say hello."))
        told = ran.usage() if callable(ran.usage) else ran.usage
        assert used(captured.one()) == (told.input_tokens, told.output_tokens)

    def test_a_streamed_run_is_one_event(self, captured: Captured, agent: Any) -> None:
        async def main() -> None:
            async with agent.run_stream("Say hello.") as running:
                await running.get_output()

        asyncio.run(main())
        event = captured.one()
        assert (event.streamed, event.status) == (True, "ok")
        assert event.usage.output_tokens

    def test_a_refusal_is_neither_wrapped_nor_retried(self, captured: Captured, agent: Any, provider: StandIn) -> None:
        captured.hold_to(known(budget(), spent="1"))
        with pytest.raises(BudgetExceeded):
            asyncio.run(agent.run("Say hello."))
        assert provider.requests == []


def test_openai_agents(captured: Captured, provider: StandIn) -> None:
    import agents
    import openai

    agents.set_tracing_disabled(True)

    async def main() -> Any:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=provider.base_url) as client:
            model = agents.OpenAIResponsesModel(model="gpt-5-mini", openai_client=client)
            ran = await agents.Runner.run(agents.Agent(name="greeter", model=model), "Say hello.")
            return ran.context_wrapper.usage

    told = asyncio.run(main())
    event = captured.one()
    assert (event.operation, *used(event)) == ("responses", told.input_tokens, told.output_tokens)
    captured.hold_to(known(budget(), spent="1"))
    with pytest.raises(BudgetExceeded):
        asyncio.run(main())
    assert len(provider.requests) == 1
