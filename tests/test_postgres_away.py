"""All the ways in which Postgres can be away, and what becomes of connections in a fork."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from faults.pgbouncer import PgBouncer
from in_postgres import database_of, one, rows_of, run
from made_events import made_event, random_events, store_events
from postgres_server import Databases, PostgresServer

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.event import Batch, PricedEvent, Stretch
from usage_tracker.stores.postgres import PostgresStore
from usage_tracker.stores.postgres.connection import Connections


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[PostgresStore]:
    opened = PostgresStore(parse_dsn(postgres_dsn))
    yield opened
    opened.close()


class TestAway:
    """Most of these raise StoreUnavailable, and the same store works again once the reason is gone."""

    def test_a_server_that_is_stopped(self, own_postgres: PostgresServer, fragile: PostgresStore) -> None:
        segment, first, second = uuid4(), random_events(1, 20), random_events(2, 20)
        assert fragile.write(Batch([Stretch(segment, 0, 10, 20)], first))
        own_postgres.stop()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                fragile.write(Batch([Stretch(segment, 10, 20, 20)], second))
        with pytest.raises(StoreUnavailable, match="Connection refused"):
            fragile.positions([segment])
        own_postgres.start()
        assert fragile.positions([segment]) == {segment: 10}
        assert fragile.write(Batch([Stretch(segment, 10, 20, 20)], second))
        assert rows_of(fragile, "events") == 40

    @pytest.mark.parametrize("how", ["crash", "kill", "restart"])
    def test_a_server_that_ends_between_two_batches_is_connected_to_anew(
        self, own_postgres: PostgresServer, fragile: PostgresStore, how: str
    ) -> None:
        store_events(fragile, random_events(1, 20))
        getattr(own_postgres, how)()
        own_postgres.start()
        store_events(fragile, random_events(2, 20))
        assert rows_of(fragile, "events") == 40

    def test_a_pooler_that_turns_to_a_replica_which_lacks_the_last_names_gets_them_again(
        self, own_postgres: PostgresServer, fragile: PostgresStore
    ) -> None:
        """The connection to a pooler outlives a failover behind it."""
        database = one(fragile, "SELECT current_database()")
        bouncer = PgBouncer(own_postgres.port)
        bouncer.start()
        try:
            with closing(
                PostgresStore(parse_dsn(f"postgresql://postgres@127.0.0.1:{bouncer.port}/{database}"))
            ) as store:
                store_events(store, [made_event(user_id="u-1")])
                own_postgres.run("TRUNCATE usage_tracker.usage_event, usage_tracker.usage_user", database)
                own_postgres.restart()
                with pytest.raises(StoreUnavailable, match=r"another server answers .* as after a failover"):
                    store_events(store, [made_event(user_id="u-1")])
                store_events(store, [made_event(user_id="u-1")])
                assert list(store.select("SELECT user_id FROM usage_tracker.events")) == [("u-1",)]
        finally:
            bouncer.close()

    def test_a_connection_that_is_lost_within_a_batch_leaves_nothing_of_it(
        self, own_postgres: PostgresServer, fragile: PostgresStore
    ) -> None:
        store_events(fragile, [made_event()])
        segment = uuid4()

        def ended_half_way() -> Iterator[PricedEvent]:
            yield from random_events(1, 1200)
            own_postgres.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'usage_tracker'"
            )
            yield from random_events(2, 1200)

        with pytest.raises(StoreUnavailable):
            fragile.write(Batch([Stretch(segment, 0, 10, 2400)], Late(ended_half_way)))
        assert fragile.positions([segment]) == {}
        assert rows_of(fragile, "events") == 1

    def test_a_server_that_is_frozen_is_given_up(self, own_postgres: PostgresServer, fragile: PostgresStore) -> None:
        connections: Connections = vars(fragile)["_connections"]
        with connections.transaction(seconds=5) as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable), connections.transaction(seconds=0.5) as cursor:
                cursor.execute("SELECT 1")
            assert 0.4 < time.monotonic() - began < 5
        finally:
            os.kill(pid, signal.SIGCONT)
        store_events(fragile, [made_event()])

    def test_a_server_that_is_frozen_holds_up_nobody_who_asks_it_to_give_up(
        self, own_postgres: PostgresServer, fragile: PostgresStore
    ) -> None:
        with ThreadPoolExecutor(1) as other:
            asked = other.submit(lambda: list(fragile.select("SELECT pg_sleep(60)")))
            while not vars(fragile)["_connections"]._busy:
                time.sleep(0.01)
            frozen = own_postgres.processes()
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            try:
                fragile.interrupt()
                with pytest.raises(StoreUnavailable):
                    asked.result(20)
            finally:
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)
        store_events(fragile, [made_event()])

    def test_a_statement_is_cancelled_where_the_servers_socket_has_another_name(
        self, own_postgres: PostgresServer
    ) -> None:
        """As in a container, which has the folder of the server's socket where it likes."""
        made: Path = vars(own_postgres)["_folder"]
        name, here = f".s.PGSQL.{own_postgres.port}", made / "here"
        here.mkdir(exist_ok=True)
        (made / name).rename(here / name)
        try:
            dsn = own_postgres.dsn("postgres", host=str(here))
            with closing(PostgresStore(parse_dsn(dsn))) as store, ThreadPoolExecutor(1) as other:
                asked = other.submit(lambda: list(store.select("SELECT pg_sleep(60)")))
                while not own_postgres.run("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
                    time.sleep(0.01)
                store.interrupt()
                with pytest.raises(StoreUnavailable, match="QueryCanceled"):
                    asked.result(20)
        finally:
            (here / name).rename(made / name)

    def test_a_connection_that_was_idle_for_long_is_not_used_again(
        self, own_postgres: PostgresServer, fragile: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a program finds it that was frozen, behind a firewall that forgot it: nobody answers on it."""
        store_events(fragile, random_events(1, 20))
        [(connection, _)] = vars(fragile)["_connections"]._idle
        os.kill(connection.get_backend_pid(), signal.SIGSTOP)
        frozen = connection.get_backend_pid()
        try:
            with monkeypatch.context() as clock:
                clock.setattr(time, "time", lambda now=time.time: now() + 61)
                began = time.monotonic()
                store_events(fragile, random_events(2, 20))
            assert time.monotonic() - began < 20
        finally:
            os.kill(frozen, signal.SIGCONT)
        assert rows_of(fragile, "events") == 40

    def test_a_statement_that_takes_too_long(self, postgres_dsn: str) -> None:
        connections = Connections(parse_dsn(postgres_dsn))
        with (
            pytest.raises(StoreUnavailable, match=r"took too long, or was told to stop \(QueryCanceled"),
            connections.transaction(statement_seconds=0.1) as cursor,
        ):
            cursor.execute("SELECT pg_sleep(20)")
        with connections.transaction() as cursor:
            cursor.execute("SELECT 1")
        connections.close()

    def test_a_replica_that_stops_a_question_to_keep_up_with_its_primary(self, store: PostgresStore) -> None:
        with (
            pytest.raises(StoreUnavailable, match="as a replica does; ask again, or set hot_standby_feedback"),
            vars(store)["_connections"].transaction(read_only=True) as cursor,
        ):
            cursor.execute("DO $$ BEGIN RAISE 'conflict with recovery' USING ERRCODE = '40001'; END $$")

    def test_a_server_that_is_read_only(self, store: PostgresStore, postgres_dsn: str) -> None:
        run(postgres_dsn, f"ALTER DATABASE {database_of(postgres_dsn)} SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="ReadOnlySqlTransaction"):
            store_events(store, [made_event()])

    def test_a_server_without_a_free_connection(self, postgres_databases: Databases, postgres_dsn: str) -> None:
        role, database = f"crowd_{uuid4().hex[:8]}", database_of(postgres_dsn)
        postgres_databases.run(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
        store = PostgresStore(parse_dsn(postgres_databases.dsn(database, user=role)))
        with pytest.raises(StoreUnavailable, match="too many connections"):
            store.positions([uuid4()])
        postgres_databases.run(f"DROP ROLE {role}")

    def test_a_host_that_nobody_knows(self) -> None:
        store = PostgresStore(parse_dsn("postgresql://u:hunter2@no-such-host.invalid/db"))
        with pytest.raises(StoreUnavailable, match=r"postgresql://u@no-such-host\.invalid/db.*host name is unknown"):
            store.positions([uuid4()])

    def test_several_hosts_of_which_each_fails_for_a_reason_of_its_own(self, own_postgres: PostgresServer) -> None:
        """As after a failover: that nobody listens at the old primary is no news."""
        own_postgres.let_in("another")
        here = f"127.0.0.1:{own_postgres.port}"
        store = PostgresStore(
            parse_dsn(f"postgresql://locked:hunter2@127.0.0.1:1,no-such-host.invalid,{here}/postgres")
        )
        reasons = (
            "Connection refused: no server listens there; its host name is unknown; password authentication failed"
        )
        with pytest.raises(StoreUnavailable, match=rf"{reasons} for user …\)"):
            store.positions([uuid4()])

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user whom the machine doesn't know")
    def test_an_address_without_a_user_in_a_container_that_has_none(self) -> None:
        asking = """if True:
            import os
            from uuid import uuid4
            from usage_tracker.dsn import parse_dsn
            from usage_tracker.errors import StoreUnavailable
            from usage_tracker.stores import open_store
            store = open_store(parse_dsn("postgresql://127.0.0.1/db"))
            os.setuid(54321)
            try:
                store.positions([uuid4()])
            except StoreUnavailable as error:
                print(error)
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        asked = subprocess.run(
            [sys.executable, "-c", asking], check=True, env=environment, capture_output=True, text=True
        )
        assert "(local user with ID 54321 does not exist)" in asked.stdout

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("service=no_such_service", "(service file|definition of service) … not found"),
            ("postgresql://u:hunter2@127.0.0.1/db?sslmode=always", "invalid sslmode value: …"),
            ("host=one,two,three port=1,2", "could not match 2 port numbers to 3 hosts"),
            ("sslmode=require sslrootcert=system", "weak sslmode … may not be used with sslrootcert=system .*"),
        ],
    )
    def test_an_address_of_which_nothing_can_be_tried(self, text: str, why: str) -> None:
        with pytest.raises(StoreUnavailable, match=rf"can't be reached \({why}\)"):
            PostgresStore(parse_dsn(text)).positions([uuid4()])

    def test_a_server_whose_language_is_not_in_utf_8(self) -> None:
        """Its words were an error of Python's, which commands ended with in a traceback."""
        said = "SFATAL\0C28P01\0MPasswort-Authentifizierung für Benutzer »app« fehlgeschlagen\0\0".encode("latin-1")

        def refuse() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"E" + struct.pack("!i", len(said) + 4) + said)

        with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
            port = server.getsockname()[1]
            refusing = threads.submit(refuse)
            text = f"postgresql://app@127.0.0.1:{port}/db?sslmode=disable&gssencmode=disable"
            with pytest.raises(StoreUnavailable, match="Passwort-Authentifizierung"):
                PostgresStore(parse_dsn(text)).positions([uuid4()])
            refusing.result()

    def test_a_database_that_does_not_exist(self, postgres_databases: Databases) -> None:
        store = PostgresStore(parse_dsn(postgres_databases.dsn("no_such_database")))
        with pytest.raises(StoreUnavailable, match="database … does not exist: `createdb` makes one"):
            store.migrate()


