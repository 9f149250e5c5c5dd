"""Who a call is for: scopes nest, merge, and don't leak."""

import asyncio
import inspect
import multiprocessing
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from capturing import Captured

import usage_tracker
from usage_tracker import attribute, scopes, wrap
from usage_tracker.attribution import MAX_LENGTH, MAX_TAGS, NOBODY, Attribution, clean_tags, current
from usage_tracker.providers.metadata import read_asked
from usage_tracker.scopes import Asking, settle


def test_outside_every_scope_nobody_is_named() -> None:
    assert current.get() == NOBODY


def test_inner_scopes_say_more_and_leave_the_rest_to_outer_ones() -> None:
    with attribute(project="alpha", user="u-1", tags=["tier:pro"]):
        with attribute(user="u-2", tags=["job:nightly"]):
            assert current.get() == Attribution("alpha", None, "u-2", None, ("tier:pro", "job:nightly"))
        assert current.get().user == "u-1"
    assert current.get() == NOBODY


def test_what_settings_say_is_what_a_scope_that_says_it_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of variables leaves blanks, and a carriage return, behind what they hold."""
    said = {
        "project": "alpha ",
        "team": " ",
        "user": "u-1\r",
        "session": "s" * (MAX_LENGTH + 1),
        "app": "shop ",
        "host": "h\r",
    }
    for name, value in said.items():
        monkeypatch.setenv(f"TRACKER_{name.upper()}", value)
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool", tags=["tier:pro "])
    try:
        captured = Captured()
        usage_tracker.record(provider="openai", model="gpt-4o-mini")
        origin, _ = captured.one_call()
    finally:
        usage_tracker.uninstall()
    assert (origin.project, origin.team, origin.user_id, origin.session_id) == ("alpha", None, "u-1", "s" * MAX_LENGTH)
    assert (origin.app, origin.host, origin.tags) == ("shop", "h", ("tier:pro",))


def test_none_says_nothing() -> None:
    with attribute(project="alpha", tags=["tier:pro"]), attribute(project=None, team=None, tags=None):
        assert current.get() == Attribution("alpha", tags=("tier:pro",))


def test_a_scope_ends_with_an_exception_too() -> None:
    try:
        with attribute(team="core"):
            raise KeyError
    except KeyError:
        pass
    assert current.get() == NOBODY


def test_one_scope_can_be_entered_again_and_inside_itself() -> None:
    scope = attribute(project="alpha")
    with scope, scope:
        assert current.get().project == "alpha"
    assert current.get() == NOBODY


def test_decorates_functions() -> None:
    @attribute(project="alpha")
    def ask(question: str) -> tuple[str, str | None]:
        return question, current.get().project

    assert ask("why?") == ("why?", "alpha")
    assert ask.__name__ == "ask"
    assert current.get() == NOBODY


def test_decorates_coroutines_that_run_at_once() -> None:
    @attribute(project="alpha")
    async def ask(user: str) -> Attribution:
        with attribute(user=user):
            await asyncio.sleep(0.001)
            return current.get()

    async def main() -> list[Attribution]:
        return list(await asyncio.gather(*(ask(f"u-{number}") for number in range(20))))

    assert [found.user for found in asyncio.run(main())] == [f"u-{number}" for number in range(20)]


def test_decorates_generators_and_between_steps_the_caller_has_its_own() -> None:
    @attribute(project="alpha")
    def steps() -> Iterator[str | None]:
        yield current.get().project
        yield current.get().project

    seen = [(inner, current.get().project) for inner in steps()]
    assert seen == [("alpha", None), ("alpha", None)]


def test_a_decorated_generator_is_sent_to_thrown_at_and_returned_from_as_before() -> None:
    @attribute(project="alpha")
    def steps() -> Generator[str, str, str]:
        said = yield "first"
        try:
            yield said
        except KeyError:
            yield f"caught for {current.get().project}"
        return "done"

    def consumer() -> Iterator[str]:
        running = steps()
        yield next(running)
        yield running.send("second")
        yield running.throw(KeyError())
        with pytest.raises(StopIteration) as ended:
            next(running)
        yield ended.value.value

    assert list(consumer()) == ["first", "second", "caught for alpha", "done"]


class TestAsyncGenerators:
    def test_between_steps_the_consumer_has_its_own(self) -> None:
        @attribute(project="alpha")
        async def steps() -> AsyncIterator[str | None]:
            yield current.get().project
            await asyncio.sleep(0)
            yield current.get().project

        async def main() -> list[tuple[str | None, str | None]]:
            return [(inner, current.get().project) async for inner in steps()]

        assert asyncio.run(main()) == [("alpha", None), ("alpha", None)]

    def test_they_are_sent_to_and_thrown_at_as_before(self) -> None:
        @attribute(project="alpha")
        async def steps() -> AsyncGenerator[str, str]:
            said = yield "first"
            try:
                yield said
            except KeyError:
                yield f"caught for {current.get().project}"

        async def main() -> list[str]:
            running = steps()
            return [
                await anext(running),
                await running.asend("second"),
                await running.athrow(KeyError()),
                await anext(running, "done"),
            ]

        assert asyncio.run(main()) == ["first", "second", "caught for alpha", "done"]

    def test_they_are_closed_there_and_then(self) -> None:
        ended = []

        @attribute(project="alpha")
        async def steps() -> AsyncGenerator[int, None]:
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                ended.append(current.get().project)

        async def main() -> None:
            running = steps()
            await anext(running)
            await running.aclose()
            assert ended == ["alpha"]

        asyncio.run(main())

    def test_they_can_be_context_managers(self) -> None:
        @asynccontextmanager
        @attribute(project="alpha")
        async def opened() -> AsyncIterator[str | None]:
            yield current.get().project

        async def main() -> None:
            async with opened() as project:
                assert project == "alpha"
                assert current.get() == NOBODY
            with pytest.raises(KeyError):
                async with opened():
                    raise KeyError

        asyncio.run(main())


def test_what_is_decorated_stays_what_it_was() -> None:
    async def coroutine() -> None: ...
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    def generator() -> Iterator[int]:
        yield 1

    for decorate in (attribute(project="alpha"), wrap):
        assert inspect.iscoroutinefunction(decorate(coroutine))
        assert inspect.isasyncgenfunction(decorate(async_generator))
        assert inspect.isgeneratorfunction(decorate(generator))


def test_what_other_decorators_hide_is_told_by_its_result() -> None:
    async def ask() -> str | None:
        await asyncio.sleep(0)
        return current.get().project

    def steps() -> Iterator[str | None]:
        yield current.get().project

    def begin_asking() -> Coroutine[None, None, str | None]:
        return ask()

    def begin_stepping() -> Iterator[str | None]:
        return steps()

    decorate = attribute(project="alpha")
    assert asyncio.run(decorate(begin_asking)()) == "alpha"
    assert list(decorate(begin_stepping)()) == ["alpha"]


def test_decorates_methods() -> None:
    class Bot:
        name = "bot"

        @attribute(project="alpha")
        def ask(self) -> tuple[str, str | None]:
            return self.name, current.get().project

    assert Bot().ask() == ("bot", "alpha")


def test_decorates_methods_of_a_class_in_either_order() -> None:
    decorate = attribute(project="alpha")

    class Bot:
        @decorate
        @classmethod
        def outside(cls) -> tuple[type, str | None]:
            return cls, current.get().project

        @classmethod
        @decorate
        def inside(cls) -> tuple[type, str | None]:
            return cls, current.get().project

        @decorate
        @staticmethod
        def alone() -> str | None:
            return current.get().project

    assert Bot.outside() == Bot().outside() == Bot.inside() == (Bot, "alpha")
    assert Bot.alone() == Bot().alone() == "alpha"


def test_decorates_no_class() -> None:
    with pytest.raises(TypeError, match="decorate the methods of Bot"):

        @attribute(project="alpha")
        class Bot:
            def ask(self) -> None: ...


@pytest.mark.timeout(20)
def test_a_mock_stands_in_for_a_function() -> None:
    for decorate in (attribute(project="alpha"), wrap):
        assert decorate(Mock(side_effect=current.get))().project == ("alpha" if decorate is not wrap else None)
        assert asyncio.run(decorate(AsyncMock(return_value=7))()) == 7


def test_what_is_asked_later_is_not_asked_by_a_scope_within() -> None:
    """As where an app marks all requests before it knows who has signed in."""
    signed_in: list[str] = []
    asked: list[int] = []

    def ask() -> Attribution:
        asked.append(1)
        return Attribution(user=signed_in[0], project="outer", tags=("route:/",))

    with Asking(ask), Asking(lambda: Attribution(team=signed_in[0])), attribute(project="alpha", tags=["a"]) as said:
        assert (said.project, asked) == ("alpha", [])
        signed_in.append("u-1")
        assert current.get() == Attribution("alpha", "u-1", "u-1", None, ("route:/", "a"))
        settle()
        signed_in.clear()
        assert current.get().user == "u-1"
        with attribute(project="beta"):
            assert current.get() == Attribution("beta", "u-1", "u-1", None, ("route:/", "a"))
    assert current.get() == NOBODY


class TestScopesThatAreLeftElsewhere:
    def test_a_generators_own_block_may_end_in_another_context(self) -> None:
        """As that of a body which a server pulls from its threads."""

        def steps() -> Iterator[int]:
            with attribute(project="alpha"):
                yield 1

        with attribute(project="outer"):
            running = steps()
            copy_context().run(next, running)
            assert list(running) == []
            assert current.get().project == "outer"

    def test_generators_that_take_turns_leave_nothing_behind(self) -> None:
        def steps(user: str) -> Iterator[int]:
            with attribute(user=user):
                yield 1

        first, second, third = running = [steps(user) for user in ("u-1", "u-2", "u-3")]
        for each in running:
            next(each)
        assert list(first) == []
        assert current.get().user == "u-3"
        assert list(third) == []
        assert current.get().user == "u-2"
        assert list(second) == []
        assert current.get() == NOBODY


class TestConcurrency:
    def test_tasks_that_start_each_other_without_end_drag_no_scopes_along(self) -> None:
        async def in_block(left: int, ended: asyncio.Future[int]) -> None:
            with attribute(user=f"u-{left}"):
                go_on(in_block, left, ended)

        @attribute(project="alpha")
        async def decorated(left: int, ended: asyncio.Future[int]) -> None:
            go_on(decorated, left, ended)

        tasks: set[asyncio.Task[None]] = set()

        def go_on(job: Any, left: int, ended: asyncio.Future[int]) -> None:
            if left:
                tasks.add(asyncio.create_task(job(left - 1, ended)))
            else:
                ended.set_result(depth())

        def depth() -> int:
            found, scope = 0, scopes.entered.get()
            while scope is not None:
                found, scope = found + 1, scope.below
            return found

        async def main(job: Any) -> int:
            ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            await job(50, ended)
            return await ended

        assert asyncio.run(main(in_block)) <= 2
        assert asyncio.run(main(decorated)) <= 2

    def test_one_scope_serves_many_threads_and_tasks_at_once(self) -> None:
        scope = attribute(project="alpha")

        async def ask(user: str) -> Attribution:
            with attribute(user=user), scope:
                await asyncio.sleep(0.001)
                found = current.get()
            assert current.get() == NOBODY
            return found

        async def main() -> set[Attribution]:
            return set(await asyncio.gather(*(ask(f"u-{number}") for number in range(50))))

        with ThreadPoolExecutor(4) as threads:
            for found in threads.map(asyncio.run, [main() for _ in range(8)]):
                assert found == {Attribution("alpha", None, f"u-{number}") for number in range(50)}
        assert current.get() == NOBODY

    def test_tasks_have_their_own_from_their_start(self) -> None:
        async def ask(user: str) -> tuple[str | None, str | None]:
            outer = current.get().user
            with attribute(user=user):
                await asyncio.sleep(0.001)
                return outer, current.get().user

        async def main() -> list[tuple[str | None, str | None]]:
            async with asyncio.TaskGroup() as group:
                tasks = []
                for number in range(20):
                    with attribute(user=f"outer-{number}"):
                        tasks.append(group.create_task(ask(f"u-{number}")))
            assert current.get() == NOBODY
            return [task.result() for task in tasks]

        assert asyncio.run(main()) == [(f"outer-{number}", f"u-{number}") for number in range(20)]


def test_threads_start_with_nobody() -> None:
    found: list[Attribution] = []
    with attribute(project="alpha"):
        thread = threading.Thread(target=lambda: found.append(current.get()))
        thread.start()
        thread.join()
    assert found == [NOBODY]


def who(delay: float = 0.0) -> str | None:
    """Who calls of this thread, or process, are for."""
    threading.Event().wait(delay)
    return current.get().user


class TestWrap:
    def test_carries_the_callers_into_a_thread(self) -> None:
        found: list[str | None] = []

        def find() -> None:
            found.append(who())

        with attribute(user="u-1"):
            thread = threading.Thread(target=wrap(find))
        thread.start()
        thread.join()
        assert found == ["u-1"]

    def test_a_pools_threads_keep_nothing_of_it(self) -> None:
        with ThreadPoolExecutor(4) as threads:
            futures = []
            for number in range(100):
                with attribute(user=f"u-{number}"):
                    futures.append(threads.submit(wrap(who), 0.0005))
            assert [future.result() for future in futures] == [f"u-{number}" for number in range(100)]
            assert set(threads.map(who, [0.001] * 8)) == {None}

    def test_run_in_executor(self) -> None:
        async def ask(user: str) -> str | None:
            with attribute(user=user):
                return await asyncio.get_running_loop().run_in_executor(None, wrap(who), 0.001)

        async def main() -> list[str | None]:
            return await asyncio.gather(*(ask(f"u-{number}") for number in range(20)))

        assert asyncio.run(main()) == [f"u-{number}" for number in range(20)]

    def test_asyncios_own_threads_need_none(self) -> None:
        async def main() -> str | None:
            with attribute(user="u-1"):
                return await asyncio.to_thread(who)

        assert asyncio.run(main()) == "u-1"

    def test_coroutines_for_another_threads_loop(self) -> None:
        async def ask() -> str | None:
            await asyncio.sleep(0)
            return who()

        with attribute(user="u-1"), ThreadPoolExecutor(1) as threads:
            wrapped = wrap(ask)
            assert threads.submit(lambda: asyncio.run(wrapped())).result() == "u-1"

    def test_a_process_pool_takes_it_as_it_takes_the_function(self) -> None:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            with attribute(user="u-1"):
                wrapped = wrap(partial(who, 0.0))
            assert pool.submit(wrapped).result() == "u-1"

    def test_it_looks_like_the_function(self) -> None:
        assert (getattr(wrap(who), "__name__", None), wrap(who).__doc__) == ("who", who.__doc__)
        assert inspect.signature(wrap(who)) == inspect.signature(who)


def test_a_context_manager_of_a_decorated_generator() -> None:
    @contextmanager
    @attribute(project="alpha")
    def opened() -> Iterator[str | None]:
        yield current.get().project

    def use() -> None:
        with opened() as project:
            assert (project, current.get()) == ("alpha", NOBODY)
            raise KeyError

    with pytest.raises(KeyError):
        use()


def test_tags_are_short_distinct_strings() -> None:
    assert clean_tags(["a", " a ", "", "b" * 1000, 7]) == ("a", "b" * MAX_LENGTH, "7")
    assert clean_tags("alone") == ("alone",)
    assert len(clean_tags(range(1000))) == MAX_TAGS


def test_tags_by_key_are_told_with_their_values() -> None:
    """As what a request's metadata says: the keys alone would tell nobody apart."""
    assert clean_tags({"tier": "pro", "beta": True, "region": None, "": "x"}) == ("tier:pro", "beta:True")


class Tier(str, Enum):  # noqa: UP042  as apps have it, whose `str` is its name
    PRO = "pro"


def test_a_member_of_an_enum_of_texts_goes_by_its_value() -> None:
    """As it does where the request says it."""
    with attribute(team=Tier.PRO, tags=[Tier.PRO]) as said:
        assert said == Attribution(team="pro", tags=("pro",))
    assert read_asked({"user": Tier.PRO}).user == "pro"


def test_names_are_text_that_every_store_takes() -> None:
    with attribute(project=" alpha\0 ", user="u-\ud800", team="") as said:
        assert said == Attribution("alpha", None, "u-?", None, ())
