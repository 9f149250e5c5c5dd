import asyncio
import gc
import weakref

import pytest

from usage_tracker.errors import StoreUnavailable
from usage_tracker.web.shared_answers import Answers


def test_while_the_next_answer_is_on_its_way_the_last_one_is_given() -> None:
    shared = Answers()
    begun: list[int] = []
    held = asyncio.Event()

    async def begin() -> int:
        begun.append(len(begun))
        number = begun[-1]
        if number:
            await held.wait()
        return number

    async def visit() -> None:
        async def ask(stale: float) -> int:
            return await shared.once("key", begin, 0.0, stale)

        assert await ask(60.0) == 0
        await asyncio.sleep(0.01)
        assert [await ask(60.0) for _ in range(5)] == [0] * 5, "nobody waits"
        await asyncio.sleep(0.01)
        assert begun == [0, 1], "and the next one is asked for once"
        waiting = asyncio.ensure_future(ask(0.0))
        await asyncio.sleep(0.01)
        assert not waiting.done(), "what is too old is not given"
        held.set()
        assert await waiting == 1
        assert begun == [0, 1], "who waits takes the one that was on its way"

    asyncio.run(visit())


def test_an_answer_that_takes_longer_than_it_is_good_for_is_asked_for_once() -> None:
    shared = Answers()
    begun: list[int] = []
    held = asyncio.Event()

    async def begin() -> int:
        begun.append(len(begun))
        await held.wait()
        return begun[-1]

    async def visit() -> None:
        viewers = []
        for _ in range(3):
            viewers.append(asyncio.ensure_future(shared.once("key", begin, 0.001)))
            await asyncio.sleep(0.01)
        held.set()
        assert await asyncio.gather(*viewers) == [0, 0, 0]
        assert await shared.once("key", begin, 0.001) == 1, "and then it is too old"

    asyncio.run(visit())


def test_where_the_next_answer_fails_the_last_one_is_given_until_it_is_too_old() -> None:
    shared = Answers()
    fails = False

    async def begin() -> str:
        if fails:
            raise StoreUnavailable("away")
        return "known"

    async def visit() -> None:
        nonlocal fails
        assert await shared.once("key", begin, 0.0, 60.0) == "known"
        fails = True
        for _ in range(3):
            await asyncio.sleep(0.01)
            assert await shared.once("key", begin, 0.0, 60.0) == "known"
        with pytest.raises(StoreUnavailable):
            await shared.once("key", begin, 0.0, 0.0)

    asyncio.run(visit())


def test_answers_that_are_too_old_to_be_given_are_not_kept_in_memory() -> None:
    """Each page and answer is one, and those of programs that ask for the last hours have another address each time."""
    shared = Answers()
    answers: list[weakref.ref[Large]] = []

    async def begin() -> Large:
        answers.append(weakref.ref(made := Large()))
        return made

    async def visit() -> None:
        for stale in (0.0, 60.0):
            await shared.once(f"old, {stale}", begin, 0.0, stale)
        await asyncio.sleep(0.01)
        await shared.once("new", begin, 60.0)
        gc.collect()
        assert [answer() is not None for answer in answers] == [False, True, True]

    asyncio.run(visit())


class Large:
    """An answer."""
