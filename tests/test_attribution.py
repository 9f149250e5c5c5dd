"""Who a call is for: scopes nest, merge, and don't leak."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

from usage_tracker import attribute
from usage_tracker.attribution import MAX_LENGTH, MAX_TAGS, NOBODY, Attribution, clean_tags, current


def test_outside_every_scope_nobody_is_named() -> None:
    assert current.get() == NOBODY


def test_inner_scopes_say_more_and_leave_the_rest_to_outer_ones() -> None:
    with attribute(project="alpha", user="u-1", tags=["tier:pro"]):
        with attribute(user="u-2", tags=["job:nightly"]):
            assert current.get() == Attribution("alpha", None, "u-2", None, ("tier:pro", "job:nightly"))
        assert current.get().user == "u-1"
    assert current.get() == NOBODY


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


def test_decorates_async_generators() -> None:
    @attribute(project="alpha")
    async def steps() -> AsyncIterator[str | None]:
        yield current.get().project

    async def main() -> list[tuple[str | None, str | None]]:
        return [(inner, current.get().project) async for inner in steps()]

    assert asyncio.run(main()) == [("alpha", None)]


def test_a_generator_that_is_left_early_is_closed() -> None:
    ended = []

    @attribute(project="alpha")
    def steps() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append(current.get().project)

    for _ in steps():
        break
    assert len(ended) == 1
    assert current.get() == NOBODY


def test_threads_start_with_nobody() -> None:
    found: list[Attribution] = []
    with attribute(project="alpha"):
        thread = threading.Thread(target=lambda: found.append(current.get()))
        thread.start()
        thread.join()
    assert found == [NOBODY]


def test_tags_are_short_distinct_strings() -> None:
    assert clean_tags(["a", " a ", "", "b" * 1000, 7]) == ("a", "b" * MAX_LENGTH, "7")
    assert clean_tags("alone") == ("alone",)
    assert len(clean_tags(range(1000))) == MAX_TAGS


def test_names_are_text_that_every_store_takes() -> None:
    with attribute(project=" alpha\0 ", user="u-\ud800", team="") as said:
        assert said == Attribution("alpha", None, "u-?", None, ())
