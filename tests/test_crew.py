"""Several processes that ship one folder together: each event once, and who dies is replaced."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import NamedTuple

import psycopg2
import pytest
from postgres_server import Databases
from spooled import append, ids

from usage_tracker.cli.crew import Crew
from usage_tracker.config import load_settings
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.claims import Claims
from usage_tracker.journal.open_segments import OpenSegments

pytestmark = pytest.mark.timeout(200)


class Host(NamedTuple):
    """Four programs that write into a folder, and the database that it is shipped to."""

    environ: dict[str, str]
    spool: Path
    journals: list[Journal]

    def append(self, count: int, first: int) -> None:
        """So many calls to each."""
        for place, journal in enumerate(self.journals):
            append(journal, count, first + place * count)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "usage_tracker", "ship", *words],
            env=self.environ, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def crew(self) -> Crew:
        return Crew(load_settings(self.environ), 2)

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        connection = psycopg2.connect(self.environ["TRACKER_DSN"])
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            found = cursor.fetchall()
        connection.close()
        return found

    def stored(self) -> list[str]:
        return [str(name) for (name,) in self.ask("SELECT response_id FROM usage_tracker.events ORDER BY started_at")]


@pytest.fixture
def host(postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    spool = tmp_path / "spool"
    environ = {
        **os.environ, "TRACKER_DSN": postgres_dsn, "TRACKER_SPOOL_DIR": str(spool), "TRACKER_BATCH_SECONDS": "0.1",
        "TRACKER_EXIT_TIMEOUT": "60",
    }  # fmt: skip
    host = Host(environ, spool, [Journal(Spool(spool)) for _ in range(4)])
    yield host
    for journal in host.journals:
        journal.close()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def drained(host: Host) -> bool:
    return all(journal.drained() for journal in host.journals)


sees_processes = pytest.mark.skipif(sys.platform != "linux", reason="the processes of a process are found in /proc")


def members_of(leader: "subprocess.Popen[str]") -> list[int]:
    found = Path(f"/proc/{leader.pid}/task").glob("*/children")
    return [int(pid) for children in found for pid in children.read_text().split()]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_each_process_ships_a_share_of_the_segments_and_only_the_leader_folds(host: Host) -> None:
    host.append(30, first=0)
    crew = host.crew()
    crew.keep()
    wait_for(lambda: drained(host))
    host.append(30, first=120)
    crew.ring()
    wait_for(lambda: drained(host))
    members = crew.members
    crew.end()
    assert crew.stored == 240
    assert [member.word.stored > 0 for member in members] == [True, True]
    assert host.stored() == ids(240)
    assert host.ask("SELECT sum(calls) FROM usage_tracker.delta_hour") == [(240,)]


def test_what_a_killed_process_had_goes_on_in_another(
    host: Host, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.cli.crew.AGAIN_SECONDS", 0.0)
    host.append(30, first=0)
    crew = host.crew()
    crew.keep()
    wait_for(lambda: drained(host))
    host.append(30, first=120)
    os.kill(crew.members[0].pid, SIGKILL)
    wait_for(lambda: not crew.members[0].runs())

    def replaced() -> bool:
        crew.keep()
        return crew.members[0].runs()

    wait_for(replaced)
    wait_for(lambda: drained(host))
    crew.end()
    assert host.stored() == ids(240)
    assert capfd.readouterr().err == "A process that ships has ended (killed by signal 9); another goes on.\n"


@sees_processes
def test_they_end_with_a_leader_that_is_killed_and_the_next_one_goes_on(host: Host) -> None:
    first = host.start("--processes", "2")
    host.append(30, first=0)
    wait_for(lambda: drained(host))
    members = members_of(first)
    assert len(members) == 2
    host.append(30, first=120)
    first.kill()
    first.communicate()
    wait_for(lambda: not any(map(runs, members)))
    host.append(30, first=240)
    second = host.start("--processes", "2")
    wait_for(lambda: drained(host))
    second.send_signal(SIGTERM)
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert host.stored() == ids(360)


@sees_processes
def test_a_signal_to_all_of_them_ends_them_when_all_is_shipped_and_folded(host: Host) -> None:
    leader = host.start("--processes", "2")
    host.append(30, first=0)
    wait_for(lambda: drained(host))
    members = members_of(leader)
    for journal in host.journals:
        journal.close()
    host.append(30, first=120)
    for number in (SIGINT, SIGTERM):
        for pid in (*members, leader.pid):
            with suppress(ProcessLookupError):  # it may have ended at the first
                os.kill(pid, number)
    _, said = leader.communicate(timeout=60)
    assert leader.returncode == 0
    assert said.splitlines()[-1].startswith("240 events shipped to ")
    assert not any(map(runs, members))
    assert host.stored() == ids(240)
    assert host.ask("SELECT sum(calls) FROM usage_tracker.rollup_hour") == [(240,)]


def test_once_they_ship_what_is_there(host: Host) -> None:
    host.append(30, first=0)
    for journal in host.journals:
        journal.close()
    leader = host.start("--once", "--processes", "3")
    _, said = leader.communicate(timeout=60)
    assert said.startswith("120 events shipped to ")
    assert leader.returncode == 0
    assert host.stored() == ids(120)
    assert host.ask("SELECT sum(calls) FROM usage_tracker.rollup_hour") == [(120,)]
    assert not list(host.spool.glob("*.seg"))


def test_they_take_no_module_from_the_folder_that_the_command_is_given_in(host: Host, tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('the app, and no module of Python')")
    append(host.journals[0], 1, 0)
    host.journals[0].close()
    leader = subprocess.run(
        [Path(sys.executable).with_name("usage-tracker"), "ship", "--once", "--processes", "2"],
        env=host.environ, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (leader.returncode, leader.stderr[:18]) == (0, "1 event shipped to")
    assert host.stored() == ids(1)


def test_what_waits_is_said_once_and_shipped_when_the_database_is_back(
    host: Host, postgres_databases: Databases
) -> None:
    [(name,)] = host.ask("SELECT current_database()")
    leader = host.start("--processes", "2")
    host.append(30, first=0)
    wait_for(lambda: drained(host))
    postgres_databases.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgres_databases.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    host.append(30, first=120)
    wait_for(lambda: (leader := Spool(host.spool).leader()) is not None and not leader.ships)
    postgres_databases.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    wait_for(lambda: drained(host))
    leader.send_signal(SIGTERM)
    _, said = leader.communicate(timeout=60)
    between = [line.partition(":")[0] for line in said.splitlines()][1:-1]
    assert between.count("Events wait") == 1
    assert set(between) <= {"Events wait", "budgets can't be looked after"}  # whichever meets the outage first
    assert said.splitlines()[-1].startswith("240 events shipped to ")
    assert host.stored() == ids(240)


@sees_processes
def test_they_leave_the_folder_to_a_newer_process_while_they_are_older_than_the_schema(
    host: Host, postgres_databases: Databases
) -> None:
    """All events of the host waited until they ended."""
    [(name,)] = host.ask("SELECT current_database()")
    leader = host.start("--processes", "2")
    host.append(30, first=0)
    wait_for(lambda: drained(host))
    postgres_databases.run("INSERT INTO usage_tracker.schema_migration (number, name) VALUES (9999, 'x')", str(name))
    host.append(30, first=120)
    newer = Spool(host.spool)
    wait_for(newer.lead)
    wait_for(lambda: not members_of(leader))
    postgres_databases.run("DELETE FROM usage_tracker.schema_migration WHERE number = 9999", str(name))
    newer.resign()
    wait_for(lambda: drained(host))
    leader.send_signal(SIGTERM)
    leader.communicate(timeout=60)
    assert host.stored() == ids(240)


def test_sqlite_is_shipped_to_by_one_with_a_sentence(host: Host, tmp_path: Path) -> None:
    host.append(3, first=0)
    for journal in host.journals:
        journal.close()
    host.environ["TRACKER_DSN"] = f"sqlite:///{tmp_path}/usage.db"
    leader = host.start("--once", "--processes", "2")
    _, said = leader.communicate(timeout=60)
    assert said.splitlines()[0] == "An SQLite file has one writer at a time, so one process ships to it."
    assert said.splitlines()[1].startswith("12 events shipped to sqlite:///")
    assert leader.returncode == 0


class TestShares:
    """What one of two processes has open."""

    @pytest.fixture
    def spool(self, tmp_path: Path) -> Spool:
        spool = Spool(tmp_path / "spool")
        for number in range(4):
            journal = Journal(spool)
            append(journal, 3, first=number)
            journal.close()
        return spool

    def test_it_opens_its_part_and_more_when_others_are_through_with_theirs(self, spool: Spool) -> None:
        segments = OpenSegments(spool, Claims(spool, 2))
        assert len(segments.open([])) == 2
        assert segments.open([]) == []
        for file in list(segments.files.values()):
            assert segments.delete(file)
        assert len(segments.open([])) == 1
        segments.close_all()

    @pytest.mark.parametrize("place", [0, 1])
    def test_what_is_more_than_its_part_is_left_to_others_unless_it_has_begun_with_it(
        self, spool: Spool, place: int
    ) -> None:
        segments = OpenSegments(spool, Claims(spool, 2))
        opened = segments.open([])
        begun, untouched = opened[place], opened[1 - place]
        begun.reader.position = 1
        for path in set(spool.segments()) - {begun.path, untouched.path}:
            path.unlink()
        segments.open([])
        assert list(segments.files) == [begun.path]
        assert segments.open([]) == []
        segments.close_all()

    def test_what_is_no_segment_makes_no_share_larger(self, spool: Spool) -> None:
        oldest = spool.segments()[:2]
        for number in range(6):
            (spool.folder / f"{number}.seg").mkdir()
        segments = OpenSegments(spool, Claims(spool, 2))
        assert len(segments.open([])) == 4, "nobody has looked what the six are"
        segments.open([])
        assert list(segments.files) == oldest
        segments.close_all()

    def test_what_another_process_has_is_passed_over_and_what_it_opens_is_its_own(self, spool: Spool) -> None:
        oldest, *others = spool.segments()
        segments = OpenSegments(spool, Claims(spool, 2))
        with claimed(oldest) as had:
            assert had == "[True]\n"
            assert [file.path for file in segments.open([])] == others[:2]
        with claimed(*others) as had:
            assert had == "[False, False, True]\n"
        segments.close_all()


CLAIM = """
import sys, time
from pathlib import Path
from usage_tracker.journal import Spool
from usage_tracker.journal.claims import Claims
from usage_tracker.journal.open_segments import OpenSegments
folder = Path(sys.argv[1])
claims = Claims(Spool(folder), 2)
print([claims.take(folder / name) for name in sys.argv[2:]], flush=True)
time.sleep(600)
"""


@contextmanager
def claimed(*segments: Path) -> Iterator[str]:
    """While another process has what it could have of them: what it says of that."""
    words = [sys.executable, "-c", CLAIM, str(segments[0].parent), *(path.name for path in segments)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            yield other.stdout.readline()
        finally:
            other.kill()


class TestClaims:
    NAMES = ("6b1f3a52-3f5c-4d5e-9a43-0d4c5a1f8e77.seg", "by another name.seg")

    def test_a_segment_is_one_processs_until_that_is_killed_or_gives_it_back(self, tmp_path: Path) -> None:
        folder = tmp_path / "spool"
        own = Claims(Spool(folder), 2)
        assert own.take(folder / self.NAMES[0])
        words = [sys.executable, "-c", CLAIM, str(folder), *self.NAMES]
        other = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "[False, True]\n"
        assert not own.take(folder / self.NAMES[1])
        other.kill()
        other.communicate()
        assert own.take(folder / self.NAMES[1])
        own.give_back(folder / self.NAMES[0])
        other = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "[True, False]\n"
        other.kill()
        other.communicate()

    def test_those_of_a_folder_that_was_taken_away_are_not_those_of_the_next(self, tmp_path: Path) -> None:
        folder = tmp_path / "spool"
        own = Claims(Spool(folder), 2)
        assert own.take(folder / self.NAMES[0])
        folder.rename(tmp_path / "elsewhere")
        other = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(folder), self.NAMES[0]], stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "[True]\n"
        assert not own.take(folder / self.NAMES[0])
        other.kill()
        other.communicate()

    @pytest.mark.parametrize(("segments", "fair"), [(0, 0), (1, 1), (2, 1), (3, 2), (16, 8)])
    def test_a_process_has_its_part_and_no_segment_is_nobodys(self, tmp_path: Path, segments: int, fair: int) -> None:
        assert Claims(Spool(tmp_path), 2).fair(segments) == fair
