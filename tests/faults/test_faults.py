"""Nothing lost, nothing twice: each fault once, in the time of a test."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from faults.bench import Bench
from faults.cases import Case, all_cases
from faults.mixed import Mixed
from faults.nursery import Nursery
from faults.provider import Provider
from faults.targets import PostgresTarget, SqliteTarget, Target

pytestmark = pytest.mark.timeout(300)

SLACK = 4.0
"""Of a busy machine, in seconds, beyond those that a process was ready to run."""


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def answering() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, nursery: Nursery, answering: Provider) -> Iterator[Bench]:
    """With the store that the test's case is for."""
    case: Case | None = request.node.callspec.params.get("case")
    target: Target
    if case is not None and case.store == "sqlite":
        target = SqliteTarget(tmp_path / "usage.db")
    else:
        server: PostgresServer = request.getfixturevalue("own_postgres")
        target = PostgresTarget(server, server.port, migrated=case is None or case.migrated)
    bench = Bench(tmp_path, nursery, answering, target)
    yield bench
    bench.close()
    if isinstance(target, PostgresTarget):
        server.start()
    target.close()


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_nothing_is_lost_and_nothing_is_stored_twice(case: Case, bench: Bench) -> None:
    case.run(bench)
    outcome = bench.settle()
    assert outcome.right(bench.unclaimed), (outcome, bench.said())
    assert outcome.made > 0
    assert outcome.left == []
    assert outcome.swallowed == {}
    assert outcome.longest_exit < bench.exit_timeout + 0.5 + SLACK
    assert bench.secrets() == []


@pytest.mark.parametrize("seed", [1, 2, 3, None])
def test_nothing_is_lost_or_stored_twice_by_faults_mixed_at_random(seed: int | None, bench: Bench) -> None:
    mixed = Mixed(bench, random.SystemRandom().randrange(1 << 32) if seed is None else seed)
    mixed.run(calls=1500)
    outcome = bench.settle()
    assert outcome.right(bench.unclaimed), (mixed.seed, mixed.drawn, outcome, bench.said())
    assert outcome.left == [], (mixed.seed, mixed.drawn)
    assert outcome.swallowed == {}, (mixed.seed, mixed.drawn)
