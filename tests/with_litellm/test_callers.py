"""Frameworks above the SDKs that want LiteLLM or an older openai: each model call is one event."""

from typing import Any

from capturing import KEY, Captured
from pydantic import BaseModel

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
