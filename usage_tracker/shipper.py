"""What moves events from journal to store, a batch at a time: read, price, store, confirm, delete.

One process of each spool folder leads and ships the segments of all; a follower only watches over its own events and
stands by. Exactly-once is the store's ledger: a position that is confirmed in the store is never read again, and what
we noted elsewhere (the counters in a segment's header) is only a hint for `flush()`.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from usage_tracker.errors import EventsRefused, StoreError
from usage_tracker.event import Batch, Cost, Origin, PricedEvent, Stretch, UsageEvent
from usage_tracker.guard import guarded
from usage_tracker.journal import Journal, Recorded, Spool
from usage_tracker.journal.files import SharedFile
from usage_tracker.journal.journal import MemoryFile
from usage_tracker.journal.segment import Read
from usage_tracker.stores import Store

logger = logging.getLogger("usage_tracker")

OPEN_AT_MOST = 128
LONGEST_FORK_WAIT = 2.0
COMPACT_SECONDS = 10.0
COMPACTING_SECONDS = 1.0
"""The longest that compacting holds up shipping."""


class Prices(Protocol):
    """What the shipper needs of a pricer."""

    def refresh(self, store: Store) -> None:
        """Before a batch: take what the store's own price book says by now. Raises StoreError."""

    def price(self, origin: Origin, event: UsageEvent) -> Cost: ...


class Taken(NamedTuple):
    """What one segment gave for a batch."""

    file: SharedFile | MemoryFile
    read: Read


