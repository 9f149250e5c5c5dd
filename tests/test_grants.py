"""Roles of their own in Postgres: with what `migrate --print-grants` prints, each can do its work and nothing else."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from click.testing import Result
from commanding import invoke
from made_events import made_event, store_events
from postgres_server import Databases
from psycopg2.errors import InsufficientPrivilege
from receivers import Receiver

from usage_tracker.demo.standin import StandIn
from usage_tracker.dsn import parse_dsn
from usage_tracker.sink_addresses import parse_sinks
from usage_tracker.sinks import Feeder, forget_sink, open_sink, standings
from usage_tracker.stores import open_store

APP = """
import sys, usage_tracker
usage_tracker.install(app="shop", project="alpha", user="u-1", tags=["tier:pro"])
for _ in range(int(sys.argv[1])):
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1000, output_tokens=10)
print(usage_tracker.flush(float(sys.argv[2])))
"""

ASK = """
import sys, time, openai, usage_tracker
usage_tracker.install()
client = openai.OpenAI(api_key="sk-test", base_url=sys.argv[1], max_retries=0)

def ask(team):
    with usage_tracker.attribute(team=team):
        try:
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])
        except usage_tracker.BudgetExceeded:
            return "refused"
    return "made"

deadline = time.monotonic() + 30
while (shut := ask("shut")) != sys.argv[2] and time.monotonic() < deadline:
    time.sleep(0.2)
print(f"open was {ask('open')}, shut was {shut}")
"""


SAID = """
class Heard(logging.Handler):
    heard = False
    def emit(self, record):
        self.heard = self.heard or "is not fed" in record.getMessage()

heard = Heard()
logging.getLogger("usage_tracker").addHandler(heard)
logging.getLogger("usage_tracker").addHandler(logging.StreamHandler())
usage_tracker.install()
usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1000, output_tokens=10)
deadline = time.monotonic() + 30
while not heard.heard and time.monotonic() < deadline:
    time.sleep(0.05)
