"""Work that is started now and done later: who starts it is a call, who asks for it brings what it used, once."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from capturing import KEY, Capturing, since
from started_work import BATCH_USAGE, RUN_USAGE, Workshop

from usage_tracker.capture import open_calls
from usage_tracker.demo.standin import StandIn
from usage_tracker.dsn import parse_dsn
from usage_tracker.event import UsageEvent
from usage_tracker.report import Query, run
from usage_tracker.stores import open_store

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")

THINK: Any = {"model": "gpt-5", "input": "Think.", "background": True}
FILE: Any = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
TOOL: Any = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
OUTPUTS: Any = [{"tool_call_id": "call_1", "output": "42"}]


@pytest.fixture
def workshop(capturing: Capturing) -> Workshop:
    found = Workshop()
    capturing.provider.reply = found
    return found


def used(event: UsageEvent) -> tuple[int | None, int | None]:
    return event.usage.input_tokens, event.usage.output_tokens


@since(1, 80)
class TestResponses:
    def test_starting_one_is_a_call_that_awaits_what_it_uses(self, capturing: Capturing, workshop: Workshop) -> None:
        begun = capturing.client.responses.create(**THINK)
        event = capturing.one()
        assert (event.awaits, event.completes, event.response_id) == (begun.id, None, begun.id)
        assert (event.operation, event.status, used(event), event.raw) == ("responses", "ok", (None, None), None)

    def test_who_asks_when_it_is_done_brings_what_it_used_and_nobody_else(
        self, capturing: Capturing, workshop: Workshop
    ) -> None:
        begun = capturing.client.responses.create(**THINK)
        capturing.one()
        assert capturing.client.responses.retrieve(begun.id).status == "in_progress"
        assert capturing.all() == []
        done = capturing.client.responses.retrieve(begun.id)
        event = capturing.one()
        assert done.usage is not None
        assert used(event) == (done.usage.input_tokens, done.usage.output_tokens)
        assert (event.awaits, event.completes, event.response_id) == (None, begun.id, begun.id)
        assert (event.model, event.operation, event.http_status) == ("gpt-5-2025-08-07", "responses", 200)
        for _ in range(3):
            capturing.client.responses.retrieve(begun.id)
        assert (capturing.all(), open_calls) == ([], {})

    def test_async_is_the_same(self, capturing: Capturing, workshop: Workshop) -> None:
        async def main() -> Any:
            async with capturing.aclient as client:
                begun = await client.responses.create(**THINK)
                for _ in range(3):
                    done = await client.responses.retrieve(begun.id)
                return done

        done = asyncio.run(main())
        (_, started), (_, told) = capturing.all()
        assert (started.awaits, told.completes) == (done.id, done.id)
        assert used(told) == (done.usage.input_tokens, done.usage.output_tokens)

    @pytest.mark.parametrize(
        "ask",
        [
            lambda client, id_: client.responses.with_raw_response.retrieve(id_).parse(),
            lambda client, id_: client.responses.with_raw_response.retrieve(id_),
            lambda client, id_: list(client.responses.retrieve(id_, stream=True)),
            lambda client, id_: read_whole(client.responses.with_streaming_response.retrieve(id_)),
            lambda client, id_: read_whole(client.responses.with_streaming_response.retrieve(id_, stream=True)),
            lambda client, id_: client.get(f"/responses/{id_}", cast_to=object),
        ],
        ids=["raw, parsed", "raw", "stream", "streaming response", "streamed body", "undocumented"],
    )
    def test_every_way_of_asking_brings_it(
        self, capturing: Capturing, workshop: Workshop, ask: Callable[[Any, str], object]
    ) -> None:
        workshop.polls = 0
        begun = capturing.client.responses.create(**THINK)
        capturing.one()
        ask(capturing.client, begun.id)
        event = capturing.one()
        usage = workshop.works[begun.id].done["usage"]
        assert (event.completes, *used(event)) == (begun.id, usage["input_tokens"], usage["output_tokens"])

    def test_a_stream_that_is_left_early_brings_nothing_and_may_be_taken_up(
        self, capturing: Capturing, workshop: Workshop
    ) -> None:
        with capturing.client.responses.create(**THINK, stream=True) as stream:
            begun = next(iter(stream))
        assert isinstance(begun, openai.types.responses.ResponseCreatedEvent)
        event = capturing.one()
        assert (event.awaits, event.status, used(event)) == (begun.response.id, "abandoned", (None, None))
        with capturing.client.responses.retrieve(begun.response.id, stream=True) as again:
            next(iter(again))
        assert capturing.all() == []
        with capturing.client.responses.stream(response_id=begun.response.id) as whole:
            whole.until_done()
        assert capturing.one().completes == begun.response.id

    def test_a_stream_that_is_read_to_its_end_has_said_all(self, capturing: Capturing, workshop: Workshop) -> None:
        workshop.polls = 0
        [*_, last] = capturing.client.responses.create(**THINK, stream=True)
        assert isinstance(last, openai.types.responses.ResponseCompletedEvent)
        event = capturing.one()
        assert last.response.usage is not None
        assert (event.awaits, event.completes, event.streamed) == (None, None, True)
        assert used(event) == (last.response.usage.input_tokens, last.response.usage.output_tokens)
        capturing.client.responses.retrieve(last.response.id)
        assert capturing.all() == []

    def test_one_that_is_cancelled_without_a_usage_says_none(self, capturing: Capturing, workshop: Workshop) -> None:
        begun = capturing.client.responses.create(**THINK)
        capturing.one()
        assert capturing.client.responses.cancel(begun.id).status == "cancelled"
        assert capturing.client.responses.retrieve(begun.id).status == "cancelled"
        assert (capturing.all(), open_calls) == ([], {})

    def test_one_that_failed_brings_what_it_used_all_the_same(self, capturing: Capturing, workshop: Workshop) -> None:
        begun = capturing.client.responses.create(**THINK)
        capturing.one()
        work = workshop.works[begun.id]
        error = {"code": "server_error", "message": "secret words"}
        workshop.works[begun.id] = work._replace(done={**work.done, "status": "failed", "error": error}, polls=0)
        capturing.client.responses.retrieve(begun.id)
        event = capturing.one()
        assert (event.completes, event.status, event.error_type) == (begun.id, "error", "server_error")
        assert event.usage.known()
        assert "secret words" not in repr(event)

    def test_asking_that_fails_is_no_event(self, capturing: Capturing, workshop: Workshop) -> None:
        begun = capturing.client.responses.create(**THINK)
        capturing.one()
        capturing.provider.fail_next(1, 500)
        with pytest.raises(openai.InternalServerError):
            capturing.client.responses.retrieve(begun.id)
        with pytest.raises(openai.APIConnectionError):
            capturing.client.with_options(base_url="http://127.0.0.1:9/v1").responses.retrieve(begun.id)
        assert (capturing.all(), open_calls) == ([], {})

    def test_a_start_that_fails_awaits_nothing(self, capturing: Capturing, workshop: Workshop) -> None:
        capturing.provider.fail_next(1, 500)
        with pytest.raises(openai.InternalServerError):
            capturing.client.responses.create(**THINK)
        event = capturing.one()
        assert (event.status, event.awaits) == ("error", None)


def read_whole(manager: Any) -> bytes:
    with manager as response:
        return b"".join(response.iter_bytes())


class TestBatches:
    def test_one_call_starts_it_and_one_usage_completes_it(self, capturing: Capturing, workshop: Workshop) -> None:
        begun = capturing.client.batches.create(**FILE)
        event = capturing.one()
        assert (event.operation, event.awaits, event.service_tier) == ("batch", begun.id, "batch")
        assert (used(event), event.raw) == ((None, None), None)
        for _ in range(4):
            capturing.client.batches.retrieve(begun.id)
        event = capturing.one()
        assert (event.operation, event.completes, event.service_tier) == ("batch", begun.id, "batch")
        assert (event.model, used(event)) == ("gpt-4o-mini-2024-07-18", (2400, 360))
        assert (event.usage.cache_read_tokens, event.usage.reasoning_tokens) == (1024, 64)
        assert event.raw == BATCH_USAGE

    def test_one_that_is_cancelled_has_used_what_it_did(self, capturing: Capturing, workshop: Workshop) -> None:
        begun = capturing.client.batches.create(**FILE)
        capturing.one()
        assert capturing.client.batches.cancel(begun.id).status == "cancelling"
        assert capturing.all() == []
        assert capturing.client.batches.retrieve(begun.id).status == "cancelled"
        assert (used(event := capturing.one()), event.completes) == ((2400, 360), begun.id)


class TestRuns:
    """https://github.com/openai/openai-python/blob/v2.54.0/src/openai/resources/beta/threads/runs/runs.py"""

    def start(self, capturing: Capturing, **fields: Any) -> Any:
        return capturing.client.beta.threads.runs.create(thread_id="thread_1", assistant_id="asst_1", **fields)

    def test_one_call_starts_it_and_one_usage_completes_it(self, capturing: Capturing, workshop: Workshop) -> None:
        begun = self.start(capturing)
        event = capturing.one()
        assert (event.operation, event.awaits, used(event)) == ("assistant", begun.id, (None, None))
        for _ in range(4):
            capturing.client.beta.threads.runs.retrieve(begun.id, thread_id="thread_1")
        event = capturing.one()
        assert (event.completes, event.model, used(event)) == (begun.id, "gpt-4o", (1200, 300))
        assert event.raw == RUN_USAGE

    @pytest.mark.parametrize("polls", [0, 1, 3])
    def test_helpers_that_poll_bring_it_once(self, capturing: Capturing, workshop: Workshop, polls: int) -> None:
        workshop.polls = polls
        threads = capturing.client.beta.threads
        for run_ in (
            threads.runs.create_and_poll(thread_id="thread_1", assistant_id="asst_1", poll_interval_ms=1),
            threads.create_and_run_poll(assistant_id="asst_1", poll_interval_ms=1),
        ):
            assert run_.status == "completed"
        (_, started), (_, told), (_, started_too), (_, told_too) = capturing.all()
        assert (started.awaits, started_too.awaits) == (told.completes, told_too.completes)
        assert (used(told), used(told_too)) == ((1200, 300), (1200, 300))

    def test_async_helpers_that_poll_bring_it_once(self, capturing: Capturing, workshop: Workshop) -> None:
        async def main() -> None:
            async with capturing.aclient as client:
                await client.beta.threads.runs.create_and_poll(
                    thread_id="thread_1", assistant_id="asst_1", poll_interval_ms=1
                )

        asyncio.run(main())
        (_, started), (_, told) = capturing.all()
        assert (started.awaits, used(told)) == (told.completes, (1200, 300))

    @pytest.mark.parametrize("polls", [0, 1])
    def test_tool_outputs_bring_what_the_whole_run_used_once(
        self, capturing: Capturing, workshop: Workshop, polls: int
    ) -> None:
        workshop.polls = polls
        runs = capturing.client.beta.threads.runs
        waiting = runs.create_and_poll(thread_id="thread_1", assistant_id="asst_1", tools=[TOOL], poll_interval_ms=1)
        assert waiting.status == "requires_action"
        assert capturing.one().awaits == waiting.id
        done = runs.submit_tool_outputs_and_poll(
            run_id=waiting.id, thread_id="thread_1", tool_outputs=OUTPUTS, poll_interval_ms=1
        )
        runs.retrieve(done.id, thread_id="thread_1")
        event = capturing.one()
        assert (done.status, event.completes, used(event)) == ("completed", waiting.id, (1200, 300))

    def test_a_stream_that_is_read_to_its_end_has_said_all(self, capturing: Capturing, workshop: Workshop) -> None:
        workshop.polls = 0
        list(self.start(capturing, stream=True))
        with capturing.client.beta.threads.create_and_run_stream(assistant_id="asst_1") as stream:
            stream.until_done()
        told = [(event.awaits, event.completes, used(event)) for _, event in capturing.all()]
        assert told == [(None, None, (1200, 300))] * 2
        run_ = stream.get_final_run()
        capturing.client.beta.threads.runs.retrieve(run_.id, thread_id=run_.thread_id)
        assert capturing.all() == []

    def test_a_stream_that_asks_for_tool_outputs_awaits_what_the_stream_after_them_brings(
        self, capturing: Capturing, workshop: Workshop
    ) -> None:
        runs = capturing.client.beta.threads.runs
        with runs.stream(thread_id="thread_1", assistant_id="asst_1", tools=[TOOL]) as first:
            first.until_done()
        started = capturing.one()
        assert (started.status, used(started)) == ("ok", (None, None))
        assert started.awaits is not None
        with runs.submit_tool_outputs_stream(
            run_id=started.awaits, thread_id="thread_1", tool_outputs=OUTPUTS
        ) as second:
            second.until_done()
        told = capturing.one()
        assert (told.completes, used(told), told.streamed) == (started.awaits, (1200, 300), True)
        list(runs.submit_tool_outputs(started.awaits, thread_id="thread_1", tool_outputs=OUTPUTS, stream=True))
        assert capturing.all() == []

    def test_one_that_is_cancelled_has_used_what_it_did(self, capturing: Capturing, workshop: Workshop) -> None:
        begun = self.start(capturing)
        capturing.one()
        capturing.client.beta.threads.runs.cancel(begun.id, thread_id="thread_1")
        assert capturing.all() == []
        capturing.client.beta.threads.runs.retrieve(begun.id, thread_id="thread_1")
        assert (used(event := capturing.one()), event.completes) == ((1200, 300), begun.id)