class Shipper:
    """Ships one spool folder to one store. Not thread-safe: `Shipping` runs it in a thread, the command line in its
    own."""

    def __init__(
        self,
        spool: Spool,
        open_store: Callable[[], Store],
        prices: Prices,
        batch_size: int,
        journal: Journal | None = None,
        closes_for_fork: bool = False,
    ) -> None:
        self.spool = spool
        self.stored = 0
        """Events that this shipper has stored."""
        self.corrupt = 0
        """Stretches of journal that could not be read; their bytes are kept aside."""
        self.refused = 0
        """Events that the store refused; they are in the dead-letter file."""
        self.last_error: str | None = None
        self._open_store = open_store
        self._store: Store | None = None
        self._prices = prices
        self._batch_size = batch_size
        self._limit = batch_size
        self._journal = journal
        self._files: dict[Path, SharedFile] = {}
        self._memory: set[MemoryFile] = set()
        self._compact_at = 0.0
        self.turn = threading.Lock()
        """Held while a batch is on its way. A fork waits for it where the store can't be carried across one."""
        self._closes_for_fork = closes_for_fork
        self._held_for_fork = False

    def step(self, *, leading: bool = True) -> bool:
        """Ship one batch; whether more is waiting. Raises StoreError where the store can't take it: try again later.

        Who doesn't lead ships only what this process keeps in memory, which nobody else can.
        """
        with self.turn:
            return self._step(leading)

    def _step(self, leading: bool) -> bool:
        if leading:
            self._compact()
        taken = self._take(leading)
        if not taken:
            return False
        self._prices.refresh(self._connected())
        batch = Batch(
            [
                Stretch(file.reader.header.segment, file.reader.position, read.end, len(read.events))
                for file, read in taken
            ],
            [self._priced(recorded) for _, read in taken for recorded in read.events],
        )
        try:
            written = self._connected().write(batch)
        except EventsRefused as refusal:
            self._split(taken, batch, refusal)
            return True
        if written:
            self._confirm(taken)
            self._limit = min(self._batch_size, self._limit * 2)
        else:
            self._locate([file for file, _ in taken])
        return True

    def _take(self, leading: bool) -> list[Taken]:
        """Up to a batch of events, from the oldest segments on; ended segments with nothing left are deleted."""
        taken, room = [], self._limit
        for file in self._known(leading):
            if room <= 0:
                break
            ended = file.ended()
            if not ended and not file.reader.pending():
                continue
            read = file.reader.read(room, ended)
            if read.end > file.reader.position:
                taken.append(Taken(file, read))
                room -= len(read.events)
            elif ended and isinstance(file, SharedFile):
                del self._files[file.path]
                file.delete()
        return taken

    def _known(self, leading: bool) -> list[SharedFile | MemoryFile]:
        """The segments to read from, oldest first, then those in memory."""
        found = self.spool.segments() if leading else []
        fresh: list[SharedFile | MemoryFile] = [*self._open(found)] if leading else []
        memory = list(self._journal.memory) if self._journal else []
        fresh.extend(file for file in memory if file not in self._memory)
        if fresh:
            try:
                self._locate(fresh)
            except StoreError:
                for file in fresh:
                    if isinstance(file, SharedFile):
                        self._drop(file.path)
                raise
            self._memory = set(memory)
        return [*(self._files[path] for path in found if path in self._files), *memory]

    def _open(self, found: list[Path]) -> list[SharedFile]:
        """Open what is new, the oldest first and never more than OPEN_AT_MOST: they are descriptors of the app."""
        for path in self._files.keys() - set(found):
            self._drop(path)
        unknown = [path for path in found if path not in self._files]
        lacking = len(self._files) + len(unknown) - OPEN_AT_MOST
        for path, file in list(self._files.items())[: max(0, lacking)]:
            if not file.reader.pending():
                self._drop(path)
        fresh = []
        for path in unknown[: max(0, OPEN_AT_MOST - len(self._files))]:
            if opened := self.spool.open(path):
                self._files[path] = opened
                fresh.append(opened)
        return fresh

    def _drop(self, path: Path) -> None:
        self._files.pop(path).close()

    def _locate(self, files: list[SharedFile | MemoryFile]) -> None:
        """Ask the ledger where to go on."""
        positions = self._connected().positions([file.reader.header.segment for file in files])
        for file in files:
            file.reader.start_at(positions.get(file.reader.header.segment, 0))
            file.confirm(file.reader.position, file.reader.events)

    def _priced(self, recorded: Recorded) -> PricedEvent:
        event_id, origin, event = recorded
        cost = Cost(flags=("unpriced",))
        with guarded("price"):
            cost = self._prices.price(origin, event)
        return PricedEvent(event_id, origin, event, cost)

    def _confirm(self, taken: list[Taken]) -> None:
        for file, read in taken:
            file.reader.position = read.end
            file.reader.events += len(read.events)
            self.stored += len(read.events)
            if read.corrupt:
                self.corrupt += len(read.corrupt)
                logger.warning(
                    "%d stretches of journal were unreadable; %s keeps them", len(read.corrupt), self.spool.folder
                )
                self.spool.keep_aside(str(file.reader.header.segment), read.corrupt)
            file.confirm(file.reader.position, file.reader.events)

    def _split(self, taken: list[Taken], batch: Batch, refusal: EventsRefused) -> None:
        """Halve the batch; once it is a single event, set that one aside and move on."""
        if len(batch.events) > 1:
            self._limit = max(1, len(batch.events) // 2)
            return
        for priced in batch.events:
            self.spool.refuse(priced, str(refusal))
            self.refused += 1
            logger.error(
                "the store refuses an event (%s); it is kept in %s", refusal, self.spool.folder / "refused.jsonl"
            )
        if self._connected().write(Batch([stretch._replace(events=0) for stretch in batch.stretches], [])):
            self._confirm(taken)
        else:
            self._locate([file for file, _ in taken])

    def _connected(self) -> Store:
        if self._store is None:
            store = self._open_store()
            store.migrate()
            self._store = store
        return self._store

    def _compact(self) -> None:
        """Every now and then fold what was appended into the rollups: reports are as fast as what is left is little."""
        now = time.monotonic()
        if self._store is not None and now >= self._compact_at:
            while self._store.compact() and time.monotonic() < now + COMPACTING_SECONDS:
                continue
            self._compact_at = time.monotonic() + COMPACT_SECONDS

    def close(self) -> None:
        """Let go of files and store; the positions are in the ledger."""
        with self.turn:
            self.spool.resign()
            for path in list(self._files):
                self._drop(path)
            if self._store is not None:
                self._store.compact()
                self._store.close()
                self._store = None

    def before_fork(self) -> None:
        """SQLite must not be carried across a fork (https://www.sqlite.org/howtocorrupt.html, 2.6): a child would share
        locks that it does not hold. Wait for the batch under way and close the file; the next batch opens it again."""
        if self._closes_for_fork and self.turn.acquire(timeout=LONGEST_FORK_WAIT):
            self._held_for_fork = True
            if self._store is not None:
                self._store.close()

    def after_fork_in_parent(self) -> None:
        """Let the next batch begin."""
        if self._held_for_fork:
            self._held_for_fork = False
            self.turn.release()

    def forget(self) -> None:
        """In a forked child: files are closed, which leaves the parent's locks alone; its connection is not touched."""
        self.turn, self._held_for_fork = threading.Lock(), False
        INHERITED.append(self._store)
        self._store = None
        files, self._files, self._memory = self._files, {}, set()
        for file in files.values():
            file.close()


INHERITED: list[Store | None] = []
"""Connections of a parent process. Closing one, as its destructor would, ends the parent's session."""
