"""What a receiver got equals the store, whatever happens to it or to the process that feeds it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path

import pytest
from feeding import SECRET, begin_at, feed, in_order, stored, webhook
from gemini_server import GeminiServer
from made_events import NOON, made_event, store_events
from migrated import migrated
from receivers import Receiver, each_once

from usage_tracker import feeding
from usage_tracker.config import load_settings
from usage_tracker.demo.standin import StandIn
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import ConfigError
from usage_tracker.feeding import feed_once
from usage_tracker.outgoing import retry_after, sign
from usage_tracker.sink_addresses import parse_sinks
from usage_tracker.sinks import Feeder, NotTaken, forget_sink, open_sink, standings
from usage_tracker.stores import Store, open_store

PATIENCE = 60


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    with migrated(dsn) as opened:
        yield opened


def test_the_secret_of_the_settings_signs_what_webhooks_get(store: Store, dsn: str, receiver: Receiver) -> None:
    asked = {"TRACKER_DSN": dsn, "TRACKER_SINKS": f"http://127.0.0.1:{receiver.port}/", "TRACKER_SINK_SECRET": SECRET}
    settings = load_settings(asked)
    assert feed_once(settings, pytest.fail)  # known from now on
    store_events(store, [made_event()])
    assert feed_once(settings, pytest.fail)
    [(_, headers, body)] = receiver.posts
    seconds = int(headers["x-usage-tracker-signature"].split(",")[0].removeprefix("t="))
    assert headers["x-usage-tracker-signature"] == sign(SECRET, body, seconds)


def test_a_webhook_gets_what_comes_signed_and_each_once(store: Store, receiver: Receiver) -> None:
    store_events(store, [made_event()])  # before the sink was known
    before = stored(store)
    feeder = begin_at(store, webhook(receiver), SECRET)
    store_events(store, [made_event(cost=f"0.{place:03}") for place in range(700)])
    store_events(store, [made_event(cost=None, flags=("unpriced",))])
    feed(feeder)
    events, times = each_once(receiver.bodies(), "id", "events")
    expected = {name: event for name, event in stored(store).items() if name not in before}
    assert sorted(event["event_id"] for event in events) == sorted(expected)
    total = sum(Decimal(event["cost"]) for event in events if event["cost"] is not None)
    assert total == sum(event["cost"] for event in expected.values() if event["cost"] is not None)
    assert set(times.values()) == {1}
    for path, headers, body in receiver.posts:
        assert path == f"/{SECRET}"
        assert headers["x-usage-tracker-id"] == headers["idempotency-key"] == json.loads(body)["id"]
        seconds = int(headers["x-usage-tracker-signature"].split(",")[0].removeprefix("t="))
        assert headers["x-usage-tracker-signature"] == sign(SECRET, body, seconds)
    [standing] = standings(store)
    assert (standing.events, standing.waiting, standing.problem) == (701, 0, None)
    feeder.close()


@pytest.mark.parametrize("status", [500, 429, 401, 404, -1])
def test_what_a_receiver_does_not_take_is_sent_again_under_the_same_id(
    store: Store, receiver: Receiver, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.headers["Retry-After"] = "7"
    feeder = begin_at(store, webhook(receiver), SECRET)
    store_events(store, [made_event() for _ in range(20)])
    receiver.answers = [status]
    with monkeypatch.context() as patch:
        if status < 0:
            patch.setattr("usage_tracker.outgoing.ATTEMPT_SECONDS", 2.0)
        with pytest.raises(NotTaken) as caught:
            feeder.step()
    assert SECRET not in str(caught.value)
    assert caught.value.after == (None if status < 0 else 7.0)
    assert feeder.delay(caught.value) >= (0.5 if status < 0 else 7)
    [standing] = standings(store)
    assert (standing.waiting, standing.problem) == (20, str(caught.value))
    store_events(store, [made_event()])  # what comes meanwhile is no part of what is sent again
    feed(feeder)
    events, times = each_once(receiver.bodies(), "id", "events")
    assert sorted(event["event_id"] for event in events) == sorted(stored(store))
    assert sorted(times.values()) == ([1, 2] if status < 0 else [1, 1])
    assert standings(store)[0].problem is None
    feeder.close()


def test_a_receiver_that_takes_no_large_posts_gets_smaller_ones(store: Store, receiver: Receiver) -> None:
    feeder = begin_at(store, webhook(receiver), SECRET)
    store_events(store, [made_event() for _ in range(100)])
    receiver.largest = 50_000
    feed(feeder)
    events, times = each_once(receiver.bodies(), "id", "events")
    assert sorted(event["event_id"] for event in events) == sorted(stored(store))
    assert set(times.values()) == {1}
    assert 1 <= receiver.refused <= 3
    receiver.largest = 10
    store_events(store, [made_event()])
    with pytest.raises(NotTaken, match="answered 413"):
        feed(feeder)
    feeder.close()


def test_who_dies_between_sending_and_saying_so_is_followed_by_one_that_sends_the_same(
    store: Store, receiver: Receiver, dsn: str
) -> None:
    feeder = begin_at(store, webhook(receiver), SECRET)
    store_events(store, [made_event() for _ in range(1200)])
    assert feeder.step()
    receiver.answers = [-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("usage_tracker.outgoing.ATTEMPT_SECONDS", 2.0)
        with pytest.raises(NotTaken):
            feeder.step()
    store_events(store, [made_event() for _ in range(30)])
    with closing(open_store(parse_dsn(dsn))) as other:
        successor = Feeder(webhook(receiver), other, open_sink)
        assert not successor.step(), "the sink is the first one's still"
        feeder.close()
        feed(successor)
        successor.close()
    events, times = each_once(receiver.bodies(), "id", "events")
    assert len(events) == 1230
    assert sorted(event["event_id"] for event in events) == sorted(stored(store))
    assert sorted(times.values()) == [1, 1, 1, 2]


def test_who_dies_where_a_receiver_takes_few_at_once_is_followed_by_one_that_sends_the_same(
    store: Store, receiver: Receiver
) -> None:
    feeder = begin_at(store, webhook(receiver), SECRET)
    receiver.largest = 60_000
    store_events(store, [made_event() for _ in range(100)])
    feed(feeder)
    assert {len(body["events"]) for body in receiver.bodies()} == {50}
    store_events(store, [made_event() for _ in range(80)])
    receiver.answers = [-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("usage_tracker.outgoing.ATTEMPT_SECONDS", 0.5)
        with pytest.raises(NotTaken):
            feeder.step()
    feeder.close()
    successor = Feeder(webhook(receiver), store, open_sink)
    feed(successor)
    successor.close()
    events, times = each_once(receiver.bodies(), "id", "events")
    assert sorted(event["event_id"] for event in events) == sorted(stored(store))
    assert sorted(times.values()) == [1, 1, 1, 2]


def test_what_is_pruned_of_a_batch_that_a_sink_has_a_part_of_takes_nothing_else_from_it(
    store: Store, receiver: Receiver
) -> None:
    feeder = begin_at(store, webhook(receiver), SECRET)
    batch = [made_event(NOON + timedelta(minutes=place)) for place in range(1200)]
    store_events(store, [in_order(event, place) for place, event in enumerate(batch)])
    expected = sorted(stored(store))
    assert feeder.step()
    feeder.close()
    assert sum(store.prune(NOON + timedelta(minutes=600))) == 600
    successor = begin_at(store, webhook(receiver), SECRET)
    events, times = each_once(receiver.bodies(), "id", "events")
    assert sorted(event["event_id"] for event in events) == expected[:500] + expected[600:]
    assert set(times.values()) == {1}
    assert standings(store)[0].waiting == 0
    successor.close()


def test_a_slow_sink_delays_no_other(store: Store, receiver: Receiver) -> None:
    other = Receiver()
    addresses = parse_sinks((f"a=http://127.0.0.1:{receiver.port}/", f"b=http://127.0.0.1:{other.port}/"))
    first, second = (begin_at(store, address, SECRET) for address in addresses)
    store_events(store, [made_event() for _ in range(5)])
    receiver.answers = [503] * 3
    for _ in range(3):
        with pytest.raises(NotTaken):
            first.step()
    feed(second)
    assert [(found.name, found.waiting, found.events) for found in standings(store)] == [("a", 5, 0), ("b", 0, 5)]
    feed(first)
    assert [found.waiting for found in standings(store)] == [0, 0]
    first.close()
    second.close()
    other.close()


def test_who_waits_until_a_receiver_wants_to_be_asked_again_keeps_the_sink(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host would ask at once, and so would each after it."""
    monkeypatch.setattr(feeding, "KEEP_SECONDS", 0.01)
    [address] = parse_sinks((f"http://127.0.0.1:{receiver.port}",))
    feeder = begin_at(store, address, SECRET)
    store_events(store, [made_event()])
    receiver.answers = [429]
    with pytest.raises(NotTaken):
        feeder.step()

    def lease() -> float:
        [(until,)] = list(store.select(f"SELECT claimed_until FROM {store.dialect.prefix}sink"))
        return float(str(until))

    before = lease()
    feeding.rest(feeder, 0.05, threading.Event())
    assert lease() > before
    feeder.close()


