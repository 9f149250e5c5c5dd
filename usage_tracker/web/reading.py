"""Reads of the store that leave the event loop alone: a few threads, each with a connection of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import localcontext
from pathlib import Path
from typing import Any, TypeVar, cast

from usage_tracker.cli.stores import NothingYet, check_there
from usage_tracker.decimals import EXACT
from usage_tracker.dsn import Dsn
from usage_tracker.errors import SchemaError, StoreUnavailable
from usage_tracker.report import (
    Event,
    Query,
    Report,
    find_anywhere,
    find_near,
    has_schema,
    reads_every_event,
    run,
)
from usage_tracker.report.conditions import is_text
from usage_tracker.report.repricing import Prices
from usage_tracker.stores import Store, open_store
from usage_tracker.web.parameters import Refused
from usage_tracker.web.shared_answers import Answers

Result = TypeVar("Result")

THREADS = 4
SLOW_THREADS = 2
"""For questions that no rollup answers. The others never wait for one of these."""
ANSWER_SECONDS = 20.0
"""The longest that anybody waits for an answer; then the store is told to give it up."""
AGAIN_SECONDS = 0.5
FRESH_SECONDS = 3.0
"""How long an answer is given again: many viewers of one page are one question to the store."""
MOST_READ = 100_000
"""Rows of a statement's result. Making figures of so many takes some seconds, in which others wait."""


class TooLong(Exception):
    """The answer takes longer than a page may. The message is a sentence for people."""

    def __init__(self, *, slow: bool) -> None:
        why = "no sums are kept for it, so that each call has to be read" if slow else "the store is busy"
        super().__init__(
            f"this takes longer than {ANSWER_SECONDS:g} seconds: {why}. Ask for a shorter range, or with a condition "
            "such as project=…; `usage-tracker report` on the command line waits as long as it takes"
        )


class Job:
    """A piece of work on a thread of ours."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._given_up = False

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._given_up

    def run(self, store: Store, work: Callable[[Store], Result]) -> Result:
        """Raises StoreUnavailable where nobody wants its result any more."""
        with self._lock:
            if self._given_up:
                raise StoreUnavailable("nobody waits for this any more")
            self._store = store
        try:
            return work(cast(Store, Bounded(store, self)))
        finally:
            with self._lock:
                self._store = None

    def give_up(self) -> None:
        """End it, also where it goes on to another statement just now."""
        self._given_up = True
        while True:
            with self._lock:
                if self._store is None:
                    return
                self._store.interrupt()
            time.sleep(AGAIN_SECONDS)


class Bounded:
    """A store for one job: it gives no more rows than anybody can look at, and none to a job that was given up, so that
    the others have the processor."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store = store
        self._job = job

    def select(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        for count, row in enumerate(self._store.select(sql, parameters)):
            if count >= MOST_READ:
                raise Refused(
                    f"that are more than {MOST_READ:,} rows; ask for a shorter range, a longer unit of time, fewer "
                    "dimensions, or with conditions",
                    "by",
                )
            if self._job.given_up:
                raise StoreUnavailable("nobody waits for this any more")
            yield row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


LONGEST_ID = 500


def may_be_id(name: str) -> bool:
    """Whether a store can be asked for an event of that id, or for an answer of that name."""
    return len(name) <= LONGEST_ID and is_text(name)


class Reader:
    """Answers questions from one store. Nothing is written through it."""

    def __init__(self, dsn: Dsn, threads: int = THREADS, price_book: Path | None = None) -> None:
        """`price_book`: the file that goes before the store's, for what calls would cost today."""
        self.dsn = dsn
        self._price_book = price_book
        self._number = threads
        self._open()

    def _open(self) -> None:
        self._threads = ThreadPoolExecutor(self._number, thread_name_prefix="usage-tracker-reader")
        self._slow_threads = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="usage-tracker-slow-reader")
        self._own = threading.local()
        self._stores: list[Store] = []
        self.answers = Answers()
        """To what many ask at about the same time."""

    async def ask(self, query: Query) -> Report:
        """The answer, perhaps a moment old. Raises NothingYet, Refused, TooLong and StoreError."""
        slow = reads_every_event(query)
        return await self.answers.once(
            query, lambda: self.do(lambda store: self._answer(store, query), slow=slow), FRESH_SECONDS
        )

    async def shared(self, key: object, work: Callable[[Store], Result], seconds: float = FRESH_SECONDS) -> Result:
        """The work's result, done once for all who ask for that key at about the same time."""
        return await self.answers.once(key, lambda: self.do(work), seconds)

    async def known(self, key: object, work: Callable[[], Result], seconds: float) -> Result:
        """The same of work that needs no store."""
        return await self.answers.once(
            key, lambda: asyncio.get_running_loop().run_in_executor(self._threads, work), seconds
        )

    async def do(self, work: Callable[[Store], Result], *, slow: bool = False) -> Result:
        """The work's result, on a thread of ours; it must read to the end what it reads. `slow`: it may take long.
        Raises NothingYet, TooLong and StoreError."""
        loop, job = asyncio.get_running_loop(), Job()
        found = loop.run_in_executor(self._slow_threads if slow else self._threads, self._work, work, job)
        try:
            await asyncio.wait([found], timeout=ANSWER_SECONDS)
        finally:
            if not found.done():
                found.cancel()
                loop.run_in_executor(None, job.give_up)
        if found.cancelled():
            raise TooLong(slow=slow)
        return found.result()

    async def of_event(self, name: str, make: Callable[[Store, Event], Result]) -> Result | None:
        """What is made of the event of that id or, where it is none of ours, of the answer of that name; None: there is
        none. Who looks for what can be anywhere holds up no others. Raises NothingYet, TooLong and StoreError."""

        def made(find: Callable[[Store, str], Event | None]) -> Callable[[Store], Result | None]:
            return lambda store: None if (event := find(store, name)) is None else make(store, event)

        near = await self.do(made(find_near))
        return near if near is not None else await self.do(made(find_anywhere), slow=True)

    def close(self) -> None:
        """Until it is asked again, as by an app that is started a second time."""
        for threads in (self._threads, self._slow_threads):
            threads.shutdown(wait=True, cancel_futures=True)
        for store in self._stores:
            store.close()
        self._open()

    def _answer(self, store: Store, query: Query) -> Report:
        try:
            return run(store, query, self._prices()) if query.cost == "current" else run(store, query)
        except Refused:
            raise
        except ValueError as error:
            raise Refused(str(error), "cost" if query.cost == "current" else "since") from None

    def _prices(self) -> Prices:
        from usage_tracker.cli.price_books import open_books, open_pricer

        return open_pricer(open_books(self.dsn, self._price_book))

    def _work(self, work: Callable[[Store], Result], job: Job) -> Result:
        check_there(self.dsn)
        store: Store | None = getattr(self._own, "store", None)
        if store is None:
            store = self._own.store = open_store(self.dsn)
            self._stores.append(store)
        try:
            with localcontext(EXACT):
                return job.run(store, work)
        except SchemaError:
            if has_schema(store):
                raise
            raise NothingYet(self.dsn) from None
