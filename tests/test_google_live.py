"""Live sessions of the google-genai SDK: one event for each turn of the model, over a socket on this machine."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from budgeted import budget, known
from google.genai import live
from google_clients import MODEL, QUIET, Google, google, has, since
from websockets.sync.server import ServerConnection, serve

import usage_tracker

__all__ = ["google"]

pytestmark = [*QUIET, pytest.mark.filterwarnings("ignore:The live API is experimental")]

Json = dict[str, Any]
TELLS = since(1, 24)
"""The first versions of the SDK drop what a message says of usage."""


def says(text: str) -> Json:
    return {"serverContent": {"modelTurn": {"role": "model", "parts": [{"text": text}]}}}


def ends(prompt: int, response: int, **more: Any) -> Json:
    """The last message of a turn, which tells what it used."""
    usage = {"promptTokenCount": prompt, "responseTokenCount": response, "totalTokenCount": prompt + response, **more}
    return {"serverContent": {"turnComplete": True}, "usageMetadata": usage}


CLOSES: Json = {}
"""The server ends the session, with an error."""


class LiveServer:
    """Answers each message of a client with the next turn of its script."""

    def __init__(self) -> None:
        self.turns: list[list[Json]] = []
        self.received: list[Json] = []
        self._server = serve(self._speak, "127.0.0.1", 0)
        self.port: int = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _speak(self, socket: ServerConnection) -> None:
        for received in socket:
            asked = json.loads(received)
            self.received.append(asked)
            for message in [{"setupComplete": {}}] if "setup" in asked else self.turns.pop(0):
                if message is CLOSES:
                    socket.close(1011, "internal error")
                else:
                    socket.send(json.dumps(message))

    def stop(self) -> None:
        self._server.shutdown()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    """Sessions, which the SDK only opens with TLS, reach this server instead."""
    found = LiveServer()
    name = "ws_connect" if hasattr(live, "ws_connect") else "connect"
    connect = getattr(live, name)

    def plain(uri: str, **options: Any) -> Any:
        return connect(f"ws://127.0.0.1:{found.port}", additional_headers=options["additional_headers"])

    monkeypatch.setattr(live, name, plain)
    yield found
    found.stop()


async def say(session: Any) -> None:
    """What the user says."""
    if has(1, 24):
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "Say hello."}]})
    else:
        await session.send(input="Say hello.", end_of_turn=True)


def talks(google: Google, talk: Callable[[Any], Awaitable[Any]], **config: Any) -> Any:
    """What a session gives."""

    async def main(client: Any) -> Any:
        async with client.live.connect(model=MODEL, config=config or None) as session:
            return await talk(session)

    return google.asks(main)


async def ask(session: Any) -> list[Any]:
    """One turn of the user, and all of the model's."""
    await say(session)
    return [message async for message in session.receive()]


@TELLS
def test_each_turn_is_an_event_with_its_own_usage(google: Google, server: LiveServer) -> None:
    details = [{"modality": "AUDIO", "tokenCount": 30}, {"modality": "TEXT", "tokenCount": 12}]
    server.turns = [
        [says("Hello"), says(" from here."), ends(100, 40, thoughtsTokenCount=9, responseTokensDetails=details)],
        [says("Again."), ends(150, 20)],
    ]

    async def twice(session: Any) -> None:
        await ask(session)
        await ask(session)

    talks(google, twice)
    (origin, first), (_, second) = google.all()
    assert (first.usage.input_tokens, first.usage.output_tokens) == (100, 49)
    assert (first.usage.reasoning_tokens, first.usage.output_audio_tokens) == (9, 30)
    assert (second.usage.input_tokens, second.usage.output_tokens) == (150, 20)
    assert {(event.operation, event.status, event.request_model, event.streamed) for event in (first, second)} == {
        ("realtime", "ok", MODEL, True)
    }
    assert (origin.sdk, origin.provider, origin.base_host) == ("google-genai", "gemini", "127.0.0.1")