def test_a_sink_is_its_feeders_whatever_the_clocks_of_other_hosts_say(
    postgres_dsn: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that was ahead by more than a lease took it from who was feeding it, and kept others away for so long."""
    real = time.time
    with migrated(postgres_dsn) as store, migrated(postgres_dsn) as other:
        feeder = begin_at(store, webhook(receiver), SECRET)
        monkeypatch.setattr(time, "time", lambda: real() + 3600)
        ahead = Feeder(webhook(receiver), other, open_sink)
        assert not ahead.step()
        assert not ahead.feeds
        monkeypatch.setattr(time, "time", real)
        assert [found.fed_by for found in standings(store)] == [standings(other)[0].fed_by]
        feeder.close()


def test_a_lease_of_a_clock_that_was_ahead_keeps_nobody_away(store: Store, receiver: Receiver) -> None:
    """Where it was set back, or by an earlier version's own clock."""
    feeder = begin_at(store, webhook(receiver), SECRET)
    sql = f"UPDATE {store.dialect.prefix}sink SET claimed_until = {time.time() + 31_536_000}"
    store.change(lambda execute: execute(sql, []))
    assert standings(store)[0].fed_by is None
    successor = begin_at(store, webhook(receiver), SECRET)
    assert successor.feeds
    successor.close()
    feeder.close()


def test_a_forgotten_sink_leaves_nothing(store: Store, receiver: Receiver) -> None:
    feeder = begin_at(store, webhook(receiver), SECRET)
    store_events(store, [made_event()])
    feed(feeder)
    assert forget_sink(store, "hook")
    assert not forget_sink(store, "hook")
    store_events(store, [made_event()])
    assert list(store.select(f"SELECT count(*) FROM {store.dialect.prefix}usage_batch")) == [(0,)]
    feeder.close()


APP = """
import os, sys, usage_tracker
usage_tracker.install(app="shop")
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1000, output_tokens=10)
    print(usage_tracker.flush(60), flush=True)
"""


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_apps_that_are_killed_leave_their_sinks_to_the_next(dsn: str, receiver: Receiver, tmp_path: Path) -> None:
    """The leader feeds while the app runs; nothing is lost and nothing comes under another id."""
    environment = {
        **os.environ,
        "TRACKER_DSN": dsn,
        "TRACKER_SINKS": f"hook=http://127.0.0.1:{receiver.port}/{SECRET}",
        "TRACKER_SPOOL_DIR": str(tmp_path / "spool"),
    }

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", APP],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(app: subprocess.Popen[str], count: int) -> None:
        assert app.stdin is not None
        assert app.stdout is not None
        app.stdin.write(f"{count}\n")
        app.stdin.flush()
        while (line := app.stdout.readline()) and "True" not in line:
            pass

    def end(app: subprocess.Popen[str]) -> str:
        return "".join(app.communicate(timeout=PATIENCE))

    with migrated(dsn) as store:
        app = start()
        call(app, 1)
        wait_for(lambda: len(standings(store)) == 1)
        call(app, 300)
        receiver.answers = [500, 500, -1]
        call(app, 300)
        wait_for(lambda: not receiver.answers)
        app.send_signal(signal.SIGKILL)
        said = end(app)
        app = start()
        call(app, 50)
        wait_for(lambda: standings(store)[0].waiting == 0)
        said += end(app)
        assert "is behind, and is tried again" in said
        assert SECRET not in said
        events, _ = each_once(receiver.bodies(), "id", "events")
        got = sorted(event["event_id"] for event in events)
        assert len(got) == len(set(got))
        assert set(got) <= set(stored(store))
        assert len(got) >= 650, "all but what came before the sink was known"


class TestAddresses:
    def test_what_is_wrong_is_said_without_the_address(self) -> None:
        for text, expected in (
            (f"ftp://{SECRET}", "none of these"),
            (f"http://example.com/{SECRET}", "it goes over https"),
            (f"https://169.254.169.254/{SECRET}", "link-local"),
            (f"nats://{SECRET}@127.0.0.1", "names no subject"),
            (f"kafka://u:{SECRET}@127.0.0.1:9092/", "names no topic"),
            ("posthog://eu.i.posthog.com", "lacks the project's key"),
            (f"https://u:{SECRET}@example.com/", "has a user"),
            (f"https://[{SECRET}/", "none of these"),
            (f"https://example.com:{SECRET}/", "none of these"),
            (f"https://a.example;b.example/{SECRET}", "more than one host"),
            (f"https://{'a' * 64}.example/{SECRET}", "none of these"),
            (f"otlp://127.0.0.1?api-key={SECRET}%0A", "a header in its query"),
            (f"otlp://127.0.0.1?api-key=日本{SECRET}", "a header in its query"),
            (f"otlp://127.0.0.1?api:key={SECRET}", "a header in its query"),
        ):
            with pytest.raises(ConfigError, match=expected) as caught:
                parse_sinks((text,))
            assert SECRET not in str(caught.value)

    def test_a_path_may_have_any_letters(self, store: Store, receiver: Receiver) -> None:
        [address] = parse_sinks((f"http://127.0.0.1:{receiver.port}/ü?key=%20é",))
        feeder = begin_at(store, address, SECRET)
        store_events(store, [made_event()])
        feed(feeder)
        feeder.close()
        assert receiver.posts[0][0] == "/%C3%BC?key=%20%C3%A9"

    def test_two_sinks_need_two_names(self) -> None:
        with pytest.raises(ConfigError, match="two sinks named webhook"):
            parse_sinks(("https://a.example/", "https://b.example/"))

    def test_the_config_file_has_a_table_of_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from usage_tracker.config_file import with_config

        path = tmp_path / "config.toml"
        path.write_text('[sinks]\nbilling = "https://example.com/x"\notel = "otlp://collector"\n')
        monkeypatch.setenv("TRACKER_CONFIG", str(path))
        found = load_settings(with_config()).sinks
        assert [(sink.name, sink.kind) for sink in found] == [("billing", "webhook"), ("otel", "otlp")]
        assert "example.com/x" not in repr(found)


def test_a_missing_client_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name == "usage_tracker.sinks.nats" or name.startswith("nats."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nats", None)
    [address] = parse_sinks(("nats://127.0.0.1/usage",))
    with pytest.raises(ConfigError, match=r"needs nats.*pip install 'usage-tracker-llm\[nats\]'"):
        open_sink(address)


def test_a_sink_whose_client_is_missing_holds_up_no_other(
    store: Store, dsn: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "usage_tracker.sinks.nats", None)
    asked = {"TRACKER_DSN": dsn, "TRACKER_SINKS": f"nats://127.0.0.1/usage,http://127.0.0.1:{receiver.port}/"}
    said: list[str] = []
    assert not feed_once(load_settings(asked), said.append)
    store_events(store, [made_event()])
    assert not feed_once(load_settings(asked), said.append)
    assert len(receiver.posts) == 1
    assert said[-1].startswith("the sink nats needs ")


def test_who_feeds_once_says_that_a_sink_which_somebody_else_feeds_is_behind(
    store: Store, dsn: str, receiver: Receiver
) -> None:
    asked = {"TRACKER_DSN": dsn, "TRACKER_SINKS": f"hook=http://127.0.0.1:{receiver.port}/"}
    [address] = load_settings(asked).sinks
    feeder = begin_at(store, address)
    said: list[str] = []
    store_events(store, [made_event()])
    assert feed_once(load_settings(asked), said.append)  # in a moment it is there
    receiver.answers = [500]
    with pytest.raises(NotTaken):
        feed(feeder)
    assert not feed_once(load_settings(asked), said.append)
    assert said == [f"The sink hook is behind: http://127.0.0.1:{receiver.port}/… answered 500."]
    feed(feeder)
    assert feed_once(load_settings(asked), said.append)
    assert len(receiver.posts) == 1
    feeder.close()


ASKING = """
import asyncio, sys, threading, time
import usage_tracker
usage_tracker.install(batch_seconds=0.01)
errors, until = [], time.monotonic() + 30

def more():
    return not errors and usage_tracker.stats().stored == 0 and time.monotonic() < until

async def ask(asked):
    while more():
        try:
            await asked()
        except Exception as error:
            errors.append(repr(error))

async def main():
    asked = client()
    await asyncio.gather(*(ask(asked) for _ in range(3)))

asyncio.run(main())
print(*errors, usage_tracker.stats().stored > 0, sys.argv[2] in sys.modules)
"""
OPENAI = """
def client():
    import openai
    completions = openai.AsyncOpenAI(api_key="sk-x", base_url=sys.argv[1] + "/v1", max_retries=0).chat.completions
    return lambda: completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])
"""
GEMINI = """
def client():
    from google import genai
    client = genai.Client(api_key="AIza-x", http_options={"base_url": sys.argv[1]})  # kept: without it, `aio` is closed
    return lambda: client.aio.models.generate_content(model="gemini-2.5-flash", contents="Hello")
"""


@pytest.mark.parametrize(
    ("client", "server", "sink", "library"),
    [(OPENAI, StandIn, "posthog+http://phc_key@", "httpx"), (GEMINI, GeminiServer, "otlp://", "requests")],
    ids=["openai", "google-genai"],
)
def test_calls_go_on_while_our_thread_imports_a_client_with_what_the_sdk_looks_for(
    client: str, server: type[StandIn], sink: str, library: str, receiver: Receiver, tmp_path: Path
) -> None:
    """With openai 3 each call looks for a loaded httpx, and with google-genai 3 each async one for requests."""
    environment = {
        **os.environ,
        "TRACKER_DSN": f"sqlite:///{tmp_path}/usage.db",
        "TRACKER_SPOOL_DIR": str(tmp_path / "spool"),
        "TRACKER_SINKS": f"{sink}127.0.0.1:{receiver.port}",
    }
    with server() as provider:
        command = [sys.executable, "-W", "ignore", "-c", client + ASKING, provider.url, library]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout == "True True\n", ran.stderr[-2000:]


def test_whoever_ships_says_once_that_a_client_is_missing(
    store: Store, dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "usage_tracker.sinks.nats", None)
    chore = feeding.Feeding(load_settings({"TRACKER_DSN": dsn, "TRACKER_SINKS": "nats://127.0.0.1/usage"}))
    chore.load()
    chore(store)
    while not caplog.messages:
        time.sleep(0.01)
    chore(store, last=True)
    assert len(caplog.messages) == 1


def test_a_receiver_says_when_to_come_again_in_seconds_or_by_a_date() -> None:
    assert retry_after("120") == 120
    assert 3500 < (retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)) or 0) <= 3600
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [retry_after(said) for said in (None, "", "soon", "-5", "1.5", "Wed, 99 Oct 2026", "9" * 400 + "x")] == [
        None
    ] * 7
