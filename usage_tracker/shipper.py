"""What moves events from journal to store, a batch at a time: read, price, store, confirm, delete.

One process of each spool folder leads and ships the segments of all, or has several that do, each some of them; a
follower only watches over its own events and stands by. Exactly-once is the store's ledger: a position that is
confirmed in the store is never read again, and what we noted elsewhere (the counters in a segment's header) is only a
hint for `flush()`.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol
from weakref import WeakSet

from usage_tracker.batch_pricing import Prices, price_batch
from usage_tracker.batch_size import BatchSize
from usage_tracker.errors import EventsRefused, StoreError
from usage_tracker.event import Batch, Stretch
from usage_tracker.forking import undivided
from usage_tracker.guard import guarded
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.aside import REFUSED, keep_aside, refuse
from usage_tracker.journal.claims import Claims
from usage_tracker.journal.files import SharedFile
from usage_tracker.journal.memory_file import MemoryFile
from usage_tracker.journal.open_segments import OpenSegments
from usage_tracker.journal.reader import Read
from usage_tracker.seldom import Seldom
from usage_tracker.stores import Store

logger = logging.getLogger("usage_tracker")

COMPACT_SECONDS = 10.0
COMPACTING_SECONDS = 1.0
"""The longest that compacting holds up shipping; where more is left, shipping has as long in between."""


class Chore(Protocol):
    """What else the leader does with the store, such as looking after budgets."""

    def load(self) -> None:
        """Before the store is opened: import what it takes beside it."""

    def __call__(self, store: Store, *, last: bool = False) -> None:
        """Do what is due. `last`: nothing more is shipped from here. Raises StoreError."""


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
        chore: Chore | None = None,
        claims: Claims | None = None,
    ) -> None:
        """`claims`: where several processes ship the folder for their leader, which folds and has the chores."""
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
        self._migrated = False
        self._prices = prices
        self._size = BatchSize(batch_size)
        self._journal = journal
        self._segments = OpenSegments(spool, claims)
        self._folds = claims is None
        self._made_room = False
        """Whether the last step deleted a segment, so that the next may open another."""
        self._memory: WeakSet[MemoryFile] = WeakSet()
        """Of this process's segments in memory those whose place in the ledger is known. Weak, as they are large."""
        self._compact_at = 0.0
        self._chore = chore
        self._warning, self._refusal = Seldom(), Seldom()
        self.turn = threading.Lock()
        """Held while a batch is on its way."""

    def step(self, *, leading: bool = True) -> bool:
        """Ship one batch; whether more is waiting. Raises StoreError where the store can't take it: try again later.

        Who doesn't lead ships only what this process keeps in memory, which nobody else can.
        """
        with self.turn:
            more = self._step(leading)
            if leading:
                self._do_chore()
            return more

    def _step(self, leading: bool) -> bool:
        if leading:
            self._compact()
        self._made_room = False
        taken = self._take(leading)
        if not taken:
            return self._made_room
        with undivided():
            self._prices.load()
        self._prices.refresh(self._connected())
        stretches = [
            Stretch(file.reader.header.segment, file.reader.position, read.end, read.size) for file, read in taken
        ]
        batch = Batch(stretches, *price_batch(self._prices, [read for _, read in taken]))
        try:
            if self._write(batch, taken):
                self.stored += batch.size
                self._size.stored(batch.size)
        except EventsRefused as refusal:
            self._split(taken, batch, refusal)
        return True

    def _write(self, batch: Batch, taken: list[Taken]) -> bool:
        """Store a batch and go on behind it; False where it was stored before, and the ledger says where to go on.
        Raises EventsRefused."""
        written = self._connected().write(batch)
        if written:
            self._confirm(taken)
        else:
            self._locate([file for file, _ in taken])
        return written

    def _take(self, leading: bool) -> list[Taken]:
        """Up to a batch of events, from the oldest segments on; ended segments with nothing left are deleted."""
        taken, room = [], self._size.now
        for file in self._known(leading):
            if room <= 0:
                break
            try:
                read = self._read(file, room)
            except OSError as error:  # this one's disk blocks; the others' may be whole
                logger.debug("a segment can't be read now: %s", error)
                continue
            if read is not None:
                taken.append(Taken(file, read))
                room -= read.size
        return taken

    def _read(self, file: SharedFile | MemoryFile, room: int) -> Read | None:
        """What one segment has, up to that many events. One that has ended and is stored is deleted."""
        ended = file.ended()
        if not ended and not file.reader.pending():
            return None
        gather = self._store is not None and self._store.takes_alike and not self._size.one_by_one
        read = file.reader.read(room, ended, gather=gather)
        if read.end > file.reader.position:
            return read
        if ended and isinstance(file, SharedFile):
            self._made_room |= self._segments.delete(file)
        return None

    def _known(self, leading: bool) -> list[SharedFile | MemoryFile]:
        """The segments to read from, oldest first, then those in memory."""
        # in this order: what goes to disk meanwhile is known as one of the two, and never as both
        memory = list(self._journal.memory) if self._journal else []
        fresh: list[SharedFile | MemoryFile] = [*self._segments.open(memory)] if leading else []
        fresh.extend(file for file in memory if file not in self._memory)
        if fresh:
            try:
                self._locate(fresh)
            except StoreError:
                for file in fresh:
                    if isinstance(file, SharedFile):
                        self._segments.close(file.path)
                raise
            self._memory = WeakSet(memory)
        return [*self._segments.files.values(), *memory] if leading else [*memory]

    def _locate(self, files: list[SharedFile | MemoryFile]) -> None:
        """Ask the ledger where to go on."""
        positions = self._connected().positions([file.reader.header.segment for file in files])
        for file in files:
            file.reader.start_at(positions.get(file.reader.header.segment, 0))
            file.confirm(file.reader.position, file.reader.events)

    def _confirm(self, taken: list[Taken]) -> None:
        for file, read in taken:
            file.reader.position = read.end
            file.reader.events += read.size
            if read.corrupt:
                self.corrupt += len(read.corrupt)
                logger.warning(
                    "%d stretches of journal were unreadable; %s keeps them", len(read.corrupt), self.spool.folder
                )
                keep_aside(self.spool, str(file.reader.header.segment), read.corrupt)
            file.confirm(file.reader.position, file.reader.events)

    def _split(self, taken: list[Taken], batch: Batch, refusal: EventsRefused) -> None:
        """Halve the batch; once it is a single event, set that one aside and move on."""
        if batch.alike or batch.size > 1:
            self._size.refused(batch.size)
            return
        for priced in batch.events:
            refuse(self.spool, priced, str(refusal))
            self.refused += 1
        if self._refusal.due():  # a store may refuse each of a million
            logger.error(
                "the store refuses an event (%s); it is kept in %s (%d so far)",
                refusal, self.spool.folder / REFUSED, self.refused,
            )  # fmt: skip
        self._write(Batch([stretch._replace(events=0) for stretch in batch.stretches], []), taken)

    def connect(self, *, anew: bool = False) -> None:
        """Connect, if that was not done yet, so that what others append is folded even where nothing is to be shipped.
        `anew`: see again whether the schema is one that this version knows. Raises StoreError."""
        with self.turn:
            self._migrated = self._migrated and not anew
            self._connected()

    def fold(self) -> None:
        """Fold all that was appended, by whomever, however long it takes. Raises StoreError."""
        with self.turn:
            while self._connected().compact():
                continue

    def attend(self) -> None:
        """What is a leader's to do beside shipping, where others ship for it. Raises StoreError."""
        with self.turn:
            self._connected()
            if self._compact():
                self._compact_at = 0.0  # no event waits for that here
            self._do_chore()

    def _connected(self) -> Store:
        if self._store is None:
            with undivided():
                if self._chore is not None:
                    self._chore.load()
                self._store, self._migrated = self._open_store(), False
        if not self._migrated:
            self._store.migrate()
            self._migrated = True
        return self._store

    def _compact(self) -> bool:
        """Every now and then fold what was appended into the rollups, for a moment: reports are as fast as what is left
        is little. Whether there is more. Where that fails, events are shipped all the same."""
        now, more = time.monotonic(), False
        if self._folds and self._store is not None and self._migrated and now >= self._compact_at:
            try:
                while (more := bool(self._store.compact())) and time.monotonic() < now + COMPACTING_SECONDS:
                    continue
            except StoreError as error:
                logger.debug("folding into rollups is left for later: %s", error)
            self._compact_at = time.monotonic() + (COMPACTING_SECONDS if more else COMPACT_SECONDS)
        return more

    def _do_chore(self, *, last: bool = False) -> None:
        """Where that fails, events are shipped all the same."""
        if self._chore is None:
            return
        with guarded("chore"):
            try:
                self._chore(self._connected(), last=last)
            except StoreError as error:
                if self._warning.due():
                    logger.warning("budgets can't be looked after: %s", error)

    def resign(self) -> None:
        """Let another process lead, and have the segments whose locks are held here, as they have ended."""
        with self.turn:
            self._segments.close_all()
            self.spool.resign()

    def close(self) -> None:
        """Let go of files and store; the positions are in the ledger."""
        with self.turn:
            self.spool.resign()
            self._segments.close_all()
            if self._store is not None:
                self._compact_at = 0.0
                self._compact()
                self._do_chore(last=True)
                with suppress(StoreError):
                    self._store.close()
                self._store = None

    def forget(self) -> None:
        """In a forked child: files are closed, which leaves the parent's locks alone; its connection is not touched."""
        self.turn = threading.Lock()
        INHERITED.append(self._store)
        self._store = None
        self._memory = WeakSet()
        self._segments.forget()


INHERITED: list[Store | None] = []
"""Connections of a parent process. Closing one, as its destructor would, ends the parent's session."""
