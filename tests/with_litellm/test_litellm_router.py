"""A Router stands above LiteLLM's functions: each of its attempts is a call."""

from collections.abc import Callable
from typing import Any

import litellm
import pytest
from capturing import Captured
from with_litellm.asking import ASK, KEY, picture, run

import usage_tracker
from usage_tracker.demo.standin import StandIn


def router(provider: StandIn) -> litellm.Router:
    """Two models, of which the first falls back to the second."""
    where = {"api_key": KEY, "api_base": provider.base_url}
    models = {
        "first": "openai/gpt-4o",
        "second": "openai/gpt-4o-mini",
        "moderator": "openai/omni-moderation-latest",
        "painter": "openai/gpt-image-1",
    }
    return litellm.Router(
        model_list=[
            {"model_name": name, "litellm_params": {"model": model, **where}} for name, model in models.items()
        ],
        num_retries=1,
        retry_after=0,
        fallbacks=[{"first": ["second"]}],
    )


def test_each_attempt_is_a_call_and_the_last_one_is_ok(captured: Captured, provider: StandIn) -> None:
    provider.fail_next(2, 500)
    answer = router(provider).completion(model="first", messages=ASK)
    events = [event for _, event in captured.all()]
    assert [(event.status, event.request_model) for event in events] == [
        ("error", "gpt-4o"), ("error", "gpt-4o"), ("ok", "gpt-4o-mini"),
    ]  # fmt: skip
    assert [event.http_status for event in events] == [500, 500, 200]
    assert events[-1].response_id == answer.id


def test_an_async_router_is_the_same(captured: Captured, provider: StandIn) -> None:
    provider.fail_next(2, 500)
    run(router(provider).acompletion(model="first", messages=ASK))
    assert [event.status for _, event in captured.all()] == ["error", "error", "ok"]


def test_whom_an_attempt_is_for_and_nothing_of_the_router_is_known(captured: Captured, provider: StandIn) -> None:
    provider.fail_next(1, 500)
    with usage_tracker.attribute(project="alpha"):
        router(provider).completion(
            model="second", messages=ASK, user="u-1", metadata={"tags": ["job:7"], "mine": "kept"}
        )
    whom = [(origin.project, origin.user_id, origin.tags) for origin, _ in captured.all()]
    assert whom == [("alpha", "u-1", ("job:7", "mine:kept"))] * 2


def test_a_model_that_litellm_has_no_price_for_has_no_reported_cost(captured: Captured, provider: StandIn) -> None:
    where = {"model": "openai/a-model-of-nobody", "api_key": KEY, "api_base": provider.base_url}
    litellm.Router(model_list=[{"model_name": "m", "litellm_params": where}]).completion(model="m", messages=ASK)
    assert captured.one().reported_cost is None


ASKED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "completion": ("chat", lambda made: made.completion(model="second", messages=ASK)),
    "acompletion": ("chat", lambda made: run(made.acompletion(model="second", messages=ASK))),
    "stream": ("chat", lambda made: list(made.completion(model="second", messages=ASK, stream=True))),
    "async stream": ("chat", lambda made: run(made.acompletion(model="second", messages=ASK, stream=True))),
    "responses": ("responses", lambda made: made.responses(model="second", input="Say hello.")),
    "aresponses": ("responses", lambda made: run(made.aresponses(model="second", input="Say hello."))),
    "messages": ("chat", lambda made: run(made.aanthropic_messages(model="second", messages=ASK, max_tokens=9))),
    "amoderation": ("moderation", lambda made: run(made.amoderation(model="moderator", input="Say hello."))),
    "aimage_generation": ("image", lambda made: run(made.aimage_generation(model="painter", prompt="A cat"))),
    "aimage_edit": ("image", lambda made: run(made.aimage_edit(model="painter", prompt="A cat", image=picture()))),
}


@pytest.mark.parametrize("asking", ASKED)
def test_a_router_that_was_made_before_we_were_installed_is_watched(
    provider: StandIn, asking: str, request: pytest.FixtureRequest
) -> None:
    made = router(provider)
    captured: Captured = request.getfixturevalue("captured")
    operation, ask = ASKED[asking]
    ask(made)
    origin, event = captured.one_call()
    assert (origin.sdk, event.operation, event.status) == ("litellm", operation, "ok")
