"""What a call may use, before it is made: what it asks for at most, else what is usual, else a bound."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from budgeted import budget
from made_events import made_event, store_events
from migrated import migrated

from usage_tracker.budgets.estimates import DEFAULT_OUTPUT, TOKENS_PER_FILE, estimate, tokens_asked
from usage_tracker.budgets.scope import Described
from usage_tracker.budgets.unit_prices import UnitPrices
from usage_tracker.budgets.view import Usual
from usage_tracker.conditions import Condition
from usage_tracker.event import Origin
from usage_tracker.spending import read_usual

HELLO = [{"role": "user", "content": "x" * 290}]
ORIGIN = Origin(provider="openai", sdk="openai")


@pytest.fixture(scope="module")
def prices() -> UnitPrices:
    made = UnitPrices(None)
    made.load(None)
    return made


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ({}, None),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 50, "n": 3}, 150),
        ({"max_output_tokens": 0}, 0),
        ({"max_tokens": None, "max_completion_tokens": 7}, 7),
        ({"max_tokens": -5}, None),
        ({"max_tokens": "many"}, None),
        ({"generationConfig": {"maxOutputTokens": 9}}, 9),
        ({"config": SimpleNamespace(max_output_tokens=9)}, 9),
        ({"optional_params": {"max_tokens": 9}}, 9),
        ({"max_tokens": 9, "n": 2, "best_of": 5}, 45),
        ({"generationConfig": {"maxOutputTokens": 9, "candidateCount": 2}}, 18),
        ({"config": SimpleNamespace(max_output_tokens=9, candidate_count=2)}, 18),
        ({"optional_params": {"max_tokens": 9, "n": 2}}, 18),
    ],
)
def test_the_most_that_a_call_asks_for(said: dict[str, Any], most: int | None) -> None:
    assert tokens_asked({"messages": HELLO, **said})[1] == most


def test_a_prompt_is_as_long_as_its_texts() -> None:
    assert tokens_asked({"messages": HELLO})[0] == 98, "290 characters and the role's four"


@pytest.mark.parametrize(
    "picture",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO/+" * 20_000}},
        {"inlineData": {"mimeType": "image/png", "data": "iVBO_-" * 20_000}},
    ],
)
def test_a_file_is_no_text_however_it_is_sent(picture: dict[str, Any]) -> None:
    assert TOKENS_PER_FILE < tokens_asked({"messages": [{"content": [picture]}]})[0] < TOKENS_PER_FILE + 15


@pytest.mark.parametrize("text", ["这是一行没有空格的文字。" * 1000, "A page of a book. " * 100_000])
def test_a_text_is_no_file_however_long_it_is(text: str) -> None:
    assert tokens_asked({"input": text})[0] == len(text) / 3


def test_a_prompt_of_tokens_is_as_many_as_they_are() -> None:
    """As LangChain sends texts to be embedded."""
    assert tokens_asked({"input": list(range(12_000))})[0] == 12_000
    assert tokens_asked({"input": [[1, 2, 3], [4, 5]], "dimensions": 256, "user": "u-1"})[0] == 5 + 1
    assert tokens_asked({"input": [0.5, True, None]})[0] == 0


def test_a_body_that_is_sent_as_bytes_is_read() -> None:
    assert tokens_asked(b'{"input": "Say hello.", "generation_config": {"max_output_tokens": 9}}') == (4, 9)
    assert tokens_asked(b"--boundary" * 9) == (30, None)
    assert tokens_asked("[1]") == (1, None)


@pytest.mark.parametrize(
    ("operation", "said", "usual", "tokens"),
    [
        ("chat", {"max_tokens": 50}, {}, 98 + 50),
        ("chat", {"max_tokens": 50}, {"gpt-4o": Usual(9, 700)}, 98 + 50),
        ("chat", {}, {"gpt-4o": Usual(9, 700)}, 98 + 700),
        ("chat", {}, {"gpt-5": Usual(9, 700)}, 98 + DEFAULT_OUTPUT),
        ("embeddings", {}, {"gpt-4o": Usual(9, 700)}, 98),
        ("moderation", {}, {}, 98),
    ],
)
def test_what_is_usual_stands_for_what_was_not_said(
    prices: UnitPrices, operation: str, said: dict[str, Any], usual: dict[str, Usual], tokens: int
) -> None:
    call = Described(ORIGIN, "gpt-4o", operation)
    asked = {"messages": HELLO, **said}
    assert estimate(budget(measure="tokens"), call, asked, usual, prices) == tokens
    assert estimate(budget(measure="calls"), call, asked, usual, prices) == 1


def test_dollars_are_at_the_models_price_and_unknown_where_it_has_none(prices: UnitPrices) -> None:
    asked = {"messages": HELLO, "max_tokens": 1000}
    amounts = [
        estimate(budget(), Described(ORIGIN, model, "chat"), asked, {}, prices) for model in ("gpt-4o", "acme-1")
    ]
    assert amounts == [98 * 2500 + 1000 * 10_000, None], "billionths of a dollar"
    embedding = Described(ORIGIN, "text-embedding-3-small", "embeddings")
    assert estimate(budget(), embedding, {"input": "x" * 300}, {}, prices) == 100 * 20


def test_nineteen_of_twenty_calls_of_the_model_in_the_scope_tell_what_is_usual(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with migrated(f"sqlite:///{tmp_path}/usage.db") as store:
        calls = [
            made_event(
                now - timedelta(minutes=1), request_model="gpt-4o", team="a", input_tokens=n, output_tokens=10 * n
            )
            for n in range(100)
        ]
        others = [
            made_event(now, request_model="gpt-4o", team="b", input_tokens=10**6, output_tokens=10**6),
            made_event(now, request_model="o3", team="a", input_tokens=10**6, output_tokens=10**6),
        ]
        store_events(store, [*calls, *others])
        scoped = budget(where=(Condition("team", True, "a"),))
        assert read_usual(store, scoped, now + timedelta(minutes=1)) == {"gpt-4o": Usual(95, 950)}
