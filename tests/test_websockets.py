"""The openai SDK over WebSockets: a response, a transcription or a session is one event; the app notices nothing."""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import openai
import pytest
from budgeted import budget, known
from capturing import KEY, Captured, since
from websocket_server import (
    BREAK,
    CLOSE,
    RESPONSES_USAGE,
    USAGE,
    WebSocketServer,
    realtime_response,
    realtime_session,
    responses_response,
    transcribed,
)
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

import usage_tracker

VERSION = int(openai.__version__.split(".")[0])

pytestmark = [
    since(1, 107),
    # the SDK's own: of its beta, and of how it connects
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:connect\(\) must be used as a context manager:DeprecationWarning"),
]

since_2 = pytest.mark.skipif(VERSION < 2, reason="this version of the SDK has no responses over WebSockets")
since_3 = pytest.mark.skipif(VERSION < 3, reason="this version of the SDK has no live sessions, lanes or translations")


@pytest.fixture
def server() -> Iterator[WebSocketServer]:
    server = WebSocketServer()
    server.greeting = [realtime_session()]
    server.answers["response.create"] = lambda event: realtime_response()
    with server.running():
        yield server


def options(server: WebSocketServer) -> dict[str, Any]:
    return {
        "api_key": KEY,
        "base_url": f"http://127.0.0.1:{server.port}/v1",
        "websocket_base_url": f"ws://127.0.0.1:{server.port}/v1",
    }


@pytest.fixture
def client(server: WebSocketServer, captured: Captured) -> Iterator[Any]:
    with openai.OpenAI(**options(server)) as client:
        yield client


def ask(server: WebSocketServer, do: Callable[[Any], Any]) -> Any:
    """What a coroutine function gives for an async client."""

    async def main() -> Any:
        async with openai.AsyncOpenAI(**options(server)) as client:
            return await do(client)

    return asyncio.run(main())


def read(connection: Any, ends: str = "rate_limits.updated") -> list[Any]:
    """The events up to that one."""
    events = []
    for event in connection:
        events.append(event)
        if event.type == ends:
            break
    return events


def test_a_response_is_an_event(server: WebSocketServer, client: Any, captured: Captured) -> None:
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()
        events = read(connection)
    done = next(event for event in events if event.type == "response.done")
    assert type(done).__name__ == "ResponseDoneEvent"
    assert done.response.usage.input_token_details.cached_tokens == 69
    origin, event = captured.one_call()
    assert (event.operation, event.status, event.streamed, event.response_id) == ("realtime", "ok", True, "resp_1")
    assert (event.request_model, event.model) == ("gpt-realtime", "gpt-realtime-2025-08-28")
    usage = event.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (132, 121, 69)
    assert (usage.input_audio_tokens, usage.input_image_tokens, usage.output_audio_tokens) == (13, 0, 91)
    assert event.raw == USAGE
    assert event.ttft_ms is not None
    assert 0 < event.ttft_ms < event.duration_ms
    assert (origin.sdk, origin.provider, origin.base_host) == ("openai", "openai", "127.0.0.1")
    assert origin.api_key is not None
    assert origin.api_key.endswith("…wxyz")


def test_an_async_connection_is_the_same(server: WebSocketServer, captured: Captured) -> None:
    async def talk(client: Any) -> None:
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.response.create()
            async for event in connection:
                if event.type == "rate_limits.updated":
                    return

    ask(server, talk)
    event = captured.one()
    assert (event.status, event.request_model, event.usage.output_audio_tokens) == ("ok", "gpt-realtime", 91)
    assert event.ttft_ms is not None


def test_the_beta_is_the_same(server: WebSocketServer, client: Any, captured: Captured) -> None:
    with client.beta.realtime.connect(model="gpt-4o-realtime-preview") as connection:
        connection.response.create()
        read(connection)
    assert captured.one().request_model == "gpt-4o-realtime-preview"


def receive_parsed(connection: Any) -> None:
    for _ in range(6):
        connection.recv()