@since(1, 80)
def test_azure_is_the_same(capturing: Capturing, workshop: Workshop) -> None:
    workshop.polls = 0
    client = openai.AzureOpenAI(api_key=KEY, api_version="2025-04-01-preview", azure_endpoint=capturing.provider.url)
    response = client.responses.create(**{**THINK, "model": "my-deployment"})
    batch = client.batches.create(**FILE)
    run_ = client.beta.threads.runs.create(thread_id="thread_1", assistant_id="asst_1")
    awaited = [event.awaits for _, event in capturing.all()]
    assert awaited == [response.id, batch.id, run_.id]
    client.responses.retrieve(response.id)
    client.batches.retrieve(batch.id)
    client.beta.threads.runs.retrieve(run_.id, thread_id="thread_1")
    calls = capturing.all()
    assert [event.completes for _, event in calls] == awaited
    assert {origin.provider for origin, _ in calls} == {"azure"}
    client.close()


START = """
import sys, openai, usage_tracker
usage_tracker.install()
with usage_tracker.attribute(user="alice", project="alpha", tags=["tier:pro"]):
    client = openai.OpenAI(api_key="sk-test-0123456789")
    print(client.responses.create(model="gpt-5", input="Think.", background=True).id)
sys.exit(not usage_tracker.flush(30))
"""
POLL = """
import os, sys, openai, usage_tracker
polls = [os.fork()]
while all(polls) and len(polls) < 3:
    polls.append(os.fork())
if all(polls):
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(poll, 0)[1]) for poll in polls))
os.environ["TRACKER_SPOOL_DIR"] += str(len(polls))
usage_tracker.install(user="poller", project="ops")
client = openai.OpenAI(api_key="sk-test-0123456789")
while client.responses.retrieve(sys.argv[1]).status != "completed":
    pass
client.responses.retrieve(sys.argv[1])
sys.exit(not usage_tracker.flush(30))
"""


