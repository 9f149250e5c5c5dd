"""Reads of the store that leave the event loop alone: a few threads, each with a connection of its own."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
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
from usage_tracker.report.repricing import Prices
from usage_tracker.stores import Store, open_store
from usage_tracker.web.parameters import Refused

Result = TypeVar("Result")

THREADS = 4
SLOW_THREADS = 2
"""For questions that no rollup answers. The others never wait for one of these."""
ANSWER_SECONDS = 20.0
"""The longest that anybody waits for an answer; then the store is told to give it up."""
AGAIN_SECONDS = 0.5
FRESH_SECONDS = 3.0
"""How long an answer is given again: many viewers of one page are one question to the store."""
MOST_ANSWERS = 512
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


class Answer:
    """What all who ask the same are given, and how many wait for it."""

    def __init__(self, until: float, task: "asyncio.Future[Any]", stale: float) -> None:
        self.until = until
        self.given_until = until + stale
        self.task = task
        self.waiting = 0
        self.renewal: Answer | None = None
        """The next one, which is on its way."""

    @property
    def good(self) -> bool:
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None

    def is_for(self, now: float) -> bool:
        """Whether who asks now waits for it or is given it. One that takes long isn't asked for a second time."""
        return not self.task.done() or (self.until >= now and not self.task.cancelled())

    def is_over(self, now: float) -> bool:
        """Whether nobody is given it any more, nor what comes after it."""
        renewed = self.renewal is None or self.renewal.task.done()
        return self.given_until < now and self.task.done() and renewed


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
        self._answers: OrderedDict[Any, Answer] = OrderedDict()

    async def ask(self, query: Query) -> Report:
        """The answer, perhaps a moment old. Raises NothingYet, Refused, TooLong and StoreError."""
        slow = reads_every_event(query)
        return await self.once(
            query, lambda: self.do(lambda store: self._answer(store, query), slow=slow), FRESH_SECONDS
        )

    async def shared(self, key: object, work: Callable[[Store], Result], seconds: float = FRESH_SECONDS) -> Result:
        """The work's result, done once for all who ask for that key at about the same time."""
        return await self.once(key, lambda: self.do(work), seconds)

    async def known(self, key: object, work: Callable[[], Result], seconds: float) -> Result:
        """The same of work that needs no store."""
        return await self.once(key, lambda: asyncio.get_running_loop().run_in_executor(self._threads, work), seconds)

    async def once(
        self, key: object, begin: Callable[[], Awaitable[Result]], seconds: float, stale: float = 0.0
    ) -> Result:
        """What `begin` comes to, the same for all who ask for that key within those seconds. Who goes away doesn't take
        it from the others; when all are gone, it is given up. `stale`: for how many seconds more it is given while the
        next one is on its way, so that nobody waits where many look."""
        now = time.monotonic()
        answer = self._answers.get(key)
        if answer is not None and answer.until < now and answer.good and now < answer.until + stale:
            last = answer
            if last.renewal is None or last.renewal.task.done():
                last.renewal = Answer(now + seconds, asyncio.ensure_future(begin()), stale)
                last.renewal.task.add_done_callback(lambda _: self._renew(key, last))
            known: Result = last.task.result()
            return known
        if answer is None or not answer.is_for(now):
            self._answers.pop(key, None)
            renewal = answer and answer.renewal
            if renewal is None or renewal.task.done():
                renewal = Answer(now + seconds, asyncio.ensure_future(begin()), stale)
            answer = self._answers[key] = renewal
            answer.task.add_done_callback(lambda done: self._forget_failure(key, done))
            # each can be of many rows, and where addresses name a moment, no two are the same
            for other in [other for other, known in self._answers.items() if known.is_over(now)]:
                del self._answers[other]
            while len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
        answer.waiting += 1
        try:
            result: Result = await asyncio.shield(answer.task)
        finally:
            answer.waiting -= 1
            if not answer.waiting and not answer.task.done():
                answer.task.cancel()
                if self._answers.get(key) is answer:
                    del self._answers[key]
        return result

    def forget(self) -> None:
        """Something was changed: everything is asked for anew."""
        self._answers.clear()

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

    def _renew(self, key: object, answer: Answer) -> None:
        """Put its renewal in its place, if that has come to something."""
        if answer.renewal is not None and answer.renewal.good and self._answers.get(key) is answer:
            self._answers[key] = answer.renewal

    def _forget_failure(self, key: object, done: "asyncio.Future[Any]") -> None:
        if done.cancelled() or done.exception() is not None:
            kept = self._answers.get(key)
            if kept is not None and kept.task is done:
                del self._answers[key]