def receive_bytes(connection: Any) -> None:
    for _ in range(6):
        connection.parse_event(connection.recv_bytes())


def receive_raw(connection: Any) -> None:
    for _ in range(6):
        json.loads(connection.recv_bytes())


@pytest.mark.parametrize("receive", [receive_parsed, receive_bytes, receive_raw])
def test_however_the_app_receives_it_is_one_event(
    server: WebSocketServer, client: Any, captured: Captured, receive: Callable[[Any], None]
) -> None:
    connection = client.realtime.connect(model="gpt-realtime").enter()
    connection.send({"type": "response.create"})
    receive(connection)
    assert captured.one().status == "ok"
    connection.close()
    assert captured.all() == []


@since_2
def test_events_that_go_to_handlers_are_counted(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.answers["response.create"] = lambda event: [*realtime_response(), CLOSE]
    with client.realtime.connect(model="gpt-realtime") as connection:
        done: list[Any] = []
        connection.on("response.done", done.append)
        connection.response.create()
        connection.dispatch_events()
    assert len(done) == 1
    assert captured.one().status == "ok"


def test_nothing_of_what_was_said_is_kept(server: WebSocketServer, client: Any, captured: Captured) -> None:
    said: Any = {"output": [{"type": "message", "content": [{"type": "output_audio", "transcript": "Secret"}]}]}
    server.greeting = [realtime_session(transcriber="gpt-4o-transcribe", instructions="Secret"), *transcribed()]
    server.answers["response.create"] = lambda event: realtime_response(**said)
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create(response={"instructions": "Secret"})
        read(connection)
    kept = captured.all()
    assert len(kept) == 2
    assert "Secret" not in repr(kept)


def test_what_the_server_begins_by_itself_is_an_event(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.greeting = [realtime_session(), *realtime_response("resp_1"), *realtime_response("resp_2")]
    with client.realtime.connect(model="gpt-realtime") as connection:
        read(connection)
        read(connection)
    assert [event.response_id for _, event in captured.all()] == ["resp_1", "resp_2"]


def test_responses_that_run_side_by_side_are_told_apart(
    server: WebSocketServer, client: Any, captured: Captured
) -> None:
    first, second = realtime_response("resp_1"), realtime_response("resp_2", status="incomplete")
    silent = [event for event in second if not event["type"].endswith(".delta")]
    server.answers["response.create"] = lambda event: (
        [first[0], silent[0], *first[1:], *silent[1:]] if len(server.heard) == 2 else []
    )
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create(response={"metadata": {"user": "u-1"}})
        connection.response.create(response={"metadata": {"user": "u-2"}})
        read(connection)
        read(connection)
    calls = captured.all()
    assert [(origin.user_id, event.response_id) for origin, event in calls] == [("u-1", "resp_1"), ("u-2", "resp_2")]
    assert [event.ttft_ms is None for _, event in calls] == [False, True]


@pytest.mark.parametrize(
    ("status", "details", "ended"),
    [
        ("completed", None, ("ok", None)),
        ("incomplete", {"type": "incomplete", "reason": "max_output_tokens"}, ("ok", None)),
        ("cancelled", {"type": "cancelled", "reason": "turn_detected"}, ("cancelled", "turn_detected")),
        (
            "failed",
            {"type": "failed", "error": {"type": "server_error", "code": "insufficient_quota"}},
            ("error", "insufficient_quota"),
        ),
    ],
)
def test_a_response_ends_as_it_says_and_is_billed_what_it_used(
    server: WebSocketServer, client: Any, captured: Captured, status: str, details: Any, ended: tuple[str, str | None]
) -> None:
    server.answers["response.create"] = lambda event: realtime_response(status=status, status_details=details)
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()
        read(connection)
    event = captured.one()
    assert (event.status, event.error_type) == ended
    assert event.usage.output_tokens == 121


def test_a_transcription_is_an_event_of_its_own(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.greeting = [realtime_session(transcriber="gpt-4o-transcribe"), *transcribed()]
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()
        read(connection)
    (_, heard), (_, answered) = captured.all()
    assert (heard.operation, heard.request_model, heard.response_id) == ("transcription", "gpt-4o-transcribe", "item_1")
    assert (heard.usage.input_tokens, heard.usage.input_audio_tokens, heard.usage.output_tokens) == (26, 26, 7)
    assert (heard.status, heard.model, heard.streamed) == ("ok", None, False)
    assert answered.operation == "realtime"


def test_a_transcription_may_be_billed_by_its_length(server: WebSocketServer, client: Any, captured: Captured) -> None:
    beta: Any = {"audio": None, "input_audio_transcription": {"model": "whisper-1"}}
    server.greeting = [
        realtime_session(**beta),
        *transcribed(usage={"type": "duration", "seconds": 4.5}),
        {"type": "rate_limits.updated", "event_id": "event_6", "rate_limits": []},
    ]
    with client.realtime.connect(model="gpt-realtime") as connection:
        read(connection)
    event = captured.one()
    assert (event.request_model, event.usage.units, event.usage.input_tokens) == ("whisper-1", {"seconds": 4.5}, None)


def test_a_transcription_that_failed_is_an_error(server: WebSocketServer, client: Any, captured: Captured) -> None:
    begun = transcribed()[:2]
    failed = {
        "type": "conversation.item.input_audio_transcription.failed",
        "event_id": "event_1",
        "item_id": "item_1",
        "content_index": 0,
        "error": {"type": "transcription_error", "code": "audio_unintelligible", "message": "Secret"},
    }
    server.greeting = [realtime_session(transcriber="whisper-1"), *begun, failed, *realtime_response()]
    with client.realtime.connect(model="gpt-realtime") as connection:
        read(connection)
    heard = captured.all()[0][1]
    assert (heard.operation, heard.status, heard.error_type) == ("transcription", "error", "audio_unintelligible")


def test_what_is_not_transcribed_is_no_transcription(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.greeting = [realtime_session(), transcribed()[0], *realtime_response()]
    with client.realtime.connect(model="gpt-realtime") as connection:
        read(connection)
    assert captured.one().operation == "realtime"


REFUSED: Any = {
    "type": "error",
    "event_id": "event_9",
    "error": {"type": "invalid_request_error", "code": "invalid_value", "message": "no", "param": "response.tools"},
}


def test_a_response_that_is_refused_is_an_error(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.answers["response.create"] = lambda event: [REFUSED]
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()
        read(connection, "error")
    event = captured.one()
    assert (event.status, event.error_type, event.usage.input_tokens) == ("error", "invalid_value", None)


def test_a_refusal_of_something_else_changes_nothing(server: WebSocketServer, client: Any, captured: Captured) -> None:
    about_audio = {**REFUSED, "error": {**REFUSED["error"], "param": None, "event_id": "mine-2"}}
    server.answers["response.create"] = lambda event: [about_audio, *realtime_response()]
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create(event_id="mine-1")
        read(connection)
    assert captured.one().status == "ok"


def test_a_refusal_is_about_the_event_that_it_names(server: WebSocketServer, client: Any, captured: Captured) -> None:
    about_second = {**REFUSED, "error": {**REFUSED["error"], "param": None, "event_id": "mine-2"}}
    server.answers["response.create"] = lambda event: (
        [about_second, *realtime_response()] if event["event_id"] == "mine-2" else []
    )
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create(event_id="mine-1")
        connection.response.create(event_id="mine-2")
        read(connection)
    assert [event.status for _, event in captured.all()] == ["error", "ok"]


def begun(event: Any) -> list[Any]:
    """A response that has begun and said something."""
    return realtime_response()[:2]


def leave_by_break(connection: Any) -> None:
    read(connection, "response.output_audio.delta")


def leave_by_exception(connection: Any) -> None:
    for event in connection:
        if event.type == "response.output_audio.delta":
            raise KeyError


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_exception])
def test_a_connection_that_the_app_closes_during_a_response_abandons_it(
    server: WebSocketServer, client: Any, captured: Captured, leave: Callable[[Any], None]
) -> None:
    server.answers["response.create"] = begun
    with suppress(KeyError), client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()
        leave(connection)
    event = captured.one()
    assert (event.status, event.response_id, event.usage.input_tokens) == ("abandoned", "resp_1", None)
    assert (event.request_model, event.model) == ("gpt-realtime", "gpt-realtime-2025-08-28")
    assert event.ttft_ms is not None


def test_a_connection_that_the_server_closes_during_a_response_abandons_it(
    server: WebSocketServer, client: Any, captured: Captured
) -> None:
    server.answers["response.create"] = lambda event: [*begun(event), CLOSE]
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()
        list(connection)
        assert captured.one().status == "abandoned"


def test_a_connection_that_breaks_during_a_response_is_an_error(
    server: WebSocketServer, client: Any, captured: Captured
) -> None:
    server.answers["response.create"] = lambda event: [*begun(event), BREAK]
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()
        with pytest.raises(ConnectionClosedError):
            list(connection)
        event = captured.one()
    assert (event.status, event.error_type) == ("error", "ConnectionClosedError")


def test_an_async_connection_that_breaks_during_a_response_is_an_error(
    server: WebSocketServer, captured: Captured
) -> None:
    server.answers["response.create"] = lambda event: [*begun(event), BREAK]

    async def talk(client: Any) -> None:
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.response.create()
            with pytest.raises(ConnectionClosedError):
                async for _ in connection:
                    pass

    ask(server, talk)
    assert captured.one().error_type == "ConnectionClosedError"


def test_a_receiver_that_is_cancelled_ends_nothing(server: WebSocketServer, captured: Captured) -> None:
    server.answers["response.create"] = begun
    server.answers["session.update"] = lambda event: realtime_response()[2:]

    async def talk(client: Any) -> None:
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.response.create()
            for _ in range(3):
                await connection.recv()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(connection.recv(), 0.05)
            assert captured.all() == []
            await connection.session.update(session={"type": "realtime"})
            async for event in connection:
                if event.type == "response.done":
                    return

    ask(server, talk)
    assert captured.one().status == "ok"


def test_a_connection_that_is_dropped_abandons_its_response(
    server: WebSocketServer, client: Any, captured: Captured
) -> None:
    server.answers["response.create"] = begun
    connection = client.realtime.connect(model="gpt-realtime").enter()
    socket = connection._connection
    connection.response.create()
    leave_by_break(connection)
    del connection
    assert captured.one().status == "abandoned"
    socket.close()


def test_a_response_that_never_began_is_abandoned(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.answers["response.create"] = lambda event: []
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()
    event = captured.one()
    assert (event.status, event.response_id) == ("abandoned", None)


def test_what_can_not_be_sent_is_an_error(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.greeting = [CLOSE]
    connection = client.realtime.connect(model="gpt-realtime").enter()
    list(connection)
    with pytest.raises(ConnectionClosedOK):
        connection.response.create()
    event = captured.one()
    assert (event.status, event.error_type) == ("error", "ConnectionClosedOK")
    connection.close()
    assert captured.all() == []


def test_a_budget_refuses_a_response_before_it_is_asked_for(
    server: WebSocketServer, client: Any, captured: Captured
) -> None:
    """And the connection goes on."""
    captured.hold_to(known(budget(), spent="1"))

    async def talk(client: Any) -> None:
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.response.create()

    with pytest.raises(usage_tracker.BudgetExceeded):
        ask(server, talk)
    with client.realtime.connect(model="gpt-realtime") as connection:
        with pytest.raises(usage_tracker.BudgetExceeded):
            connection.response.create()
        captured.hold_to(known())
        connection.response.create()
        assert read(connection)
    assert [event["type"] for event in server.heard] == ["response.create"]
    assert captured.one().status == "ok"


def test_a_call_belongs_to_who_connected(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.greeting = [realtime_session(), *realtime_response()]
    with usage_tracker.attribute(project="alpha", user="u-1"):
        connection = client.realtime.connect(model="gpt-realtime").enter()
    read(connection)
    with usage_tracker.attribute(project="beta", tags=["turn:2"]):
        connection.response.create()
    with usage_tracker.attribute(project="gamma"):
        read(connection)
    connection.close()
    first, second = (origin for origin, _ in captured.all())
    assert (first.project, first.user_id, first.tags) == ("alpha", "u-1", ())
    assert (second.project, second.user_id, second.tags) == ("beta", "u-1", ("turn:2",))


def test_a_connection_that_was_open_before_us_is_counted_from_then_on(server: WebSocketServer, client: Any) -> None:
    usage_tracker.uninstall()
    connection = client.realtime.connect(model="gpt-realtime").enter()
    usage_tracker.install(ship=False, app="tests")
    captured = Captured()
    connection.response.create()
    read(connection)
    connection.close()
    event = captured.one()
    assert (event.status, event.request_model) == ("ok", "gpt-realtime")


def test_a_connection_outlives_an_install(server: WebSocketServer, client: Any, captured: Captured) -> None:
    with client.realtime.connect(model="gpt-realtime") as connection:
        read(connection, "session.created")
        usage_tracker.install(ship=False, app="tests", project="other")
        captured = Captured()
        connection.response.create()
        read(connection)
    origin, event = captured.one_call()
    assert (origin.project, event.model) == ("other", "gpt-realtime-2025-08-28")


def test_a_connection_goes_on_when_we_leave(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.answers["response.create"] = begun
    server.answers["session.update"] = lambda event: realtime_response()[2:]
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()
        read(connection, "response.output_audio.delta")
        usage_tracker.uninstall()
        connection.session.update(session={"type": "realtime"})
        assert read(connection)[-2].response.usage.total_tokens == 253


@since_2
def test_a_connection_that_is_made_again_goes_on(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.answers["response.create"] = lambda event: (
        [*begun(event), BREAK] if len(server.paths) == 1 else realtime_response("resp_2")
    )
    with client.realtime.connect(
        model="gpt-realtime", on_reconnecting=lambda event: None, initial_delay=0.001
    ) as connection:
        connection.response.create()
        for event in connection:
            if event.type == "session.created" and len(server.paths) == 2:
                connection.response.create()
            if event.type == "response.done":
                break
    assert [(event.status, event.response_id) for _, event in captured.all()] == [("error", "resp_1"), ("ok", "resp_2")]


@pytest.mark.parametrize(("name", "value"), [("Host", "models.example.com:443"), ("host", "models.example.com")])
def test_a_header_that_the_app_sets_beside_the_sdks_hides_no_call(
    server: WebSocketServer, client: Any, captured: Captured, name: str, value: str
) -> None:
    with client.realtime.connect(model="gpt-realtime", extra_headers={name: value}) as connection:
        connection.response.create()
        read(connection)
    origin, event = captured.one_call()
    assert (origin.base_host, event.usage.output_tokens) == ("models.example.com", 121)


def test_azure_is_the_provider_whatever_its_host(server: WebSocketServer, captured: Captured) -> None:
    client = openai.AzureOpenAI(
        api_key=KEY,
        api_version="2025-04-01-preview",
        azure_endpoint=f"http://127.0.0.1:{server.port}",
        websocket_base_url=f"ws://127.0.0.1:{server.port}/openai",
    )
    with client.realtime.connect(model="my-deployment") as connection:
        connection.response.create()
        read(connection)
    origin, event = captured.one_call()
    assert (origin.provider, event.request_model, event.model) == ("azure", "my-deployment", "gpt-realtime-2025-08-28")
    assert origin.api_key is not None
    assert origin.api_key.endswith("…wxyz")
    client.close()


@since_2
def test_responses_over_a_websocket_are_events(server: WebSocketServer, client: Any, captured: Captured) -> None:
    server.greeting = []
    server.answers["response.create"] = responses_response
    with client.responses.connect() as connection:
        for user in ("u-1", "u-2"):
            connection.response.create(model="gpt-5-mini", input="Secret", metadata={"user": user})
            events = read(connection, "response.completed")
            assert type(events[-1]).__name__.startswith("Response")
    for user, (origin, event) in zip(("u-1", "u-2"), captured.all(), strict=True):
        assert (event.operation, event.status, event.response_id) == ("responses", "ok", "resp_1")
        assert (event.request_model, event.model) == ("gpt-5-mini", "gpt-5-mini-2025-08-07")
        assert (event.usage.input_tokens, event.usage.output_tokens, event.usage.reasoning_tokens) == (40, 20, 12)
        assert (event.service_tier, event.raw, origin.user_id) == ("default", RESPONSES_USAGE, user)
        assert event.ttft_ms is not None


@since_2
def test_async_and_beta_responses_are_the_same(server: WebSocketServer, captured: Captured) -> None:
    server.greeting = []
    server.answers["response.create"] = responses_response

    async def talk(client: Any) -> None:
        for responses in (client.responses, client.beta.responses):
            async with responses.connect() as connection:
                await connection.response.create(model="gpt-5-mini", input="Secret")
                async for event in connection:
                    if event.type == "response.completed":
                        break

    ask(server, talk)
    assert [event.usage.output_tokens for _, event in captured.all()] == [20, 20]


@since_2
@pytest.mark.parametrize(
    ("ends", "error", "ended"),
    [
        ("incomplete", None, ("ok", None)),
        ("failed", {"code": "server_error", "message": "no"}, ("error", "server_error")),
        ("failed", None, ("error", "failed")),
    ],
)
def test_a_response_over_a_websocket_ends_as_it_says(
    server: WebSocketServer, client: Any, captured: Captured, ends: str, error: Any, ended: tuple[str, str | None]
) -> None:
    server.greeting = []
    server.answers["response.create"] = lambda event: responses_response(event, ends, error=error)
    with client.responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="Secret")
        read(connection, f"response.{ends}")
    event = captured.one()
    assert (event.status, event.error_type, event.usage.output_tokens) == (*ended, 20)


RATE_LIMITED = {
    "type": "error",
    "status": 429,
    "error": {"type": "requests", "code": "rate_limit_exceeded", "message": "no", "param": None},
}


@since_2
@pytest.mark.parametrize("begins", [0, 2])
def test_an_error_ends_the_response_that_was_asked_for_or_has_begun(
    server: WebSocketServer, client: Any, captured: Captured, begins: int
) -> None:
    server.greeting = []
    server.answers["response.create"] = lambda event: [*responses_response(event)[:begins], RATE_LIMITED]
    with client.responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="Secret")
        read(connection, "error")
        event = captured.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "rate_limit_exceeded", 429)
    assert captured.all() == []


def in_lanes(event: Any) -> list[Any]:
    return responses_response(event, own=f"resp_{event.get('stream_id')}", metadata={})


@since_3
def test_each_lane_of_a_session_has_its_own_responses(server: WebSocketServer, client: Any, captured: Captured) -> None:
    from openai.lib.responses_websocket import ResponsesWebSocketLimits, ResponsesWebSocketSession

    server.greeting = []
    server.answers["response.create"] = in_lanes
    limits = ResponsesWebSocketLimits(*[10**6] * 5)
    with client.responses.connect() as connection, ResponsesWebSocketSession(connection, limits=limits) as session:
        lanes = [session.lane(f"lane-{number}") for number in range(3)]
        for number, lane in enumerate(lanes):
            with usage_tracker.attribute(user=f"u-{number}"):
                lane.send({"type": "response.create", "model": "gpt-5-mini", "input": "Secret"})
        for lane in lanes:
            assert lane.get_final_response(timeout=60).status == "completed"
    calls = {(origin.user_id, event.response_id) for origin, event in captured.all()}
    assert calls == {(f"u-{number}", f"resp_lane-{number}") for number in range(3)}


@since_3
def test_async_lanes_are_the_same(server: WebSocketServer, captured: Captured) -> None:
    from openai.lib.responses_websocket import AsyncResponsesWebSocketSession, ResponsesWebSocketLimits

    server.greeting = []
    server.answers["response.create"] = in_lanes

    async def talk(client: Any) -> None:
        limits = ResponsesWebSocketLimits(*[10**6] * 5)
        async with (
            client.responses.connect() as connection,
            AsyncResponsesWebSocketSession(connection, limits=limits) as session,
        ):
            await session.default.send({"type": "response.create", "model": "gpt-5-mini", "input": "Secret"})
            await asyncio.wait_for(session.default.get_final_response(), 10)

    ask(server, talk)
    event = captured.one()
    assert (event.status, event.request_model) == ("ok", "gpt-5-mini")
    assert event.ttft_ms is not None


LIVE = {"id": "", "model": "gpt-live-1", "status": "active", "expires_at": 0}


@pytest.fixture
def live_id() -> str:
    """Of a session that no other test has."""
    return f"live_{uuid4()}"


def live(own: str, *events: Any) -> list[Any]:
    started = {"type": "session.started", "event_id": "event_1", "session": {**LIVE, "id": own}}
    return [started, *(lasted(seconds) for seconds in (1.5, 3.0)), *events]


def lasted(seconds: float) -> dict[str, Any]:
    return {"type": "session.usage.updated", "event_id": "event_2", "usage": {"seconds": seconds}}


def ended(seconds: float) -> dict[str, Any]:
    return {**lasted(seconds), "type": "session.closed", "reason": "close_requested", "session": LIVE}


@since_3
def test_a_live_session_is_billed_by_its_length_once(
    server: WebSocketServer, client: Any, captured: Captured, live_id: str
) -> None:
    server.greeting = live(live_id, ended(4.25))
    with client.live.connect() as connection:
        read(connection, "session.closed")
    event = captured.one()
    assert (event.operation, event.model, event.response_id) == ("realtime", "gpt-live-1", live_id)
    assert (event.status, event.usage.units, event.usage.input_tokens) == ("ok", {"seconds": 4.25}, None)


@since_3
@pytest.mark.parametrize(("last", "status"), [(CLOSE, "ok"), (BREAK, "error"), (lasted(3.5), "ok")])
def test_a_live_session_that_just_ends_has_the_length_that_was_told(
    server: WebSocketServer, client: Any, captured: Captured, live_id: str, last: Any, status: str
) -> None:
    server.greeting = live(live_id, lasted(4.0), last)
    with suppress(ConnectionClosedError), client.live.connect() as connection:
        for event in connection:
            if event.type == "session.usage.updated" and event.usage.seconds == 3.5:
                break
    event = captured.one()
    assert (event.status, event.usage.units) == (status, {"seconds": 3.5 if "usage" in last else 4.0})


@since_3
def test_what_a_live_session_has_others_do_is_billed_as_theirs(
    server: WebSocketServer, client: Any, captured: Captured, live_id: str
) -> None:
    nested = [
        {"type": "response.event", "event_id": "event_3", "delegation_id": "del_1", "event": event}
        for event in responses_response({"model": "gpt-5-mini"})
    ]
    decision = {"object": "decision", "id": "dec_1", "model": "gpt-5-nano", "usage": RESPONSES_USAGE}
    decided = {
        "type": "decision.event",
        "event_id": "event_4",
        "event": {"type": "decision.completed", "decision": decision},
    }
    server.greeting = live(live_id, *nested, decided, ended(5.0))
    with client.live.connect() as connection:
        read(connection, "session.closed")
    told = [(event.operation, event.model, event.usage.output_tokens) for _, event in captured.all()]
    assert told == [
        ("responses", "gpt-5-mini-2025-08-07", 20),
        ("decision", "gpt-5-nano", 20),
        ("realtime", "gpt-live-1", None),
    ]


@since_3
def test_a_session_that_two_connections_are_attached_to_is_counted_once(
    server: WebSocketServer, client: Any, captured: Captured, live_id: str
) -> None:
    server.greeting = live(live_id)
    with client.live.connect() as connection:
        read(connection, "session.usage.updated")
        server.greeting = [lasted(2.0), ended(9.0)]
        with client.live.sideband.connect(session_id=live_id) as sideband:
            read(sideband, "session.closed")
        assert captured.all() == []
    assert captured.one().usage.units == {"seconds": 1.5}


@since_3
def test_a_session_that_was_started_elsewhere_is_counted_by_who_attaches(
    server: WebSocketServer, client: Any, captured: Captured, live_id: str
) -> None:
    server.greeting = [lasted(2.0), ended(9.0)]
    with client.live.sideband.connect(session_id=live_id) as sideband:
        read(sideband, "session.closed")
    event = captured.one()
    assert (event.response_id, event.usage.units) == (live_id, {"seconds": 9.0})


@since_3
def test_a_translation_whose_length_nobody_tells_is_an_event_all_the_same(
    server: WebSocketServer, client: Any, captured: Captured, live_id: str
) -> None:
    session = {"id": live_id, "type": "translation", "model": "gpt-realtime-translate", "audio": {}, "expires_at": 0}
    closed = {"type": "session.closed", "event_id": "event_2"}
    server.greeting = [{"type": "session.created", "event_id": "event_1", "session": session}, closed]
    with client.realtime.translations.connect(model="gpt-realtime-translate") as connection:
        read(connection, "session.closed")
    event = captured.one()
    assert (event.operation, event.model, event.response_id) == ("realtime", "gpt-realtime-translate", live_id)
    assert (event.status, event.usage.units) == ("ok", None)


def test_connections_stay_what_they_were(client: Any, captured: Captured) -> None:
    from openai.resources.realtime import realtime

    for kind in (realtime.RealtimeConnection, realtime.AsyncRealtimeConnection):
        for method in ("__init__", "recv_bytes", "send"):
            patched = getattr(kind, method)
            usage_tracker.uninstall()
            original = getattr(kind, method)
            assert type(original) is type(ask)
            assert inspect.signature(patched) == inspect.signature(original)
            assert inspect.iscoroutinefunction(patched) == inspect.iscoroutinefunction(original)
            usage_tracker.install(ship=False, app="tests")


@pytest.mark.guarded_errors_expected
def test_an_error_of_ours_is_not_the_apps(
    server: WebSocketServer,
    client: Any,
    captured: Captured,
    monkeypatch: pytest.MonkeyPatch,
    guarded_errors: list[Exception],
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("ours")

    for place in (
        "capture.websockets.SocketSession",
        "capture.socket_sessions.type_of",
        "providers.openai_events.observe",
    ):
        before = len(guarded_errors)
        with monkeypatch.context() as broken:
            broken.setattr(f"usage_tracker.{place}", fail)
            with client.realtime.connect(model="gpt-realtime") as connection:
                connection.response.create()
                assert read(connection)[-2].type == "response.done"
        assert len(guarded_errors) > before, place


@pytest.mark.parametrize("kind", [bytes, str])
def test_a_connection_over_a_stand_in_of_the_apps_tests_is_no_error(captured: Captured, kind: type) -> None:
    from openai.resources.realtime.realtime import RealtimeConnection  # not in each version

    message = json.dumps(realtime_session())
    socket = Mock()
    socket.recv.return_value = message if kind is str else message.encode()
    connection = RealtimeConnection(socket)
    assert connection.recv_bytes() == socket.recv.return_value
    assert not captured.all()
