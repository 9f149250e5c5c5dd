"""The protocol of journal, leader and ledger as a state machine: whatever happens between which two effects, each event
is stored once in the end.

Processes are objects here, and everything that they do is what real ones do, to a real folder and a real store. An
effect is what others could see: a file made, renamed, written to or deleted, a lock taken, a row of a transaction, its
commit. Before and after each of them a process may be killed, may lose its connection to the store, or may stand still
while another, which takes itself for the leader as well, ships.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal, NamedTuple
from unittest import mock
from uuid import UUID

import pytest
from faults.traps import owner_and_name
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from spooled import ORIGIN, START, TenCents

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.event import Batch, Usage, UsageEvent
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.adoption import take_over
from usage_tracker.journal.disk import Descriptor
from usage_tracker.journal.files import FileSource, OwnFile
from usage_tracker.journal.header import HEADER_SIZE, Header
from usage_tracker.journal.memory_file import MemoryFile
from usage_tracker.journal.reader import SegmentReader
from usage_tracker.journal.spool import SpoolFull
from usage_tracker.shipper import Shipper
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.store import Execute

pytestmark = pytest.mark.timeout(400)

SMALL = {
    "usage_tracker.journal.journal:FIRST_SEGMENT": 0,
    "usage_tracker.journal.journal:LARGEST_SEGMENT": 0,
    "usage_tracker.journal.memory_file:MEMORY_SEGMENT": 512,
    "usage_tracker.journal.journal:RETRY_SECONDS": 0.0,
    "usage_tracker.journal.spool:SMALLEST_SEGMENT": 400,
    "usage_tracker.shipper:COMPACT_SECONDS": 0.0,
}
"""A segment of some six events."""
EFFECTS = (
    "usage_tracker.journal.spool:allocate",
    "usage_tracker.journal.segment:Segment.seal",
    "usage_tracker.stores.sqlite.store:move",
    "usage_tracker.stores.sqlite.store:add",
    "os:rename",
    "os:pwrite",
    "os:unlink",
    "fcntl:flock",
    "pathlib:Path.unlink",
    "usage_tracker.journal.aside:write_new",
    "usage_tracker.journal.spool:write_new",
)
INSIDE = frozenset({"move", "add"})
"""Effects within a transaction: the one store of this test lets nobody else in then."""
ANSWERS = frozenset({"write", "commit"})
"""Where a connection can be lost."""
TABLES = (
    "usage_event", "journal_offset", "rollup_hour", "rollup_day", "rollup_day_user", "rollup_day_tag",
    "rollup_day_latency",
)  # fmt: skip
"""What grows with events."""
BOUND = 16 * (HEADER_SIZE + 400)


class Killed(BaseException):
    """In the place of SIGKILL: the process does nothing from here on."""


class Stroke(NamedTuple):
    """What happens to a process, and before which of its effects."""

    at: int
    what: Literal["killed", "connection lost", "another ships"]


class World:
    """One folder, one store, and the processes that use them."""

    def __init__(self) -> None:
        self.home = Path(mkdtemp(prefix="tracker-protocol-"))
        self.folder, self.elsewhere = self.home / "spool", self.home / "elsewhere"
        self.store = emptied(shared_store())
        self.processes: list[Process] = []
        self.made: set[str] = set()
        """Appended, and the call has returned."""
        self.unsure: set[str] = set()
        """Their process was killed while it appended them."""
        self.mortal: set[str] = set()
        """Known to be lost if their bytes are: they were only in a killed process's memory, or cut off."""
        self.dropped: set[str] = set()
        """Refused, and counted."""
        self.disk_full = self.other_disk = False
        self.effects = 0
        """Of the act that is under way or was the last."""
        self._acting: list[tuple[Process, Stroke | None]] = []
        self._patches = ExitStack()
        for name, value in SMALL.items():
            self._replace(name, value)
        for name in EFFECTS:
            self._replace(name, self._effect(name))
        numbers = count(1)
        for module in ("adoption", "segment", "spool"):  # so that an example happens again as it did
            self._replace(f"usage_tracker.journal.{module}:uuid4", lambda: UUID(int=next(numbers)))
        self._replace("os:open", self._opening(os.open))
        self._replace("os:close", self._closing(os.close))

    def _replace(self, at: str, value: object) -> None:
        owner, name = owner_and_name(at)
        self._patches.enter_context(mock.patch.object(owner, name, value))

    def _effect(self, at: str) -> Callable[..., Any]:
        owner, name = owner_and_name(at)
        original = getattr(owner, name)

        def effect(*arguments: Any, **named: Any) -> Any:
            if not self._acting:
                return original(*arguments, **named)
            self.strike(name)
            if self.disk_full and name in ("allocate", "write_new"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.other_disk and name == "rename" and Path(arguments[0]).parent != Path(arguments[1]).parent:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            result = original(*arguments, **named)
            self.strike(name)
            return result

        return effect

    def _opening(self, original: Callable[..., int]) -> Callable[..., int]:
        def opening(*arguments: Any, **named: Any) -> int:
            number = original(*arguments, **named)
            if self._acting:
                self._acting[-1][0].open[number] = file_of(number)
            return number

        return opening

    def _closing(self, original: Callable[[int], None]) -> Callable[[int], None]:
        def closing(number: int) -> None:
            for process in self.processes:
                process.open.pop(number, None)
            original(number)

        return closing

    @contextmanager
    def acting(self, process: "Process", stroke: Stroke | None) -> Iterator[None]:
        """Let it act, until it is struck or done."""
        self.effects = 0
        self._acting.append((process, stroke))
        try:
            yield
        except Killed:
            process.die()
        except StoreUnavailable:
            pass
        finally:
            self._acting.pop()

    def strike(self, name: str) -> None:
        """What is due before or after that effect."""
        process, stroke = self._acting[-1]
        if process.dead:
            raise Killed
        self.effects += 1
        if stroke is None or self.effects < stroke.at:
            return
        if stroke.what == "killed":
            process.dead = True
            raise Killed
        if stroke.what == "connection lost" and name in ANSWERS:
            self._acting[-1] = (process, None)
            raise StoreUnavailable(f"lost at {name}")
        if stroke.what == "another ships" and name not in INSIDE:
            self._acting[-1] = (process, None)
            for other in self.processes:
                if other is not process:
                    with self.acting(other, None):
                        other.shipper.step()

    def start(self, folder: Path | None = None) -> "Process":
        process = Process(self, folder or self.folder)
        self.processes.append(process)
        return process

    def stored(self) -> list[str]:
        return [str(row[0]) for row in self.store.select("SELECT response_id FROM events")]

    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.seg"))

    def recover(self, stroke: Stroke | None = None) -> None:
        """All processes are gone, and the next one starts, leads and ships."""
        self.disk_full = False
        last = self.start()
        with self.acting(last, stroke):
            assert last.spool.lead()
            while last.shipper.step() or not last.takes_over_all():
                pass
            last.close()
        if not last.dead:
            last.die()

    def check(self) -> None:
        """In the end: each event is stored once."""
        stored = self.stored()
        assert len(stored) == len(set(stored)), "stored twice"
        missing = self.made - set(stored) - self.mortal
        assert not missing, f"lost: {missing}"
        assert set(stored) <= self.made | self.unsure, "never made, or counted as dropped"
        assert self.segments() == []
        ((rolled_up, tokens),) = self.store.select("SELECT sum(calls), sum(input_tokens) FROM by_hour")
        assert (rolled_up or 0, tokens or 0) == (len(stored), len(stored))

    def close(self) -> None:
        for process in self.processes:
            if not process.dead:
                process.die()
        self._patches.close()
        shutil.rmtree(self.home)


@cache
def shared_store() -> Store:
    """Migrated once: that takes longer than all that a process does to it."""
    store = open_store(parse_dsn("sqlite:///:memory:"))
    store.migrate()
    return store


def emptied(store: Store) -> Store:
    """Without events, rollups and offsets."""

    def empty(execute: Execute) -> None:
        for table in TABLES:
            execute(f"DELETE FROM {table}", ())

    store.change(empty)
    return store


class Connection:
    """A process's own connection to the store."""

    def __init__(self, world: World) -> None:
        self.dialect = world.store.dialect
        self.takes_alike = world.store.takes_alike
        self._world = world

    def migrate(self) -> list[str]:
        return []

    def positions(self, segments: list[UUID]) -> dict[UUID, int]:
        return self._world.store.positions(segments)

    def write(self, batch: Batch) -> bool:
        self._world.strike("write")
        written = self._world.store.write(batch)
        self._world.strike("commit")
        return written

    def compact(self) -> int:
        return self._world.store.compact()

    def close(self) -> None:
        """The store is everybody's."""


class Process:
    """A journal to append to, and a shipper."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.dead = False
        self.open: dict[int, tuple[int, int] | None] = {}
        """Descriptors and their files; the system closes them when the process dies."""
        self.spool = Spool(folder, max_bytes=BOUND)
        self.journal = Journal(self.spool)
        self.shipper = Shipper(self.spool, lambda: Connection(world), TenCents(), 4, self.journal)  # type: ignore[arg-type, return-value]  # by duck type

    def append(self, name: str) -> None:
        number = len(self.world.made) + len(self.world.unsure) + len(self.world.dropped)
        event = UsageEvent(
            started_at=START + number * 1000, duration_ms=1.0, operation="chat", response_id=name,
            usage=Usage(input_tokens=1),
        )  # fmt: skip
        self.world.unsure.add(name)
        dropped = self.journal.dropped
        self.journal.append(ORIGIN, event)
        self.world.unsure.remove(name)
        (self.world.made if self.journal.dropped == dropped else self.world.dropped).add(name)

    def ship(self, *, though_another_leads: bool) -> None:
        """One batch, of all if it leads."""
        leading = self.spool.lead() or though_another_leads
        self.shipper.step(leading=leading)

    def close(self) -> None:
        """As a process does that ends normally."""
        self.journal.close()
        self.shipper.close()
        self.world.mortal |= self.in_memory()

    def takes_over_all(self) -> bool:
        """Whether there was room for what waits in the other folder, and nothing is left."""
        with suppress(SpoolFull):
            return take_over(self.spool, self.world.elsewhere) == 0
        return False

    def in_memory(self) -> set[str]:
        found: set[str] = set()
        for kept in self.journal.memory:
            header = Header.unpack(kept.segment.read(0, HEADER_SIZE))
            assert header is not None
            found |= names(SegmentReader(kept.segment, header))
        return found

    def die(self) -> None:
        """The system closes what is open; that frees its locks."""
        self.dead = True
        self.world.mortal |= self.in_memory()
        self.world.processes.remove(self)
        journal = self.journal
        for own in (journal._current, journal._standby.made, *journal._replaced, *journal._closed):
            if isinstance(own, OwnFile | MemoryFile):
                own.segment.forget()
        for number, file in self.open.copy().items():
            if file_of(number) == file:  # else it was closed, not by its number
                os.close(number)
        self.open.clear()

    def tear(self, length: int) -> None:
        """Leave the beginning of a record behind, as a kill in the middle of a write does."""
        current = self.journal._current
        if (
            isinstance(current, OwnFile)
            and current.segment.position + HEADER_SIZE + length < current.path.stat().st_size
        ):
            with current.path.open("r+b") as file:
                file.seek(HEADER_SIZE)
                record = file.read(length)
                file.seek(HEADER_SIZE + current.segment.position)
                file.write(record)


def file_of(number: int) -> tuple[int, int] | None:
    """Of an open descriptor."""
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def names(reader: SegmentReader) -> set[str]:
    """Of all events of a segment."""
    return {str(recorded.event.response_id) for recorded in reader.read(1 << 20, ended=True).events}


def names_in(path: Path) -> set[str]:
    with path.open("rb") as file:
        header = Header.unpack(file.read(HEADER_SIZE))
        return names(SegmentReader(FileSource(Descriptor(file.fileno())), header)) if header else set()


def is_free(path: Path) -> bool:
    """Whether nobody writes to it, and no leader has found out."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


strokes = st.none() | st.builds(
    Stroke, st.integers(1, 40), st.sampled_from(["killed", "connection lost", "another ships"])
)
any_of_them = st.integers(0, 11)


class Protocol(RuleBasedStateMachine):
    """Any order of acts and strokes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self._appended = self._copies = 0

    def _process(self, number: int) -> Process:
        alive = self.world.processes
        return alive[number % len(alive)] if alive else self.world.start()

    def _segment(self, number: int) -> Path | None:
        found = self.world.segments()
        return found[number % len(found)] if found else None

    @precondition(lambda self: len(self.world.processes) < 4)
    @rule()
    def start(self) -> None:
        self.world.start()

    @rule(number=any_of_them, events=st.integers(1, 12), stroke=strokes)
    def append(self, number: int, events: int, stroke: Stroke | None) -> None:
        process = self._process(number)
        with self.world.acting(process, stroke):
            for _ in range(events):
                self._appended += 1
                process.append(f"r-{self._appended}")

    @rule(number=any_of_them, batches=st.integers(1, 4), leads_anyway=st.booleans(), stroke=strokes)
    def ship(self, number: int, batches: int, leads_anyway: bool, stroke: Stroke | None) -> None:
        process = self._process(number)
        with self.world.acting(process, stroke):
            process.journal.put_on_disk()
            process.journal.look_ahead()
            for _ in range(batches):
                process.ship(though_another_leads=leads_anyway)

    @rule(number=any_of_them, stroke=strokes)
    def look_ahead(self, number: int, stroke: Stroke | None) -> None:
        """As a process's thread does that doesn't ship."""
        process = self._process(number)
        with self.world.acting(process, stroke):
            process.journal.look_ahead()

    @rule(number=any_of_them, stroke=strokes)
    def resign(self, number: int, stroke: Stroke | None) -> None:
        process = self._process(number)
        with self.world.acting(process, stroke):
            process.shipper.close()

    @rule(number=any_of_them, stroke=strokes)
    def end(self, number: int, stroke: Stroke | None) -> None:
        process = self._process(number)
        with self.world.acting(process, stroke):
            process.close()
        if not process.dead:
            process.die()

    @rule(number=any_of_them, torn=st.integers(0, 60))
    def kill(self, number: int, torn: int) -> None:
        process = self._process(number)
        process.tear(torn)
        process.die()

    @rule()
    def fill_or_clear_the_disk(self) -> None:
        self.world.disk_full = not self.world.disk_full

    @rule(number=any_of_them, cut=st.integers(0, 300))
    def copy_a_segment(self, number: int, cut: int) -> None:
        """As a backup does that puts files back, perhaps before it has read all of them."""
        path = self._segment(number)
        if path is not None:
            self._copies += 1
            copied = path.with_name(f"copy {self._copies}.seg")
            shutil.copy(path, copied)
            os.truncate(copied, max(HEADER_SIZE, copied.stat().st_size - cut))

    @rule(number=any_of_them)
    def copy_to_another_folder(self, number: int) -> None:
        path = self._segment(number)
        if path is not None:
            self.world.elsewhere.mkdir(exist_ok=True)
            shutil.copy(path, self.world.elsewhere / path.name)

    @rule(events=st.integers(1, 12), other_disk=st.booleans())
    def append_in_another_folder(self, events: int, other_disk: bool) -> None:
        self.world.other_disk = other_disk
        process = self.world.start(self.world.elsewhere)
        with self.world.acting(process, None):
            for _ in range(events):
                self._appended += 1
                process.append(f"r-{self._appended}")
            process.close()
        process.die()

    @rule(number=any_of_them, stroke=strokes)
    def take_over(self, number: int, stroke: Stroke | None) -> None:
        process = self._process(number)
        with self.world.acting(process, stroke), suppress(OSError):
            process.takes_over_all()

    @rule(number=any_of_them, cut=st.integers(1, 300))
    def truncate_a_segment_of_the_dead(self, number: int, cut: int) -> None:
        path = self._segment(number)
        if path is not None and is_free(path):
            before = names_in(path)
            os.truncate(path, max(HEADER_SIZE, path.stat().st_size - cut))
            self.world.mortal |= before - names_in(path)

    @invariant()
    def nothing_is_stored_twice(self) -> None:
        stored = self.world.stored()
        assert len(stored) == len(set(stored))

    def teardown(self) -> None:
        try:
            for process in self.world.processes.copy():
                process.die()
            self.world.recover()
            self.world.check()
        finally:
            self.world.close()


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


def some_life(world: World, stroke: Stroke | None) -> None:
    """A process that appends, looks ahead, rotates, leads, ships and ends."""
    process = world.start()
    with world.acting(process, stroke):
        for number in range(7):
            process.append(f"r-{number}")
            if number == 3:
                process.journal.look_ahead()
        process.journal.look_ahead()
        assert process.spool.lead()
        process.shipper.step()
        process.append("r-7")
        process.shipper.step()
        process.append("r-8")
        process.close()
    if not process.dead:
        process.die()


def outcome_of(first: Stroke, second: Stroke) -> tuple[bool, bool]:
    """Whether a life, and the recovery after it, were struck."""
    world = World()
    try:
        some_life(world, first)
        struck = world.effects == first.at
        world.recover(second)
        again = world.effects == second.at
        world.recover()
        world.check()
    finally:
        world.close()
    return struck, again


def test_a_kill_at_any_effect_and_another_at_any_effect_of_the_recovery_lose_and_double_nothing() -> None:
    pairs = 0
    for first in count(1):
        for second in count(1):
            struck, again = outcome_of(Stroke(first, "killed"), Stroke(second, "killed"))
            pairs += 1
            if not again:
                break
        if not struck:
            break
    assert pairs > 1000