"""


class Roles:
    """A database whose owner is no superuser, and roles that log in and have what was printed for them."""

    def __init__(self, databases: Databases, database: str, home: Path) -> None:
        self.databases = databases
        self.database = database
        self.home = home
        unique = uuid4().hex[:8]
        self.names = {
            "owner": f"owner_{unique}",
            "writer": f'App "writer" {unique}',
            "shipper": f"shipper_{unique}",
            "reader": f"reader_{unique}",
            "feeder": f"feeder_{unique}",
        }
        for name in self.names.values():
            databases.run(f"CREATE ROLE {self.quoted(name)} LOGIN")
        databases.run(f"CREATE SCHEMA usage_tracker AUTHORIZATION {self.names['owner']}", database)
        self.command("owner", "migrate")
        self.grant()

    def quoted(self, name: str) -> str:
        return '"{}"'.format(name.replace('"', '""'))

    def dsn(self, kind: str) -> str:
        return self.databases.dsn(self.database, user=self.names[kind])

    def grant(self) -> None:
        words = [word for kind in set(self.names) - {"owner"} for word in (f"--{kind}", self.names[kind])]
        self.run("owner", invoke("migrate", "--print-grants", *words).stdout)

    def run(self, kind: str, sql: str) -> list[tuple[object, ...]]:
        connection = psycopg2.connect(self.dsn(kind))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def command(self, kind: str, *words: str, spool: str = "spool", code: int = 0, **environ: str) -> Result:
        environment = {
            "TRACKER_DSN": self.dsn(kind), "TRACKER_SPOOL_DIR": str(self.home / spool),
            "TRACKER_SDKS": "openai",  # doctor imports them
            **environ,
        }  # fmt: skip
        result = invoke(*words, env=environment)
        assert result.exit_code == code, (words, result.output, result.exception)
        return result

    def calls(self, kind: str, count: int, **environ: str) -> None:
        stored = "TRACKER_SHIP" not in environ
        done = self.program(kind, APP, str(count), "30" if stored else "0", **environ)
        assert (done.stdout, done.stderr) == (f"{stored}\n", "")

    def program(self, kind: str, source: str, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", source, *words],
            env={
                "PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": str(Path(__file__).parent.parent),
                "TRACKER_DSN": self.dsn(kind), "TRACKER_SPOOL_DIR": str(self.home / "spool"), **environ,
            },
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip

    def count(self, table: str) -> object:
        return self.run("owner", f"SELECT count(*) FROM usage_tracker.{table}")[0][0]

    def refuses(self, kind: str, *statements: str) -> None:
        for statement in statements:
            with pytest.raises(InsufficientPrivilege):
                self.run(kind, statement)

    def drop(self) -> None:
        for name in reversed(self.names.values()):
            self.databases.run(f"DROP OWNED BY {self.quoted(name)} CASCADE", self.database)
            self.databases.run(f"DROP ROLE {self.quoted(name)}")


@pytest.fixture
def roles(postgres_databases: Databases, tmp_path: Path) -> Iterator[Roles]:
    database = postgres_databases.create(migrated=False)
    roles = Roles(postgres_databases, database, tmp_path)
    yield roles
    roles.drop()
    postgres_databases.drop(database)


EVENTS = ("usage_event", "events", "daily", "by_hour", "by_day_user", "delta_hour", "rollup_day", "usage_original")
BUILD = (
    "CREATE TABLE usage_tracker.mine (a integer)",
    "CREATE VIEW usage_tracker.mine AS SELECT 1",
    "DROP TABLE usage_tracker.usage_event",
    "ALTER TABLE usage_tracker.usage_event ADD COLUMN mine text",
    "TRUNCATE usage_tracker.usage_event",
)
CHANGE = (
    "DELETE FROM usage_tracker.usage_event",
    "UPDATE usage_tracker.usage_event SET cost = 0",
    "DELETE FROM usage_tracker.delta_day_user",
    "UPDATE usage_tracker.rollup_day SET cost = 0",
    "DELETE FROM usage_tracker.journal_offset",
    "DELETE FROM usage_tracker.usage_owner",
    "INSERT INTO usage_tracker.price_version (version, note) VALUES (1, 'free')",
)


def test_a_writer_stores_each_event_once(roles: Roles) -> None:
    roles.calls("writer", 20, TRACKER_SHIP="off")
    shutil.copytree(roles.home / "spool", roles.home / "again", ignore=shutil.ignore_patterns("bell"))
    for spool in ("spool", "again"):
        roles.command("writer", "ship", "--once", spool=spool)
    assert roles.count("events") == 20
    roles.calls("writer", 5)
    assert roles.count("events") == 25


def test_a_writer_can_neither_read_events_nor_change_anything(roles: Roles) -> None:
    roles.calls("writer", 5)
    roles.refuses("writer", *(f"SELECT * FROM usage_tracker.{name}" for name in EVENTS))
    roles.refuses("writer", *BUILD, *CHANGE)
    said = roles.command("writer", "report", code=4).output
    assert "--print-grants" in said
    assert "store" in roles.command("writer", "doctor", code=0).output
    assert roles.count("events") == 5


def test_a_reader_reads_everything(roles: Roles) -> None:
    roles.calls("writer", 5)
    for words in (["report"], ["daily", "--by", "model"], ["events"], ["top", "model"]):
        assert "gpt-4o-mini" in roles.command("reader", *words, "-o", "json").stdout
    assert "alpha" in roles.command("reader", "report", "--by", "project,user,tag").stdout
    roles.command("reader")
    assert "0.00" in roles.command("reader", "query", "SELECT sum(cost) FROM events", "-o", "csv").stdout
    [event_id] = roles.command("reader", "query", "SELECT min(event_id::text) FROM events", "-o", "csv").stdout.split()[
        1:
    ]
    assert "input_tokens" in roles.command("reader", "events", "show", event_id).stdout
    roles.command("reader", "prices", "list", "gpt-4o")
    roles.command("reader", "prices", "unpriced")
    roles.command("reader", "reprice", "--since", "7d")
    roles.command("reader", "doctor")


def test_who_may_not_read_budgets_is_told_the_rest(roles: Roles) -> None:
    roles.calls("writer", 5)
    roles.command("owner", "budget", "set", "all", "--limit", "1")
    for words in (("report",), ()):
        assert "Budgets" in roles.command("reader", *words).stdout
    roles.run("owner", f"REVOKE SELECT ON usage_tracker.budget FROM PUBLIC, {roles.names['reader']}")
    for words in (("report",), ()):
        told = roles.command("reader", *words).stdout
        assert ("gpt-4o-mini" in told, "Budgets" in told) == (True, False)


def test_a_reader_changes_nothing(roles: Roles) -> None:
    roles.calls("writer", 5)
    roles.refuses("reader", *BUILD, *CHANGE)
    roles.refuses("reader", "INSERT INTO usage_tracker.usage_event SELECT * FROM usage_tracker.usage_event")
    roles.command("reader", "prices", "set", "gpt-*", "--input", "1", "--output", "1", code=4)
    roles.command("reader", "query", "DELETE FROM usage_event", code=1)
    assert roles.count("events") == 5


@pytest.mark.parametrize(
    "words", [("budget", "status"), ("prices", "list"), ("report",), ("query", "SELECT 1 FROM events")], ids=" ".join
)
def test_who_was_granted_nothing_is_told_what_helps(roles: Roles, words: tuple[str, ...]) -> None:
    roles.run("owner", f"REVOKE ALL ON SCHEMA usage_tracker FROM {roles.names['reader']}")
    said = roles.command("reader", *words, code=4).stderr
    assert said.endswith("grant this role what it needs: `usage-tracker migrate --print-grants` prints it\n")


def test_a_reader_sees_what_later_migrations_add(roles: Roles) -> None:
    roles.run("owner", "CREATE TABLE usage_tracker.later AS SELECT 7 AS a")
    assert roles.run("reader", "SELECT a FROM usage_tracker.later") == [(7,)]


def test_a_shipper_ships_for_others_and_folds(roles: Roles) -> None:
    roles.calls("writer", 5, TRACKER_SHIP="off", TRACKER_DSN="")
    roles.command("shipper", "ship", "--once")
    assert (roles.count("events"), roles.count("delta_hour"), roles.count("rollup_day")) == (5, 0, 1)
    roles.refuses("shipper", "SELECT * FROM usage_tracker.usage_event", *BUILD, *CHANGE[:2], *CHANGE[4:])


def test_what_writers_append_is_folded_by_a_shipper_that_has_nothing_to_ship(roles: Roles) -> None:
    roles.calls("writer", 5)
    assert roles.count("delta_hour") == 1
    roles.command("shipper", "ship", "--once", spool="empty")
    assert (roles.count("delta_hour"), roles.count("rollup_hour"), roles.count("rollup_day_tag")) == (0, 1, 1)
    assert '"calls": 5' in roles.command("reader", "report", "-o", "json").stdout


def test_granting_again_changes_nothing(roles: Roles) -> None:
    roles.grant()
    roles.refuses("writer", *BUILD, *CHANGE)


def test_doctor_says_what_is_left_undone(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    roles.calls("writer", 5)
    monkeypatch.setattr("usage_tracker.cli.doctor_store.MANY_UNFOLDED", 0)
    found = roles.command("reader", "doctor", code=5).output
    assert "wait to be folded" in found
    assert "none for today" not in found
    tables = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE relname ~ '_\\d\\d$'"
    for (table,) in roles.run("owner", tables):
        roles.run("owner", f"DROP TABLE usage_tracker.{table}")
    assert "none for today" in roles.command("reader", "doctor", code=5).output


def test_a_writer_that_can_not_be_held_to_a_budget_says_so_and_what_would_let_it(roles: Roles) -> None:
    for words in (["open", "--on-limit", "block"], ["shut", "--on-limit", "block", "--unreachable", "closed"]):
        roles.command("owner", "budget", "set", *words, "--limit", "1", "--per", "month", "--where", f"team={words[0]}")
    name = roles.names["writer"]
    remedy = f"GRANT SELECT ON ALL TABLES IN SCHEMA usage_tracker TO {roles.quoted(name)}"
    found = roles.command("writer", "doctor", code=5).output
    assert "2, to which nobody is held here" in found
    assert remedy in found
    with StandIn() as provider:
        before = roles.program("writer", ASK, provider.base_url, "refused")
        assert before.stdout == "open was made, shut was refused\n"
        assert before.stderr.count(remedy) == 1
        roles.run("owner", remedy)
        after = roles.program("writer", ASK, provider.base_url, "made")
    assert (after.stdout, remedy in after.stderr) == ("open was made, shut was made\n", False)
    assert "! budgets" not in roles.command("writer", "doctor").output


def test_a_writer_that_may_not_feed_its_sinks_says_so_and_what_would_let_it(roles: Roles) -> None:
    """A role that writes reads no events, and so passes none on."""
    address = "https://127.0.0.1:9/x"
    found = roles.command("writer", "doctor", code=5, TRACKER_SINKS=address).output
    assert "none is fed from here, with this role" in found
    assert "--print-grants" in found
    assert "! sink" not in roles.command("writer", "doctor", TRACKER_SINKS=address, TRACKER_SHIP="off").output
    source = "import time, usage_tracker, logging\n" + SAID
    said = roles.program("writer", source, TRACKER_SINKS=address).stderr
    assert "the sink webhook is not fed from here: this role may not do that" in said


def test_a_feeder_passes_on_what_a_receiver_takes_and_sets_aside_what_it_refuses(roles: Roles) -> None:
    with closing(Receiver()) as receiver:
        receiver.wrong = lambda body: b"odd" in body
        [address] = parse_sinks((f"http://127.0.0.1:{receiver.port}/",))
        with closing(open_store(parse_dsn(roles.dsn("feeder")))) as store:
            feeder = Feeder(address, store, open_sink)
            assert not feeder.step()
            with closing(open_store(parse_dsn(roles.dsn("owner")))) as owner:
                store_events(owner, [made_event(model="odd")])
                store_events(owner, [made_event(), made_event()])
            while feeder.step():
                pass
            [standing] = standings(store)
            assert (standing.events, standing.refused, standing.waiting) == (2, 1, 0)
            assert forget_sink(store, "webhook")
            feeder.close()
    roles.refuses(
        "feeder", "DELETE FROM usage_tracker.usage_event", "INSERT INTO usage_tracker.usage_user DEFAULT VALUES"
    )


def test_without_names_all_three_kinds_are_printed_and_nothing_is_connected_to() -> None:
    result = invoke("migrate", "--print-grants", "--dsn", "postgresql://127.0.0.1:9/usage")
    assert result.exit_code == 0
    assert {name for name in ("usage_writer", "usage_shipper", "usage_reader") if f'TO "{name}";' in result.stdout} == {
        "usage_writer", "usage_shipper", "usage_reader",
    }  # fmt: skip
    assert result.stdout.startswith("BEGIN;\n")
    assert result.stdout.endswith("COMMIT;\n")


def test_a_name_without_print_grants_is_refused() -> None:
    result = invoke("migrate", "--reader", "bi")
    assert (result.exit_code, "--print-grants" in result.output) == (2, True)