class TestFork:
    def test_what_a_parent_has_locked_is_free_once_it_is_killed_though_its_child_lives_on(
        self, store: PostgresStore, postgres_dsn: str
    ) -> None:
        """Its child had the socket too, so that the server waited for two minutes for somebody who was no more."""
        parent = """if True:
            import os, signal, sys
            from usage_tracker.dsn import parse_dsn
            from usage_tracker.stores import open_store

            def work(execute):
                execute("LOCK TABLE usage_tracker.budget_account IN EXCLUSIVE MODE", [])
                if os.fork() == 0:
                    os.read(0, 1)  # until the test has ended
                    os._exit(0)
                os.kill(os.getpid(), signal.SIGKILL)

            open_store(parse_dsn(sys.argv[1])).change(work)
        """
        with subprocess.Popen([sys.executable, "-c", parent, postgres_dsn], stdin=subprocess.PIPE) as process:
            assert process.wait(timeout=20) == -signal.SIGKILL
            with store._connections.transaction(statement_seconds=5) as cursor:
                cursor.execute("LOCK TABLE usage_tracker.budget_account IN EXCLUSIVE MODE")

    def test_a_child_writes_through_a_connection_of_its_own(self, store: PostgresStore) -> None:
        store_events(store, [made_event()])
        child = os.fork()
        if child == 0:
            try:
                store_events(store, [made_event()])
                store.close()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        backend = one(store, "SELECT count(*) FROM usage_tracker.events")
        assert backend == 2


class Late(list[PricedEvent]):
    """Events that do something while they are read for the last time: while they are sent."""

    ROUNDS_BEFORE = 3

    def __init__(self, made: Any) -> None:
        super().__init__(random_events(1, 1))
        self._made = made
        self._rounds = 0

    def __iter__(self) -> Iterator[PricedEvent]:
        self._rounds += 1
        before = self._rounds <= self.ROUNDS_BEFORE
        return iter(random_events(1, 1200) + random_events(2, 1200)) if before else self._made()
