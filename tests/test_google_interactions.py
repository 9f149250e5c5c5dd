"""Interactions of the google-genai SDK: one event for each request, whole or streamed, now or in the background."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from budgeted import budget, known
from gemini_server import INTERACTION_USAGE
from google_clients import KEY, QUIET, Google, google, since
from leaving import leave_by_break, leave_closed, leave_unread, leave_with_block

import usage_tracker

__all__ = ["google"]

pytestmark = [*QUIET, since(1, 60)]

ASKED: dict[str, Any] = {"model": "gemini-3-flash-preview", "input": "Say hello."}


def test_an_interaction_has_its_tokens_model_and_id(google: Google) -> None:
    answer = google.client.interactions.create(**ASKED)
    origin, event = google.one_call()
    usage = event.usage
    assert (usage.input_tokens, usage.output_tokens) == (22, 11)
    assert (usage.cache_read_tokens, usage.reasoning_tokens, usage.tool_tokens) == (6, 3, 2)
    assert usage.units == {"searches": 2}
    assert event.raw == INTERACTION_USAGE
    assert (event.operation, event.request_model, event.model) == ("interaction", ASKED["model"], answer.model)
    assert (event.response_id, event.status, event.http_status) == (answer.id, "ok", 200)
    assert (event.awaits, event.completes) == (None, None)
    assert (origin.sdk, origin.provider, origin.base_host) == ("google-genai", "gemini", "127.0.0.1")
    assert str(origin.api_key).endswith("…wxyz")
    assert KEY[:-4] not in repr((origin, event))


def test_asking_again_what_an_answer_has_told_is_no_event(google: Google) -> None:
    answer = google.client.interactions.create(**ASKED)
    google.one()
    google.server.at_work = False
    assert google.client.interactions.get(answer.id).usage is not None
    assert google.all() == []


def test_an_async_interaction_is_the_same(google: Google) -> None:
    answer = google.asks(lambda client: client.interactions.create(**ASKED))
    event = google.one()
    assert (event.usage.input_tokens, event.usage.output_tokens, event.response_id) == (22, 11, answer.id)


def test_a_stream_tells_its_usage_at_its_end(google: Google) -> None:
    stream = google.client.interactions.create(**ASKED, stream=True)
    kinds = [event.event_type for event in stream]
    assert kinds[-1] == "interaction.completed"
    event = google.one()
    assert (event.status, event.streamed, event.usage.input_tokens, event.usage.output_tokens) == ("ok", True, 22, 11)
    assert (event.response_id, event.awaits) == ("interaction-1", None)
    assert event.ttft_ms is not None


def test_an_async_stream_tells_its_usage_at_its_end(google: Google) -> None:
    async def read(client: Any) -> list[Any]:
        return [event async for event in await client.interactions.create(**ASKED, stream=True)]

    assert google.asks(read)
    assert google.one().usage.output_tokens == 11


def read_all(response: Any) -> None:
    response.read()


def test_a_stream_that_a_hook_of_the_app_has_read_tells_its_usage_too(google: Google) -> None:
    client = google.make(client_args={"event_hooks": {"response": [read_all]}})
    events = list(client.interactions.create(**ASKED, stream=True))
    event = google.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("ok", 22, 11)
    assert event.response_id == events[-1].interaction.id


@pytest.mark.parametrize("leave", [leave_by_break, leave_closed, leave_with_block, leave_unread])
def test_a_stream_that_is_left_early_is_abandoned_and_may_be_asked_about(
    google: Google, leave: Callable[[Any], None]
) -> None:
    leave(google.client.interactions.create(**ASKED, stream=True))
    event = google.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("abandoned", None, None)
    assert event.awaits in ("interaction-1", None)


def test_an_async_stream_that_is_left_early_is_abandoned(google: Google) -> None:
    async def leave(client: Any) -> None:
        stream = await client.interactions.create(**ASKED, stream=True)
        await anext(aiter(stream))
        await stream.close()

    google.asks(leave)
    assert google.one().status == "abandoned"


def test_an_async_stream_that_is_cancelled_says_so(google: Google) -> None:
    google.server.chunk_delay = 0.2

    async def read(client: Any) -> None:
        async for _ in await client.interactions.create(**ASKED, stream=True):
            pass

    with pytest.raises(asyncio.TimeoutError):
        google.asks(lambda client: asyncio.wait_for(read(client), 0.5))
    assert google.one().status == "cancelled"


def test_what_the_background_used_is_brought_by_who_asks_for_it(google: Google) -> None:
    started = google.client.interactions.create(**ASKED, background=True)
    event = google.one()
    assert (event.awaits, event.usage.input_tokens, event.status) == (started.id, None, "ok")
    google.client.interactions.get(started.id)
    assert google.all() == []
    google.server.at_work = False
    google.client.interactions.get(started.id)
    event = google.one()
    assert (event.completes, event.awaits, event.usage.input_tokens) == (started.id, None, 22)
    google.client.interactions.get(started.id)
    assert google.all() == []


def test_a_stream_brings_what_the_background_used(google: Google) -> None:
    started = google.client.interactions.create(**ASKED, background=True)
    google.one()
    google.server.at_work = False
    assert list(google.client.interactions.get(started.id, stream=True))
    event = google.one()
    assert (event.completes, event.usage.output_tokens) == (started.id, 11)


@since(2, 34)
def test_a_continued_interaction_is_one_event_for_each_request(google: Google) -> None:
    asked = {**ASKED, "model": "gemini-continued"}
    answer = google.client.interactions.create(**asked)
    assert answer.usage.total_input_tokens == 40
    assert [event.usage.input_tokens for event in google.events()] == [22, 22]
    list(google.client.interactions.create(**asked, stream=True))
    assert [event.usage.output_tokens for event in google.events()] == [11, 11]


def test_a_refused_interaction_is_an_event_with_its_error(google: Google) -> None:
    google.server.fail_next(2, 400)
    with pytest.raises(Exception, match="400") as raised:
        google.client.interactions.create(**ASKED)
    event = google.one()
    assert (event.status, event.error_type, event.http_status) == ("error", raised.type.__name__, 400)
    with pytest.raises(Exception, match="400"):
        google.asks(lambda client: client.interactions.create(**ASKED, stream=True))
    event = google.one()
    assert (event.status, event.http_status, event.usage.input_tokens) == ("error", 400, None)


def test_retries_are_one_event_that_counts_its_attempts(google: Google) -> None:
    google.server.fail_next(2, 503, retry_after=0.01)
    google.client.interactions.create(**ASKED)
    event = google.one()
    assert (event.status, event.attempts, len(google.server.requests)) == ("ok", 3, 3)


@since(2, 34)  # before, the SDK's raw responses were out of reach of its users
def test_raw_and_streaming_responses_are_counted_like_any_other(google: Google) -> None:
    raw = google.client.interactions.with_raw_response.create(**ASKED)
    assert raw.parse().usage.total_tokens == 33
    assert google.one().usage.input_tokens == 22
    with google.client.interactions.with_streaming_response.create(**ASKED) as response:
        assert response.parse().usage.total_tokens == 33
    event = google.one()
    assert (event.status, event.usage.input_tokens) == ("ok", 22)


@since(2, 0)
def test_labels_say_who_an_interaction_is_for(google: Google) -> None:
    google.client.interactions.create(**ASKED, extra_body={"labels": {"team": "search", "job": "7"}})
    origin, _ = google.one_call()
    assert (origin.team, origin.tags) == ("search", ("job:7",))


@since(3, 4)
def test_a_decision_is_a_call(google: Google) -> None:
    question = {"type": "noul", "instructions": "Say whether it is so."}
    google.client.decisions.create(model=ASKED["model"], input="Is it so?", questions={"so": question})
    event = google.one()
    assert (event.operation, event.usage.input_tokens, event.status) == ("decision", 22, "ok")


def test_the_answer_is_what_it_is_without_us(google: Google) -> None:
    mine = google.client.interactions.create(**ASKED)
    with google.client.interactions.create(**ASKED, stream=True) as stream:
        kind = type(stream)
        assert type(stream.response).__name__ == "Response"
        assert list(stream)
    google.all()
    usage_tracker.uninstall()
    theirs = google.client.interactions.create(**ASKED)
    assert type(mine) is type(theirs)
    differs = {"id", "continuation_ids"}
    assert mine.model_dump(exclude=differs) == theirs.model_dump(exclude=differs)
    assert pickle.loads(pickle.dumps(mine)) == copy.deepcopy(mine) == mine
    with google.client.interactions.create(**ASKED, stream=True) as stream:
        assert type(stream) is kind


@since(2, 34)  # before, only the host tells
def test_vertex_is_told_by_the_project_in_the_path(google: Google) -> None:
    from google.oauth2.credentials import Credentials

    client = google.make(vertexai=True)
    client._api_client.api_key, client._api_client.project, client._api_client.location = None, "p", "l"
    client._api_client._credentials = Credentials("token")  # type: ignore[no-untyped-call]  # as the SDK has them
    client.interactions.create(**ASKED)
    assert google.one_call()[0].provider == "vertex"


def test_a_budget_refuses_an_interaction_before_its_request(google: Google) -> None:
    google.hold_to(known(budget(), spent="1"))
    before = len(google.server.requests)

    async def pull(client: Any) -> None:
        async for _ in await client.interactions.create(**ASKED, stream=True):
            pass

    calls: list[Callable[[], Any]] = [
        lambda: google.client.interactions.create(**ASKED),
        lambda: google.client.interactions.create(**ASKED, stream=True),
        lambda: google.asks(lambda client: client.interactions.create(**ASKED)),
        lambda: google.asks(pull),
    ]
    for call in calls:
        with pytest.raises(usage_tracker.BudgetExceeded):
            call()
    assert len(google.server.requests) == before
    assert google.all() == []
