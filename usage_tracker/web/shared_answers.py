"""Answers that are looked for once for all who ask the same at about the same time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")

MOST_ANSWERS = 512


class Answer:
    """What all who ask the same are given, and how many wait for it."""

    def __init__(self, until: float, task: "asyncio.Future[Any]", stale: float) -> None:
        self.until = until
        self.given_until = until + stale
        self.task = task
        self.waiting = 0
        self.renewal: Answer | None = None

    @property
    def on_its_way(self) -> "Answer | None":
        """The next one, while it is looked for."""
        return None if self.renewal is None or self.renewal.task.done() else self.renewal

    @property
    def good(self) -> bool:
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None

    def is_for(self, now: float) -> bool:
        """Whether who asks now waits for it or is given it. One that takes long isn't asked for a second time."""
        return not self.task.done() or (self.until >= now and not self.task.cancelled())

    def is_over(self, now: float) -> bool:
        """Whether nobody is given it any more, nor what comes after it."""
        return self.given_until < now and self.task.done() and self.on_its_way is None


class Answers:
    """Those that are given at present, on one event loop."""

    def __init__(self) -> None:
        self._answers: OrderedDict[object, Answer] = OrderedDict()

    async def once(
        self, key: object, begin: Callable[[], Awaitable[Result]], seconds: float, stale: float = 0.0
    ) -> Result:
        """What `begin` comes to, the same for all who ask for that key within those seconds. Who goes away doesn't take
        it from the others; when all are gone, it is given up. `stale`: for how many seconds more it is given while the
        next one is on its way, so that nobody waits where many look."""
        now = time.monotonic()

        def begun() -> Answer:
            return Answer(now + seconds, asyncio.ensure_future(begin()), stale)

        answer = self._answers.get(key)
        if answer is not None and answer.good and answer.until < now < answer.until + stale:
            if answer.on_its_way is None:
                answer.renewal = begun()
                answer.renewal.task.add_done_callback(partial(self._renew, key, answer))
            known: Result = answer.task.result()
            return known
        if answer is None or not answer.is_for(now):
            self._answers.pop(key, None)
            answer = self._answers[key] = (answer and answer.on_its_way) or begun()
            answer.task.add_done_callback(partial(self._forget_failure, key))
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

    def _renew(self, key: object, answer: Answer, _: "asyncio.Future[Any]") -> None:
        """Put its renewal in its place, if that has come to something."""
        if answer.renewal is not None and answer.renewal.good and self._answers.get(key) is answer:
            self._answers[key] = answer.renewal

    def _forget_failure(self, key: object, done: "asyncio.Future[Any]") -> None:
        if done.cancelled() or done.exception() is not None:
            kept = self._answers.get(key)
            if kept is not None and kept.task is done:
                del self._answers[key]
