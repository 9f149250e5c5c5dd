"""What PostHog gets, by its own client: the names that its LLM analytics read, and figures that equal the store."""

import random
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from feeding import begin, feed, stored
from made_events import made_event, random_event, store_events
from migrated import migrated
from msgspec.structs import replace
from receivers import Receiver

from usage_tracker.event import Cost, CostLine
from usage_tracker.sinks import NotTaken, refusals
from usage_tracker.stores import Store

KEY = "phc_not-to-be-shown"


@pytest.fixture
def posthog(receiver: Receiver) -> Receiver:
    return receiver


@pytest.fixture
def store() -> Iterator[Store]:
    with migrated("sqlite:///:memory:") as opened:
        yield opened


def address(posthog: Receiver) -> str:
    return f"posthog+http://{KEY}@127.0.0.1:{posthog.port}"


def kept(posthog: Receiver) -> dict[str, dict[str, Any]]:
    """What PostHog keeps: one event of each uuid."""
    assert {path for path, _, _ in posthog.posts} == {"/batch/"}
    assert {body["api_key"] for body in posthog.bodies()} == {KEY}
    return {event["uuid"]: event for body in posthog.bodies() for event in body["batch"]}


def test_a_call_is_a_generation_with_posthogs_names(store: Store, posthog: Receiver) -> None:
    feeder = begin(store, address(posthog))
    lines = (
        CostLine("input_tokens", Decimal(60), Decimal("0.000001")),
        CostLine("cache_read_tokens", Decimal(40), Decimal("0.0000005")),
        CostLine("output_tokens", Decimal(10), Decimal("0.000004")),
    )
    event = made_event(
        provider="anthropic", request_model="claude", model="claude-1", user_id="u-1", session_id="s-1", tags=("a",),
        cache_read_tokens=40, cache_write_tokens=5, reasoning_tokens=3, ttft_ms=125.0, streamed=True, http_status=200,
        base_host="api.anthropic.com", project="alpha",
    )  # fmt: skip
    event = replace(event, cost=Cost(Decimal("0.00012"), lines, "test", "1"))
    store_events(store, [event])
    feed(feeder)
    [found] = kept(posthog).values()
    event_id = str(event.event_id)
    assert found["event"] == "$ai_generation"
    assert (found["uuid"], found["distinct_id"], found["timestamp"]) == (event_id, "u-1", "2026-08-15T12:00:00+00:00")
    assert found["properties"] == {
        "$lib": "usage_tracker", "$ai_lib": "usage_tracker",
        "$ai_trace_id": event_id, "$ai_span_id": event_id, "$ai_session_id": "s-1",
        "$ai_model": "claude-1", "$ai_provider": "anthropic",
        "$ai_input_tokens": 100, "$ai_output_tokens": 10, "$ai_cache_read_input_tokens": 40,
        "$ai_cache_creation_input_tokens": 5, "$ai_reasoning_tokens": 3, "$ai_cache_reporting_exclusive": False,
        "$ai_latency": 0.25, "$ai_time_to_first_token": 0.125, "$ai_stream": True, "$ai_http_status": 200,
        "$ai_base_url": "https://api.anthropic.com", "$ai_is_error": False,
        "$ai_total_cost_usd": 0.00012, "$ai_input_cost_usd": 0.00008, "$ai_output_cost_usd": 0.00004,
        "app": "tests", "project": "alpha", "tags": ["a"], "operation": "chat", "request_model": "claude",
        "status": "ok",
    }  # fmt: skip
    feeder.close()


def test_what_is_unknown_is_left_out(store: Store, posthog: Receiver) -> None:
    feeder = begin(store, address(posthog))
    failed = made_event(cost=None, input_tokens=None, output_tokens=None, status="error", error_type="RateLimitError")
    store_events(store, [failed, made_event(operation="embeddings")])
    feed(feeder)
    found = kept(posthog)
    properties = found[str(failed.event_id)]["properties"]
    assert not {name for name in properties if "cost" in name or "input_tokens" in name or "output_tokens" in name}
    assert (properties["$ai_is_error"], properties["$ai_error"]) == (True, "RateLimitError")
    assert properties["$process_person_profile"] is False
    assert {event["event"] for event in found.values()} == {"$ai_generation", "$ai_embedding"}
    feeder.close()


def test_an_event_that_posthog_refuses_holds_no_other_one_up(store: Store, posthog: Receiver) -> None:
    feeder = begin(store, address(posthog))
    posthog.wrong = lambda body: b"unheard-of" in body
    wrong = made_event(model="unheard-of")
    store_events(store, [*(made_event() for _ in range(5)), wrong, *(made_event() for _ in range(5))])
    with suppress(NotTaken):  # where it is the last one
        feed(feeder)
    store_events(store, [made_event()])
    feed(feeder)
    assert sorted(kept(posthog)) == sorted(stored(store).keys() - {str(wrong.event_id)})
    assert [each.event_id for each in refusals(store, "posthog")] == [str(wrong.event_id)]
    feeder.close()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_posthog_got_equals_the_store(store: Store, posthog: Receiver, status: int) -> None:
    feeder = begin(store, address(posthog))
    chance = random.Random(4)
    store_events(store, [random_event(chance) for _ in range(300)])
    posthog.answers = [status]
    with pytest.raises(NotTaken, match=f"answered {status}") as caught:
        feeder.step()
    assert KEY not in str(caught.value)
    store_events(store, [random_event(chance) for _ in range(400)])
    feed(feeder)
    expected, found = stored(store), kept(posthog)
    assert sorted(found) == sorted(expected)
    for name, column in (("$ai_input_tokens", "input_tokens"), ("$ai_output_tokens", "output_tokens")):
        got = sum(event["properties"].get(name, 0) for event in found.values())
        assert got == sum(event[column] or 0 for event in expected.values())
    cost = sum(Decimal(str(event["properties"].get("$ai_total_cost_usd", 0))) for event in found.values())
    assert cost == sum(event["cost"] or 0 for event in expected.values())
    feeder.close()