@TELLS
def test_a_turn_with_a_function_call_is_one_turn(google: Google, server: LiveServer) -> None:
    call = {"toolCall": {"functionCalls": [{"name": "weather", "args": {}, "id": "f-1"}]}}
    server.turns = [[call], [says("It is sunny."), ends(300, 30)]]

    async def talk(session: Any) -> None:
        await say(session)
        async for message in session.receive():
            if message.tool_call is not None:
                answer = {"id": "f-1", "name": "weather", "response": {"output": "sunny"}}
                await session.send_tool_response(function_responses=[answer])

    talks(google, talk)
    assert google.one().usage.input_tokens == 300


@TELLS
def test_what_is_heard_of_the_user_and_said_of_the_session_is_no_turn(google: Google, server: LiveServer) -> None:
    heard: Json = {"serverContent": {"inputTranscription": {"text": "Say"}}}
    resumable: Json = {"sessionResumptionUpdate": {"newHandle": "h-1", "resumable": True}}
    server.turns = [[heard, resumable, {"serverContent": {}}, says("Hello"), ends(10, 5), resumable]]

    async def talk(session: Any) -> None:
        await ask(session)
        await session._receive()

    talks(google, talk)
    assert google.one().usage.output_tokens == 5


@TELLS
def test_usage_that_comes_after_its_turn_is_of_that_turn(google: Google, server: LiveServer) -> None:
    ended = {"serverContent": {"turnComplete": True}}
    server.turns = [[says("Hello"), ended, {"usageMetadata": {"promptTokenCount": 7}}], [says("Again."), ends(9, 3)]]

    async def twice(session: Any) -> None:
        await ask(session)
        await session._receive()
        await ask(session)

    talks(google, twice)
    assert [event.usage.input_tokens for event in google.events()] == [7, 9]


def test_a_turn_whose_usage_is_never_told_is_an_event_too(google: Google, server: LiveServer) -> None:
    """And lasted until it was complete, however long the session goes on."""
    server.turns = [[says("Hello"), {"serverContent": {"turnComplete": True}}]]

    async def talk(session: Any) -> None:
        await ask(session)
        await asyncio.sleep(0.5)

    talks(google, talk)
    event = google.one()
    assert (event.status, event.usage.input_tokens, event.raw) == ("ok", None, None)
    assert event.duration_ms < 500


@TELLS
def test_a_turn_whose_usage_is_told_to_be_nothing_ends_there(google: Google, server: LiveServer) -> None:
    server.turns = [[says("Hello"), {"serverContent": {"turnComplete": True}, "usageMetadata": {}}]]

    async def talk(session: Any) -> list[Any]:
        await ask(session)
        return google.all()

    ((_, event),) = talks(google, talk)
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("ok", None, None)


@TELLS
@pytest.mark.parametrize(("said", "output"), [([says("Teal.")], None), ([], 0)])
def test_output_is_unknown_where_the_model_spoke_and_only_its_prompt_is_told(
    google: Google, server: LiveServer, said: list[Json], output: int | None
) -> None:
    """As gemini-3.1-flash-live does at times. Where the model was interrupted before, the total says that it's none."""
    prompt = {"promptTokenCount": 187, "totalTokenCount": 187}
    server.turns = [[*said, {"serverContent": {"turnComplete": True}, "usageMetadata": prompt}]]
    talks(google, ask)
    event = google.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens) == ("ok", 187, output)


@TELLS
def test_output_is_what_a_turns_total_says_beyond_its_prompt(google: Google, server: LiveServer) -> None:
    usage = {"promptTokenCount": 187, "totalTokenCount": 200}
    server.turns = [[says("Teal."), {"serverContent": {"turnComplete": True}, "usageMetadata": usage}]]
    talks(google, ask)
    assert google.one().usage.output_tokens == 13


@TELLS
def test_searches_of_a_turn_are_counted(google: Google, server: LiveServer) -> None:
    grounding = {"webSearchQueries": ["weather", "weather paris"]}
    server.turns = [
        [{"serverContent": {**says("Sunny.")["serverContent"], "groundingMetadata": grounding}}, ends(9, 3)]
    ]
    talks(google, ask)
    assert google.one().usage.units == {"searches": 2}


