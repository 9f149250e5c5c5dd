"""The folder of the journal is full, gone, read-only, or damaged."""

import os
import random
import resource
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

from faults import breaking
from faults.bench import Bench
from faults.cases import case
from faults.kills import SMALL_SEGMENTS, dies
from faults.nursery import Process
from faults.sidecars import sidecar_script
from usage_tracker.journal.disk import Descriptor
from usage_tracker.journal.files import FileSource
from usage_tracker.journal.frames import CALL, EVENT, FRAME
from usage_tracker.journal.header import HEADER_SIZE, Header
from usage_tracker.journal.reader import SegmentReader

IN_MEMORY = "events are kept in memory"


def full(apps: list[Process]) -> None:
    """As a full disk: no file of theirs grows beyond half of a small segment."""
    for pid in pids(apps):
        bound_files(pid, 1 << 13)


def roomy(apps: list[Process]) -> None:
    """Also for what was forked meanwhile, with its parent's bound."""
    while sum(bound_files(pid, None) for pid in pids(apps)):
        continue


def pids(apps: list[Process]) -> list[int]:
    return [pid for app in apps for pid in app.all_pids()]


def bound_files(pid: int, size: int | None) -> bool:
    """Whether that changed anything."""
    try:
        before, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        soft = hard if size is None else size
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    except ProcessLookupError:
        return False
    return soft != before


@case("spool disk full")
def disk_full(bench: Bench) -> None:
    apps = [bench.start("work_in_threads(2)", SMALL_SEGMENTS) for _ in range(2)]
    bench.more_calls(50)
    full(apps)
    bench.wait_until_said(IN_MEMORY, times=2)
    bench.more_calls(100)
    bench.recover()
    roomy(apps)
    bench.more_calls(300)
    bench.recover()


@case("spool disk full while Postgres is away, and both back in turn")
def disk_full_and_store_away(bench: Bench) -> None:
    apps = [bench.start("work_in_threads(2)", SMALL_SEGMENTS) for _ in range(2)]
    bench.more_calls(50)
    with breaking.stopped(bench):
        full(apps)
        bench.wait_until_said(IN_MEMORY, times=2)
        bench.more_calls(100)
        roomy(apps)
        bench.more_calls(100)
        bench.finish()


@case("spool disk full where a sidecar ships")
def disk_full_beside_a_sidecar(bench: Bench) -> None:
    apps = [bench.start("work_in_threads(2)", SMALL_SEGMENTS, settings={"TRACKER_SHIP": "off"}) for _ in range(2)]
    bench.more_calls(50)
    full(apps)
    bench.wait_until_said(IN_MEMORY, times=2)
    bench.more_calls(100)
    roomy(apps)
    bench.more_calls(300)


def remove(folder: Path) -> None:
    """At once: apps make new files in it meanwhile."""
    shutil.rmtree(folder.rename(folder.with_name("removed")))


@case("spool folder removed")
def removed(bench: Bench) -> None:
    for _ in range(3):
        bench.start()
    bench.more_calls(100)
    remove(bench.spool)
    bench.more_calls(200)
    bench.recover()
    bench.more_calls(100)


@case("spool folder removed while Postgres is away")
def removed_and_store_away(bench: Bench) -> None:
    for _ in range(3):
        bench.start("work()", SMALL_SEGMENTS)
    bench.more_calls(100)
    with breaking.stopped(bench):
        bench.more_calls(300)
        remove(bench.spool)
        bench.more_calls(100)
    bench.recover()


@case("spool folder removed beside a sidecar")
def removed_beside_a_sidecar(bench: Bench) -> None:
    for _ in range(2):
        bench.start(settings={"TRACKER_SHIP": "off"})
    bench.start("time.sleep(0)\nwhile not os.path.exists(os.environ['STOP']): time.sleep(0.01)")
    bench.start(sidecar_script(), preamble="")
    bench.more_calls(100)
    remove(bench.spool)
    bench.more_calls(200)
    bench.recover()


@case("spool folder read-only from the start")
def read_only_from_the_start(bench: Bench) -> None:
    bench.spool.mkdir(mode=0o500)
    for _ in range(2):
        bench.start("become_powerless()\nwork()")
    bench.more_calls(200)
    bench.recover()
    bench.finish()
    bench.spool.chmod(0o700)


@case("spool folder turned read-only")
def read_only(bench: Bench) -> None:
    orphans(bench)
    for _ in range(2):
        bench.start("become_powerless()\nwork_in_threads(4)", SMALL_SEGMENTS)
    bench.leader()
    bench.spool.chmod(0o500)
    bench.wait_until_said(IN_MEMORY, times=2)
    bench.more_calls(50)
    bench.recover()
    bench.spool.chmod(0o700)
    bench.more_calls(100)


