"""Reads of the store that leave the event loop alone: a few threads, each with a connection of its own."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from usage_tracker.cli.stores import NothingYet, check_there
from usage_tracker.config import Dsn
from usage_tracker.errors import SchemaError
from usage_tracker.report import Query, Report, has_schema, run
from usage_tracker.stores import Store, open_store

Result = TypeVar("Result")

THREADS = 4
FRESH_SECONDS = 3.0
"""How long an answer is given again: many viewers of one page are one question to the store."""
MOST_ANSWERS = 512


class Reader:
    """Answers questions from one store. Nothing is written through it."""

    def __init__(self, dsn: Dsn, threads: int = THREADS) -> None:
        self.dsn = dsn
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="usage-tracker-reader")
        self._own = threading.local()
        self._stores: list[Store] = []
        self._answers: OrderedDict[Any, tuple[float, asyncio.Future[Any]]] = OrderedDict()

    async def ask(self, query: Query) -> Report:
        """The answer, perhaps a moment old. Raises NothingYet and StoreError."""
        return await self.shared(query, lambda store: run(store, query))

    async def shared(self, key: object, work: Callable[[Store], Result], seconds: float = FRESH_SECONDS) -> Result:
        """The work's result, done once for all who ask for that key at about the same time."""
        return await self.once(key, lambda: self.do(work), seconds)

    async def known(self, key: object, work: Callable[[], Result], seconds: float) -> Result:
        """The same of work that needs no store."""
        return await self.once(key, lambda: asyncio.get_running_loop().run_in_executor(self._threads, work), seconds)

    async def once(self, key: object, begin: Callable[[], Awaitable[Result]], seconds: float) -> Result:
        """What `begin` comes to, the same for all who ask for that key within those seconds."""
        now = time.monotonic()
        found = self._answers.get(key)
        if found is None or found[0] < now or found[1].cancelled():
            self._answers.pop(key, None)
            task: asyncio.Future[Any] = asyncio.ensure_future(begin())
            self._answers[key] = now + seconds, task
            task.add_done_callback(lambda done: self._forget_failure(key, done))
            while len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
            found = self._answers[key]
        # one viewer who goes away doesn't take the answer from the others
        result: Result = await asyncio.shield(found[1])
        return result

    def forget(self, *keys: object) -> None:
        """What was changed is asked for anew."""
        for key in keys:
            self._answers.pop(key, None)

    async def do(self, work: Callable[[Store], Result]) -> Result:
        """The work's result, on a thread of ours; it must read to the end what it reads. Raises NothingYet and
        StoreError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, work)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        for store in self._stores:
            store.close()

    def _work(self, work: Callable[[Store], Result]) -> Result:
        check_there(self.dsn)
        store: Store | None = getattr(self._own, "store", None)
        if store is None:
            store = self._own.store = open_store(self.dsn)
            self._stores.append(store)
        try:
            return work(store)
        except SchemaError:
            if has_schema(store):
                raise
            raise NothingYet(self.dsn) from None

    def _forget_failure(self, key: object, done: "asyncio.Future[Any]") -> None:
        if done.cancelled() or done.exception() is not None:
            kept = self._answers.get(key)
            if kept is not None and kept[1] is done:
                del self._answers[key]
