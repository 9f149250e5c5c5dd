"""What a block used: its own calls, those of its tasks and wrapped threads, and of nobody else."""

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from pathlib import Path

import pytest
from capturing import ASK, Capturing

import usage_tracker
from usage_tracker import app_costs, measure, tracker, wrap
from usage_tracker.dsn import Dsn


def ask(capturing: Capturing, model: str = "gpt-4o-mini") -> int:
    """The input tokens that the provider told."""
    answer = capturing.client.chat.completions.create(model=model, messages=ASK)  # type: ignore[arg-type]  # a dict
    assert answer.usage is not None
    return answer.usage.prompt_tokens


def test_a_block_that_calls_nothing_used_nothing(capturing: Capturing) -> None:
    with measure() as used:
        pass
    assert (used.calls, used.errors, used.input_tokens, used.output_tokens) == (0, 0, 0, 0)
    assert used.cost == 0
    assert (used.unpriced, used.uncounted) == (0, 0)


def test_its_calls_are_counted_and_priced_and_no_others(capturing: Capturing) -> None:
    ask(capturing)
    with measure() as used:
        told = ask(capturing) + ask(capturing)
        assert used.calls == 2
    ask(capturing)
    assert (used.calls, used.input_tokens) == (2, told)
    events = [event for _, event in capturing.all()][1:3]
    assert used.output_tokens == sum(event.usage.output_tokens or 0 for event in events)
    assert used.cost == (told * Decimal("0.15") + used.output_tokens * Decimal("0.6")) / 1_000_000
    assert "calls=2" in repr(used)


def test_blocks_nest(capturing: Capturing) -> None:
    with measure() as outer:
        ask(capturing)
        with measure() as inner:
            ask(capturing)
    assert (outer.calls, inner.calls) == (2, 1)


def test_what_is_not_known_is_said_and_never_zero(capturing: Capturing) -> None:
    with measure() as used:
        ask(capturing, "acme-llm-7b")
        assert (used.cost, used.unpriced) == (None, 1)
        ask(capturing)
        assert used.cost
        assert used.unpriced == 1
    with measure() as failed:
        capturing.provider.fail_next()
        with pytest.raises(Exception, match="500"):
            ask(capturing)
    assert (failed.calls, failed.errors, failed.input_tokens, failed.cost) == (1, 1, None, None)
    assert (failed.uncounted, failed.unpriced) == (1, 0)


def test_a_stream_that_began_inside_counts_when_it_has_ended(capturing: Capturing) -> None:
    with measure() as used:
        stream = capturing.client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)  # type: ignore[arg-type]  # a dict
    assert used.calls == 0
    list(stream)
    assert used.calls == 1
    assert used.output_tokens


def test_what_ends_when_nobody_knows_prices_any_more_has_no_known_cost(capturing: Capturing) -> None:
    with measure() as used:
        stream = capturing.client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)  # type: ignore[arg-type]  # a dict
        usage_tracker.uninstall()
    list(stream)
    assert (used.calls, used.cost, used.unpriced) == (1, None, 1)


def test_tasks_and_threads_of_a_block_are_its_own(capturing: Capturing) -> None:
    async def one() -> measure:
        with measure() as used:
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(asyncio.to_thread(ask, capturing))
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, wrap(ask), capturing)
        return used

    async def main() -> list[measure]:
        return await asyncio.gather(*(one() for _ in range(3)))

    with measure() as outer:
        blocks = asyncio.run(main())
        with ThreadPoolExecutor(2) as threads:
            threads.submit(ask, capturing).result()
    assert [used.calls for used in blocks] == [4, 4, 4]
    assert outer.calls == 12


def test_calls_that_no_sdk_made_count(capturing: Capturing) -> None:
    with measure() as used:
        usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=10, output_tokens=1)
    assert (used.calls, used.input_tokens, used.output_tokens) == (1, 10, 1)


def test_what_completes_an_earlier_call_is_used_and_no_call_of_its_own(capturing: Capturing) -> None:
    with measure() as used:
        told = ask(capturing)
    origin, event = capturing.all()[-1]
    event.completes = "batch-1"
    used.add(origin, event)
    assert (used.calls, used.input_tokens) == (0, 2 * told), "the very same event, twice"


def test_its_cost_does_not_depend_on_the_decimals_of_the_application(capturing: Capturing) -> None:
    with measure() as used:
        for cost in ("1234.56", "0.12345678"):
            usage_tracker.record(provider="acme", model="acme-1", input_tokens=1, output_tokens=1, reported_cost=cost)
    with localcontext(prec=3):
        assert used.cost == Decimal("1234.68345678")


def test_what_nobody_looks_at_is_not_kept(capturing: Capturing) -> None:
    """A task that lives on after the block keeps its context, but not what was measured."""

    async def main() -> None:
        ending = asyncio.Event()

        async def go_on() -> None:
            await ending.wait()
            ask(capturing)

        with measure() as used:
            task = asyncio.create_task(go_on())
            await asyncio.sleep(0)
        kept = weakref.ref(used)
        del used
        gc.collect()
        assert kept() is None
        ending.set()
        await task

    asyncio.run(main())


def test_the_apps_own_prices_go_first(capturing: Capturing, tmp_path: Path) -> None:
    book = tmp_path / "book.toml"
    book.write_text('[[price]]\nmatch = "acme-*"\ninput = 1000\noutput = 0\n')
    assert tracker.installed
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool", prices=book)
    with measure() as used:
        told = ask(capturing, "acme-llm-7b")
    assert used.cost == told * Decimal("0.001")


def test_where_the_stores_own_prices_can_not_be_read_nothing_is_priced(capturing: Capturing, tmp_path: Path) -> None:
    """A wrong cost would look right."""
    (tmp_path / "usage.db").write_text("no database, but long enough to be looked at" * 100)
    usage_tracker.install(dsn=f"sqlite:///{tmp_path / 'usage.db'}", spool_dir=tmp_path / "spool", exit_timeout=0)
    with measure() as used:
        ask(capturing)
    assert (used.cost, used.unpriced) == (None, 1)


def test_once_they_can_be_read_again_calls_have_their_cost(
    capturing: Capturing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_costs, "LOOK_SECONDS", 0.0)
    (file := tmp_path / "usage.db").write_text("no database, but long enough to be looked at" * 100)
    usage_tracker.install(dsn=f"sqlite:///{file}", spool_dir=tmp_path / "spool", exit_timeout=0)
    with measure() as used:
        ask(capturing)
    costs = [(used.cost is not None, used.unpriced)]
    file.unlink()
    costs.append((used.cost is not None, used.unpriced))
    assert costs == [(False, 1), (True, 0)]


def test_the_stores_price_book_counts(capturing: Capturing, tmp_path: Path) -> None:
    from usage_tracker.stores import open_store
    from usage_tracker.stores.prices import add_version

    file = str(tmp_path / "usage.db")
    store = open_store(Dsn("sqlite", file, f"sqlite:///{file}"))
    store.migrate()
    add_version(store, None, "", [{"match": "acme-*", "input": 1000, "output": 0}])
    store.close()
    usage_tracker.install(dsn=f"sqlite:///{file}", spool_dir=tmp_path / "spool")
    with measure() as used:
        told = ask(capturing, "acme-llm-7b")
    assert used.cost == told * Decimal("0.001")