async def leave_early(session: Any) -> None:
    await say(session)
    await session._receive()


def test_a_turn_that_the_app_leaves_is_abandoned(google: Google, server: LiveServer) -> None:
    server.turns = [[says("Hello")]]
    held: list[Any] = []

    async def talk(session: Any) -> None:
        held.append(session)
        await leave_early(session)

    talks(google, talk)
    event = google.one()
    assert (event.status, event.usage.input_tokens) == ("abandoned", None)


def test_a_turn_is_abandoned_where_the_app_fails(google: Google, server: LiveServer) -> None:
    server.turns = [[says("Hello")]]

    async def talk(session: Any) -> None:
        await leave_early(session)
        raise KeyError("the app's")

    with pytest.raises(KeyError, match="the app's"):
        talks(google, talk)
    assert google.one().status == "abandoned"


def test_a_session_that_breaks_within_a_turn_is_an_error(google: Google, server: LiveServer) -> None:
    server.turns = [[says("Hello"), CLOSES]]
    with pytest.raises(Exception, match=r"1011|internal error"):
        talks(google, ask)
    event = google.one()
    assert (event.status, event.http_status) == ("error", None)


def test_a_turn_is_abandoned_where_the_app_closes_the_session_while_it_receives(
    google: Google, server: LiveServer
) -> None:
    server.turns = [[says("Hello")]]

    async def talk(session: Any) -> None:
        await leave_early(session)
        receiving = asyncio.create_task(session._receive())
        await asyncio.sleep(0)
        await session.close()
        await receiving

    with pytest.raises(Exception, match="1000"):
        talks(google, talk)
    event = google.one()
    assert (event.status, event.error_type) == ("abandoned", None)


def test_a_session_that_breaks_between_turns_is_none(google: Google, server: LiveServer) -> None:
    server.turns = [[CLOSES]]
    with pytest.raises(Exception, match=r"1011|internal error"):
        talks(google, ask)
    assert google.all() == []


@TELLS
def test_a_receiver_that_is_cancelled_ends_no_turn(google: Google, server: LiveServer) -> None:
    server.turns = [[says("Hello")], [ends(10, 5)]]

    async def talk(session: Any) -> None:
        await leave_early(session)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(session._receive(), 0.05)
        await ask(session)

    talks(google, talk)
    event = google.one()
    assert (event.status, event.usage.input_tokens) == ("ok", 10)


@TELLS
def test_a_turn_belongs_to_who_receives_it(google: Google, server: LiveServer) -> None:
    server.turns = [[says("Hello"), ends(10, 5)]]

    async def talk(session: Any) -> None:
        with usage_tracker.attribute(project="alpha"):
            await ask(session)

    talks(google, talk)
    assert google.one_call()[0].project == "alpha"


def test_the_session_is_the_sdks_own(google: Google, server: LiveServer) -> None:
    manager = google.client.aio.live.connect(model=MODEL)
    assert type(manager).__name__ == "_AsyncGeneratorContextManager"

    async def talk(session: Any) -> type:
        return type(session)

    assert talks(google, talk) is live.AsyncSession
    assert google.all() == []


def test_a_budget_refuses_a_session_before_it_is_opened(google: Google, server: LiveServer) -> None:
    google.hold_to(known(budget(), spent="1"))
    with pytest.raises(usage_tracker.BudgetExceeded):
        talks(google, say)
    assert server.received == []
    assert google.all() == []


@TELLS
def test_a_session_that_is_open_goes_on_and_what_it_uses_counts(google: Google, server: LiveServer) -> None:
    server.turns = [[says("Hello."), ends(20, 5)], [says("Hello."), ends(30, 5)]]
    google.hold_to(known(budget(measure="tokens", limit=Decimal(20))))

    async def talk(session: Any) -> None:
        for _ in range(2):
            await say(session)
            async for _ in session.receive():
                pass

    talks(google, talk)
    assert [event.usage.input_tokens for event in google.events()] == [20, 30]
    with pytest.raises(usage_tracker.BudgetExceeded, match="has used 60 tokens"):
        talks(google, say)