@since(1, 80)
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("pollers_first", [False, True])
def test_one_process_starts_and_others_poll(
    request: pytest.FixtureRequest, tmp_path: Path, own_environment: Path, kind: str, pollers_first: bool
) -> None:
    """Each process ships its own events, so that they arrive as they please; the start's are held back for a while."""
    dsn = f"sqlite:///{tmp_path}/usage.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_dsn"))
    with StandIn() as provider:
        provider.reply = workshop = Workshop(polls=5)

        def environment(name: str, **more: str) -> dict[str, str]:
            return {
                "PATH": os.environ["PATH"], "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
                "HOME": str(own_environment), "TRACKER_DSN": dsn,
                "PYTHONPATH": str(Path(__file__).parent.parent), "OPENAI_BASE_URL": provider.base_url,
                "TRACKER_SPOOL_DIR": str(tmp_path / name), **more,
            }  # fmt: skip

        held = {"TRACKER_SHIP": "off"} if pollers_first else {}
        started = subprocess.run(
            [sys.executable, "-c", START.replace("flush(30)", "flush(0)") if pollers_first else START],
            env=environment("start", **held), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (started.returncode, started.stderr) == (1 if pollers_first else 0, "")
        polling = [sys.executable, "-c", POLL, started.stdout.strip()]
        subprocess.run(polling, env=environment("poll-"), timeout=60, check=True)
        if pollers_first:
            shipped = [sys.executable, "-m", "usage_tracker", "ship", "--once"]
            subprocess.run(shipped, env=environment("start"), capture_output=True, timeout=60, check=True)
    [work] = workshop.works.values()
    store = open_store(parse_dsn(dsn))
    report = run(store, Query(by=("user", "project")))
    store.close()
    [row] = report.rows
    assert (row.group, row.calls, row.awaited, report.untold) == (("alice", "alpha"), 1, 1, 0)
    sent, received = work.done["usage"]["input_tokens"], work.done["usage"]["output_tokens"]
    assert (row.input_tokens, row.output_tokens, row.unpriced) == (sent, received, 0)
    # gpt-5: $1.25 and $10 for a million tokens
    assert row.cost == (sent * Decimal("1.25") + received * 10) / 1_000_000