def orphans(bench: Bench, calls: int = 300, apps: int = 2) -> list[Path]:
    """Segments that killed processes left behind, with nothing of them stored."""
    started = [bench.start("work()", settings={"TRACKER_SHIP": "off"}) for _ in range(apps)]
    bench.more_calls(calls)
    for app in started:
        app.send(SIGKILL)
        dies(bench, app)
    return sorted(bench.spool.glob("*.seg"))


class Records:
    """Where each event, origin and kind of a segment lies in its file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            header = Header.unpack(file.read(HEADER_SIZE))
            assert header is not None
            reader = SegmentReader(FileSource(Descriptor(os.dup(file.fileno()))), header)
            self.events: list[tuple[int, int, str]] = []
            """(first byte, byte after the last one, response id)."""
            self.origins: list[tuple[int, int]] = []
            while (read := reader.read(1, ended=True)).end > reader.position:
                start = reader.position
                while start < read.end:
                    file.seek(HEADER_SIZE + start)
                    marker, length, _ = FRAME.unpack(file.read(FRAME.size))
                    end = start + FRAME.size + length
                    if marker in (EVENT, CALL):
                        response_id = read.events[0].event.response_id
                        assert response_id is not None
                        self.events.append((HEADER_SIZE + start, HEADER_SIZE + end, response_id))
                    else:
                        self.origins.append((HEADER_SIZE + start, HEADER_SIZE + end))
                    start = end
                reader.position = read.end

    def between(self, start: int, end: int) -> set[str]:
        """The ids of the events that have a byte there."""
        return {name for first, last, name in self.events if first < end and last > start}


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << random.randrange(8)]))


@case("segment truncated")
def truncated(bench: Bench) -> None:
    for path in orphans(bench):
        records = Records(path)
        _, _, half = records.events[len(records.events) // 2]
        cut = next(first + 5 for first, _, name in records.events if name == half)
        bench.destroyed |= records.between(cut, path.stat().st_size)
        os.truncate(path, cut)
    bench.start()
    bench.more_calls(50)
    bench.recover()


@case("bits flipped in events")
def flipped(bench: Bench) -> None:
    for path in orphans(bench):
        records = Records(path)
        for _ in range(5):
            at = random.randrange(records.events[0][0], records.events[-1][1])
            bench.destroyed |= records.between(at, at + 1)
            flip(path, at)
    bench.start()
    bench.more_calls(50)
    bench.recover()


@case("bits flipped where a living app writes")
def flipped_while_written(bench: Bench) -> None:
    bench.start()
    bench.start()
    bench.more_calls(100)
    with breaking.stopped(bench):
        bench.more_calls(200)
        for path in bench.spool.glob("*.seg"):
            records = Records(path)
            at = random.randrange(records.events[-50][0], records.events[-1][1])
            bench.destroyed |= records.between(at, at + 1)
            flip(path, at)
        bench.more_calls(100)
    bench.recover()


@case("bits flipped in an origin")
def flipped_origin(bench: Bench) -> None:
    for path in orphans(bench):
        (first, last), *_ = Records(path).origins
        flip(path, random.randrange(first, last))
    bench.start()
    bench.more_calls(50)
    bench.recover()


@case("bits flipped in a header")
def flipped_header(bench: Bench) -> None:
    for path in orphans(bench):
        flip(path, random.randrange(0, 48))
    bench.start()
    bench.more_calls(50)
    bench.recover()


@case("a page of zeros in a segment")
def zeroed(bench: Bench) -> None:
    for path in orphans(bench, 600):
        bench.destroyed |= Records(path).between(4096, 8192)
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(bytes(4096))
    bench.start()
    bench.more_calls(50)
    bench.recover()


def put_foreign_files(folder: Path) -> None:
    """Named like segments, and none of them one."""
    (folder / "a.seg").write_text("a shopping list")
    (folder / "b.seg").mkdir()
    os.mkfifo(folder / "c.seg")
    (folder / "d.seg").symlink_to(folder.parent)
    (folder / "e.seg").symlink_to(folder / "e.seg")
    (folder / "f.seg").touch(mode=0)
    (folder / "g.seg").write_bytes(b"usagejnl" + os.urandom(1000))
    with socket.socket(socket.AF_UNIX) as listener, at(folder):
        listener.bind("h.seg")


@contextmanager
def at(folder: Path) -> Iterator[None]:
    """A socket's path has to be short."""
    before = Path.cwd()
    os.chdir(folder)
    yield
    os.chdir(before)


@case("files in the spool that are not ours")
def foreign(bench: Bench) -> None:
    orphans(bench)
    put_foreign_files(bench.spool)
    bench.start("become_powerless()\nwork()")
    bench.more_calls(50)
    bench.recover()
    bench.finish()
    bench.foreign = {path.name for path in bench.spool.glob("?.seg")}
    assert len(bench.foreign) == 8


@case("a segment copied within the spool")
def copied(bench: Bench) -> None:
    for path in orphans(bench):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    bench.start()
    bench.more_calls(50)
    bench.recover()
